package faults

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"syscall"
	"testing"
)

// disk is a small disk of its own.
type disk struct {
	t    *testing.T
	path string
}

// newDisk mounts a disk of so many KiB, and skips the test where nobody but root may.
func newDisk(t *testing.T, kilobytes int) *disk {
	t.Helper()
	d := &disk{t: t, path: t.TempDir()}
	err := syscall.Mount("tmpfs", d.path, "tmpfs", 0, fmt.Sprintf("size=%dk,mode=0700", kilobytes))
	switch {
	case errors.Is(err, syscall.EPERM) && os.Geteuid() != 0:
		t.Skip("only root can mount the disk that is to be full: run the test as root, or by unshare --user --map-root-user --mount")
	case errors.Is(err, syscall.EPERM):
		t.Skip("mounting the disk that is to be full needs CAP_SYS_ADMIN: run the container with it, or the test by unshare --user --map-root-user --mount")
	case err != nil:
		t.Fatalf("mounting a disk: %v", err)
	}
	t.Cleanup(func() {
		if err := syscall.Unmount(d.path, syscall.MNT_DETACH); err != nil {
			t.Errorf("unmounting a disk: %v", err)
		}
	})
	return d
}

// fill writes a file until nothing more fits.
func (d *disk) fill() {
	d.t.Helper()
	f, err := os.Create(d.filler())
	if err != nil {
		d.t.Fatal(err)
	}
	defer f.Close()
	for chunk := 64 << 10; chunk > 0; {
		if _, err := f.Write(make([]byte, chunk)); err != nil {
			chunk /= 2
		}
	}
}

// clear makes room again.
func (d *disk) clear() {
	d.t.Helper()
	if err := os.Remove(d.filler()); err != nil {
		d.t.Fatal(err)
	}
}

// protect makes the disk read-only, or writable again. No file may be open for writing.
func (d *disk) protect(readOnly bool) {
	d.t.Helper()
	var flags uintptr = syscall.MS_REMOUNT
	if readOnly {
		flags |= syscall.MS_RDONLY
	}
	if err := syscall.Mount("tmpfs", d.path, "tmpfs", flags, ""); err != nil {
		d.t.Fatalf("remounting: %v", err)
	}
}

func (d *disk) filler() string { return filepath.Join(d.path, "filler") }
