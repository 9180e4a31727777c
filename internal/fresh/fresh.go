// Package fresh reads files that are replaced from time to time: certificates, tokens and their like.
package fresh

import (
	"os"
	"slices"
	"sync"
	"time"
)

// every is the time from one look at the files to the next.
const every = time.Second

// File is what one file holds, or several that belong together. It follows the links by which Kubernetes replaces projected files. Its
// methods may be called by several goroutines.
type File[T any] struct {
	// Changed, if it is set, is called when there is another value, or another error, nil for none, before it is returned for the first
	// time. It is set before goroutines share the File, and called by one of them at a time.
	Changed func(value T, err error)

	paths []string
	parse func(contents ...[]byte) (T, error)

	mu     sync.Mutex
	looked time.Time
	read   []os.FileInfo // of the files that value or err is from; nil: look again
	value  T
	err    error
}

// New returns a File that has not been read yet. parse gets the contents of the files in the order of their paths.
func New[T any](parse func(contents ...[]byte) (T, error), paths ...string) *File[T] {
	return &File[T]{paths: paths, parse: parse}
}

// Get returns what the files hold. It looks at them at most once a second, and reads them again only when one of them has changed. With
// an error, which is parse's or that of a file (os.ErrNotExist where there is none), the value is the newest that there was without one.
func (f *File[T]) Get() (T, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if now := time.Now(); f.looked.IsZero() || now.Sub(f.looked) >= every {
		f.looked = now
		f.look()
	}
	return f.value, f.err
}

func (f *File[T]) look() {
	infos, err := f.stat()
	if err == nil && slices.EqualFunc(infos, f.read, unchanged) {
		return
	}
	value, had := f.value, f.err
	if err == nil {
		value, err = f.load(infos)
	} else {
		f.read = nil
	}
	if f.err = err; err == nil {
		f.value = value
	}
	if f.Changed != nil && (err == nil || had == nil || err.Error() != had.Error()) {
		f.Changed(f.value, err)
	}
}

// stat comes before reading: files that are replaced in between are then seen to have changed.
func (f *File[T]) stat() ([]os.FileInfo, error) {
	infos := make([]os.FileInfo, len(f.paths))
	for i, path := range f.paths {
		info, err := os.Stat(path)
		if err != nil {
			return nil, err
		}
		infos[i] = info
	}
	return infos, nil
}

func (f *File[T]) load(infos []os.FileInfo) (value T, err error) {
	f.read = nil
	contents := make([][]byte, len(f.paths))
	for i, path := range f.paths {
		if contents[i], err = os.ReadFile(path); err != nil { //nolint:gosec // whoever configures a program names its files
			return value, err
		}
	}
	f.read = infos
	return f.parse(contents...)
}

func unchanged(a, b os.FileInfo) bool {
	return os.SameFile(a, b) && a.Size() == b.Size() && a.ModTime().Equal(b.ModTime())
}
