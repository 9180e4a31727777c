package journal

import (
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"sync/atomic"
	"syscall"
	"time"
)

// Errors of Open, Commit and Check. What is returned names the path, and says what to do.
var (
	ErrInUse   = errors.New("is in use by another process: each replica needs a directory of its own")
	ErrForeign = errors.New("is not of this program, or of a newer version: name another directory, or run that version")
	ErrMoved   = errors.New("it has been moved or deleted since it was opened: move it back, or what is in it is not delivered after the end of this process")
)

// disk is what is done with the directory, and file with a segment. Tests let it fail.
type disk interface {
	open(name string, flags int) (file, error)
	remove(name string) error
	sync() error // the names in the directory
}

type file interface {
	io.ReaderAt
	io.WriterAt
	io.Closer
	Stat() (os.FileInfo, error)
	Sync() error
	Truncate(size int64) error
}

// directory is one that is locked, whatever its path leads to by now.
type directory struct {
	root *os.Root
	file *os.File
	info os.FileInfo
}

// openDirectory opens and locks a directory, and makes it where there is none.
func openDirectory(path string) (*directory, error) {
	if err := makeDir(path); err != nil {
		return nil, err
	}
	root, err := os.OpenRoot(path)
	if err != nil {
		return nil, err
	}
	d := &directory{root: root}
	if d.file, err = root.Open("."); err != nil {
		return nil, errors.Join(err, d.close())
	}
	err = syscall.Flock(int(d.file.Fd()), syscall.LOCK_EX|syscall.LOCK_NB)
	if errors.Is(err, syscall.EWOULDBLOCK) {
		err = ErrInUse
	}
	if err == nil {
		d.info, err = d.file.Stat()
	}
	if err != nil {
		return nil, errors.Join(err, d.close())
	}
	return d, nil
}

// makeDir makes a directory, and those above it, to stay.
func makeDir(dir string) error {
	if _, err := os.Stat(dir); err == nil || !errors.Is(err, os.ErrNotExist) {
		return err
	}
	above := filepath.Dir(dir)
	if err := makeDir(above); err != nil {
		return err
	}
	if err := os.Mkdir(dir, 0o700); err != nil && !errors.Is(err, os.ErrExist) {
		return err
	}
	parent, err := os.Open(above) //nolint:gosec // the directory is the operator's choice
	if err != nil {
		return err
	}
	return errors.Join(parent.Sync(), parent.Close())
}

func (d *directory) open(name string, flags int) (file, error) {
	f, err := d.root.OpenFile(name, flags, 0o600)
	if err != nil {
		return nil, err // not a nil file in an interface
	}
	return f, nil
}

func (d *directory) remove(name string) error { return d.root.Remove(name) }

func (d *directory) sync() error { return d.file.Sync() }

func (d *directory) close() error {
	err := d.root.Close()
	if d.file != nil {
		err = errors.Join(err, d.file.Close())
	}
	return err
}

// inPlace tells whether a path still leads to what was opened: another process would find something else there, or nothing.
func inPlace(path string, opened os.FileInfo) error {
	found, err := os.Stat(path)
	if errors.Is(err, os.ErrNotExist) || err == nil && !os.SameFile(opened, found) {
		return fmt.Errorf("%s: %w", path, ErrMoved)
	}
	return err
}

// watch knows what takes too long.
type watch struct {
	after   time.Duration
	stalled func(bool)
	stalls  atomic.Int64
}

// timed does something with the disk, and tells when that takes too long.
func (w *watch) timed(f func() error) error {
	timer := time.AfterFunc(w.after, func() {
		if w.stalls.Add(1) == 1 {
			w.stalled(true)
		}
	})
	defer func() {
		if !timer.Stop() && w.stalls.Add(-1) == 0 {
			w.stalled(false)
		}
	}()
	return f()
}
