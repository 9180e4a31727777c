package dispatch_test

import (
	"context"
	"encoding/base64"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/cloudevents/sdk-go/v2/event"

	"github.com/eventing-eventmesh/eventing-eventmesh/pkg/dispatch"
)

func TestDiskIsForOneProcess(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	p := run(t, dir, dispatch.LaneOptions{Destination: &toy{}})
	if _, err := dispatch.OpenDisk(dispatch.DiskOptions{Dir: dir}); err == nil || !strings.Contains(err.Error(), dir+" is in use by another process") {
		t.Errorf("got %v, want that it is in use", err)
	}
	p.put("a")
	p.await("all delivered", func(s dispatch.Status) bool { return s.Events == 0 })
	p.end()
	if err := openDisk(t, dir).Close(); err != nil {
		t.Error(err)
	}
}

func TestDiskInAPlaceThatIsNone(t *testing.T) {
	t.Parallel()
	file := filepath.Join(t.TempDir(), "file")
	if err := os.WriteFile(file, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := dispatch.OpenDisk(dispatch.DiskOptions{Dir: file}); err == nil || !strings.Contains(err.Error(), file) {
		t.Errorf("got %v, want an error that names it", err)
	}
}

// segment returns the path of the newest file of a directory.
func segment(dir string) string {
	paths, _ := filepath.Glob(filepath.Join(dir, "*.journal"))
	if len(paths) == 0 {
		return ""
	}
	return paths[len(paths)-1]
}

// What is written where the next process would not find it is not safe, and no other process gets the directory meanwhile.
func TestDiskThatIsMoved(t *testing.T) {
	t.Parallel()
	tests := []struct {
		name       string
		move, back func(dir, file string) error
	}{
		{
			"file moved",
			func(_, file string) error { return os.Rename(file, file+" away") },
			func(_, file string) error { return os.Rename(file+" away", file) },
		},
		{"file deleted", func(_, file string) error { return os.Remove(file) }, nil},
		{"another file", func(_, file string) error {
			return errors.Join(os.Remove(file), os.WriteFile(file, []byte("x"), 0o600))
		}, nil},
		{
			"directory moved",
			func(dir, _ string) error { return os.Rename(dir, dir+" away") },
			func(dir, _ string) error { return os.Rename(dir+" away", dir) },
		},
		{"directory deleted", func(dir, _ string) error { return os.RemoveAll(dir) }, nil},
		{
			"another directory",
			func(dir, _ string) error { return errors.Join(os.Rename(dir, dir+" away"), os.Mkdir(dir, 0o700)) },
			func(dir, _ string) error { return errors.Join(os.Remove(dir), os.Rename(dir+" away", dir)) },
		},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			dir := filepath.Join(t.TempDir(), "spool")
			p := run(t, dir, dispatch.LaneOptions{Destination: &toy{refuse: away}})
			p.put("before")
			p.awaitSaved()
			file := segment(dir)
			if err := test.move(dir, file); err != nil {
				t.Fatal(err)
			}
			p.await("that it has been moved, though nothing is written", func(s dispatch.Status) bool { return s.Writing != nil })
			if err := p.Status().Writing; !errors.Is(err, dispatch.ErrMoved) || !strings.Contains(err.Error(), dir) {
				t.Errorf("got %v, want that %s has been moved", err, dir)
			}
			p.put("after")
			p.await("the next attempt", func(s dispatch.Status) bool { return strings.Contains(s.Writing.Error(), "writing ") })
			p.wantAcknowledged("before")
			if s := p.Status(); s.Unsaved != 1 || s.Events+s.Aside != 2 { // what is read back from another file cannot be read
				t.Errorf("got %+v, want one event of two that is not on disk", s)
			}
			if _, err := os.Stat(dir); err == nil && test.name != "another directory" {
				if _, err := dispatch.OpenDisk(dispatch.DiskOptions{Dir: dir}); err == nil || !strings.Contains(err.Error(), "is in use") {
					t.Errorf("got %v, want that the directory is in use", err)
				}
			}
			if test.back == nil {
				ctx, cancel := context.WithCancel(t.Context())
				cancel()
				p.Drain(ctx)
				p.wantAcknowledged("before")
				return
			}
			if err := test.back(dir, file); err != nil {
				t.Fatal(err)
			}
			p.await("the disk written again", func(s dispatch.Status) bool { return s.Writing == nil && s.Unsaved == 0 })
			p.end()
			p.wantAcknowledged("before", "after")
			if got := delivered(t, dir); fmt.Sprint(got) != "[before after]" {
				t.Errorf("the next process finds %v", got)
			}
		})
	}
}

// A record that cannot be read is one event's loss, in whatever order: without a place for dead letters it is set aside, and with one it
// goes there, be it a process later.
func TestRecordsThatCannotBeRead(t *testing.T) {
	t.Parallel()
	for _, ordering := range []dispatch.Ordering{dispatch.Unordered, dispatch.ByKey, dispatch.Strict} {
		t.Run(string(ordering), func(t *testing.T) {
			t.Parallel()
			dir := t.TempDir()
			p := run(t, dir, dispatch.LaneOptions{Destination: &toy{refuse: away}})
			p.put("0", "1", "2", "3", "4", "5")
			p.awaitSaved()
			p.end()
			const damaged = "dat* of "
			replace(t, dir, "data of 0", damaged+"0")
			replace(t, dir, "data of 3", damaged+"3")
			only1 := func(e event.Event) error { // so that the others are there again for the next process
				if e.ID() == "1" {
					return nil
				}
				return errAway
			}
			left := int64(6)
			for _, refuse := range []func(event.Event) error{away, only1} {
				to := &toy{refuse: refuse}
				p = run(t, dir, dispatch.LaneOptions{Destination: to, Ordering: ordering})
				if p.found.Events != left {
					t.Errorf("got %+v, want %d events", p.found, left)
				}
				aside := int64(2)
				if ordering == dispatch.Strict {
					aside = 1 // the other's turn does not come
				}
				p.await("records set aside", func(s dispatch.Status) bool { return s.Aside == aside })
				if refuse(newEvent("1")) == nil {
					eventually(t, "1 delivered", func() bool { return len(to.ids()) == 1 })
					left--
				}
				p.await("no more than the others", func(s dispatch.Status) bool { return s.Events == left-aside })
				p.end()
				p.wantLines(int(aside), "a record of the spool cannot be read; it is set aside in the directory")
				if got := openDisk(t, dir); int64(got.Events()) != left {
					t.Errorf("%d events are on disk, want %d", got.Events(), left)
				} else if err := got.Close(); err != nil {
					t.Error(err)
				}
			}
			to, dead := &toy{}, &recorder{}
			p = run(t, dir, dispatch.LaneOptions{Destination: to, DeadLetter: dead, Ordering: ordering})
			p.await("all at rest", func(s dispatch.Status) bool { return s.Events == 0 && s.Aside == 0 })
			p.put("new")
			p.await("a new one, too", func(s dispatch.Status) bool { return s.Events == 0 })
			p.end()
			if got := to.ids(); len(got) != 4 || ordering != dispatch.Unordered && fmt.Sprint(got) != "[2 4 5 new]" {
				t.Errorf("sent %v", got)
			}
			if got := dead.all(); len(got) != 2 {
				t.Errorf("got %d dead letters, want 2", len(got))
			} else {
				wantRaw(t, got[0], damaged)
				wantRaw(t, got[1], damaged)
			}
			p.wantLines(2, "a record of the spool cannot be read; it becomes a dead letter")
			if got := delivered(t, dir); len(got) > 0 {
				t.Errorf("%v are left", got)
			}
		})
	}
}

// wantRaw fails unless a dead letter has the bytes of a record as they are, and says why.
func wantRaw(t *testing.T, e event.Event, part string) {
	t.Helper()
	if !strings.Contains(string(e.Data()), part) {
		t.Errorf("got %q, want the record with %q in it", e.Data(), part)
	}
	extensions := e.Extensions()
	reason, err := base64.StdEncoding.DecodeString(fmt.Sprint(extensions[dispatch.ErrorData]))
	if err != nil || len(reason) == 0 || extensions[dispatch.ErrorCode] != "-1" {
		t.Errorf("got %v, want why it cannot be read", extensions)
	}
}
