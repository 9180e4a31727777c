package fresh

import (
	"errors"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"
)

// pair is what two files hold.
type pair struct{ a, b string }

var errMalformed = errors.New("malformed")

// files are two in a folder, a File of both, and what its Changed was told.
type files struct {
	*File[pair]
	dir     string
	parsed  int
	changes []string
}

func newFiles(t *testing.T) *files {
	t.Helper()
	f := &files{dir: t.TempDir()}
	f.File = New(func(contents ...[]byte) (pair, error) {
		f.parsed++
		p := pair{string(contents[0]), string(contents[1])}
		if strings.Contains(p.a+p.b, "?") {
			return p, errMalformed
		}
		return p, nil
	}, filepath.Join(f.dir, "a"), filepath.Join(f.dir, "b"))
	f.Changed = func(p pair, err error) {
		change := p.a + p.b
		if err != nil {
			change += " failed"
		}
		f.changes = append(f.changes, change)
	}
	return f
}

// write replaces a file.
func (f *files) write(t *testing.T, name, content string) {
	t.Helper()
	path := filepath.Join(f.dir, name)
	if err := os.WriteFile(path+".new", []byte(content), 0o600); err != nil {
		t.Fatal(err)
	}
	if err := os.Rename(path+".new", path); err != nil {
		t.Fatal(err)
	}
}

func (f *files) check(t *testing.T, what string, want pair, wantErr error, parsed int) {
	t.Helper()
	got, err := f.Get()
	if got != want || !errors.Is(err, wantErr) || f.parsed != parsed {
		t.Errorf("%s: got %v and %v after %d reads, want %v and %v after %d", what, got, err, f.parsed, want, wantErr, parsed)
	}
}

func TestFilesAreReadAgain(t *testing.T) {
	f := newFiles(t)
	synctest.Test(t, func(t *testing.T) {
		f.check(t, "none", pair{}, os.ErrNotExist, 0)
		f.write(t, "a", "1")
		f.write(t, "b", "1")
		f.check(t, "within a second", pair{}, os.ErrNotExist, 0)
		time.Sleep(every)
		f.check(t, "both", pair{"1", "1"}, nil, 1)
		time.Sleep(every)
		f.check(t, "unchanged", pair{"1", "1"}, nil, 1)
		f.write(t, "b", "2")
		f.check(t, "changed within a second", pair{"1", "1"}, nil, 1)
		time.Sleep(every)
		f.check(t, "changed", pair{"1", "2"}, nil, 2)
		f.write(t, "a", "?")
		for range 3 {
			time.Sleep(every)
			f.check(t, "malformed", pair{"1", "2"}, errMalformed, 3)
		}
		if err := os.Remove(filepath.Join(f.dir, "b")); err != nil {
			t.Fatal(err)
		}
		for range 3 {
			time.Sleep(every)
			f.check(t, "gone", pair{"1", "2"}, os.ErrNotExist, 3)
		}
		if err := os.Mkdir(filepath.Join(f.dir, "b"), 0o700); err != nil {
			t.Fatal(err)
		}
		time.Sleep(every)
		if got, err := f.Get(); got != (pair{"1", "2"}) || err == nil || errors.Is(err, os.ErrNotExist) {
			t.Errorf("unreadable: got %v and %v, want the last value and an error", got, err)
		}
		if err := os.Remove(filepath.Join(f.dir, "b")); err != nil {
			t.Fatal(err)
		}
		f.write(t, "a", "3")
		f.write(t, "b", "3")
		time.Sleep(every)
		f.check(t, "there again", pair{"3", "3"}, nil, 4)
	})
	if got, want := strings.Join(f.changes, ", "), " failed, 11, 12, 12 failed, 12 failed, 12 failed, 33"; got != want {
		t.Errorf("got changes %q, want %q", got, want)
	}
}

func TestFilesAreSharedByGoroutines(t *testing.T) {
	f := newFiles(t)
	f.write(t, "a", "1")
	f.write(t, "b", "1")
	var all sync.WaitGroup
	for range 20 {
		all.Go(func() {
			if got, err := f.Get(); got != (pair{"1", "1"}) || err != nil {
				t.Errorf("got %v and %v", got, err)
			}
		})
	}
	all.Wait()
	if f.parsed != 1 {
		t.Errorf("read %d times, want once", f.parsed)
	}
}
