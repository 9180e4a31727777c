package diskfault_test

import (
	"errors"
	"os"
	"path/filepath"
	"testing"

	"golang.org/x/sys/unix"

	"github.com/eventing-eventmesh/eventing-eventmesh/internal/diskfault"
)

func TestDisturb(t *testing.T) {
	t.Parallel()
	bad, well := t.TempDir(), t.TempDir()
	errnos := map[diskfault.Kind]unix.Errno{
		diskfault.Write: unix.ENOSPC, diskfault.Sync: unix.EIO, diskfault.Truncate: unix.EDQUOT, diskfault.Remove: unix.EROFS,
	}
	diskfault.Disturb(t, bad, func(c diskfault.Call) unix.Errno {
		if c.Path != filepath.Join(bad, "file") {
			t.Errorf("got a call about %s", c.Path)
		}
		if c.Kind == diskfault.Write && c.Bytes < 5 {
			return 0
		}
		return errnos[c.Kind]
	})
	for _, dir := range []string{bad, well} {
		path := filepath.Join(dir, "file")
		f, err := os.Create(path)
		if err != nil {
			t.Fatal(err)
		}
		_, err = f.WriteAt([]byte("abc"), 0)
		if err != nil {
			t.Errorf("got %v of a short write", err)
		}
		_, wrote := f.WriteAt([]byte("abcdef"), 0)
		for kind, err := range map[diskfault.Kind]error{
			diskfault.Write: wrote, diskfault.Sync: f.Sync(), diskfault.Truncate: f.Truncate(1), diskfault.Remove: os.Remove(path),
		} {
			if dir == bad && !errors.Is(err, errnos[kind]) || dir == well && err != nil {
				t.Errorf("got %v of kind %d in %s", err, kind, dir)
			}
		}
		if err := f.Close(); err != nil {
			t.Error(err)
		}
	}
}
