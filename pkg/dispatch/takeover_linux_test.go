package dispatch_test

import (
	"bytes"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	bolt "go.etcd.io/bbolt"
	"golang.org/x/sys/unix"

	"github.com/eventing-eventmesh/eventing-eventmesh/internal/boltfile/boltfiletest"
	"github.com/eventing-eventmesh/eventing-eventmesh/internal/diskfault"
	"github.com/eventing-eventmesh/eventing-eventmesh/pkg/dispatch"
)

// oldSpool is the file of earlier versions in a directory.
func oldSpool(dir string) string { return filepath.Join(dir, "spool.db") }

// oldRecord is what an earlier version wrote of an event.
func oldRecord(version byte, id string) boltfiletest.Record {
	return boltfiletest.Record{
		Version: version, Received: time.Unix(1_700_000_000, 123), Key: 7, Topic: "orders", Size: 2000, Data: []byte("data of " + id),
		Attributes: fmt.Sprintf(`{"specversion":"1.0","id":%q,"source":"/test","type":"test","datacontenttype":"text/plain"}`, id),
	}
}

// oldRecords are n records with IDs from a number on, by their numbers in the file, and those IDs.
func oldRecords(from, n int) (records map[uint64][]byte, ids []string) {
	records = map[uint64][]byte{}
	for i := range n {
		ids = append(ids, fmt.Sprint(from+i))
		records[uint64(i+1)] = oldRecord(2, ids[i]).Bytes()
	}
	return records, ids
}

// All that an earlier version has kept is delivered in its order, and what nobody can read is a dead letter as it was.
func TestTakeover(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	undecoded := oldRecord(2, "undecodable")
	undecoded.Undecodable = true
	noEvent := oldRecord(2, "no event")
	noEvent.Attributes = `{"id`
	future := oldRecord(3, "future").Bytes()
	rotten := oldRecord(2, "rotten").Bytes()
	rotten[40] ^= 1
	records := map[uint64][]byte{
		3: oldRecord(1, "first").Bytes(), 4: oldRecord(2, "second").Bytes(), 6: undecoded.Bytes(), 7: rotten, 8: noEvent.Bytes(),
		9: []byte("short"), 10: {}, 1 << 40: oldRecord(2, "last").Bytes(),
	}
	aside := map[uint64][]byte{1: []byte("set aside before"), 5: future}
	boltfiletest.Spool(t, oldSpool(dir), records, aside)

	// Without a place for dead letters what cannot be read stays, be it a process later; what was no event from the beginning is lost.
	for _, want := range []int64{10, 9} {
		p := run(t, dir, dispatch.LaneOptions{Destination: &toy{refuse: away}})
		if s := p.found; s.Events != want || !s.Oldest.Equal(time.Unix(1_700_000_000, 123)) {
			t.Errorf("got %+v, want %d events", s, want)
		}
		if _, err := os.Stat(oldSpool(dir)); err == nil {
			t.Error("the old file is still there")
		}
		p.await("records set aside", func(s dispatch.Status) bool { return s.Aside == 6 && s.Events == 3 })
		p.end()
	}
	to, dead := &recorder{}, &recorder{}
	p := run(t, dir, dispatch.LaneOptions{Destination: to, DeadLetter: dead, Ordering: dispatch.Strict})
	p.await("all at rest", func(s dispatch.Status) bool { return s.Events == 0 })
	p.end()
	if got := to.ids(); fmt.Sprint(got) != "[first second last]" || len(dead.all()) != 6 {
		t.Errorf("sent %v, and %d dead letters", got, len(dead.all()))
	}

	boltfiletest.Spool(t, oldSpool(dir), records, aside)
	to, dead = &recorder{}, &recorder{}
	p = run(t, dir, dispatch.LaneOptions{Destination: to, DeadLetter: dead, Ordering: dispatch.Strict})
	if s, want := p.found, int64(3*2000+1024+len("data of first")); s.Bytes < want {
		t.Errorf("got %+v, want at least the %d bytes of the three events", s, want)
	}
	p.await("all at rest", func(s dispatch.Status) bool { return s.Events == 0 && s.Bytes == 0 })
	p.end()
	if got := to.ids(); fmt.Sprint(got) != "[first second last]" {
		t.Errorf("sent %v", got)
	}
	if got := string(to.all()[0].Data()); got != "data of first" {
		t.Errorf("got the data %q", got)
	}
	letters := dead.all()
	if len(letters) != 7 {
		t.Fatalf("got %d dead letters, want 7", len(letters))
	}
	if got := letters[0]; got.ID() != "undecodable" || string(got.Data()) != "data of undecodable" {
		t.Errorf("got the dead letter %s", got)
	}
	for i, want := range [][]byte{rotten, []byte(noEvent.Attributes), []byte("short"), {}, []byte("set aside before"), future} {
		got := letters[i+1]
		if !bytes.Equal(got.Data(), want) && (i != 1 || !bytes.Contains(got.Data(), want)) {
			t.Errorf("dead letter %d has %q, want %q", i+1, got.Data(), want)
		}
		wantRaw(t, got, "")
	}
	if got := delivered(t, dir); len(got) > 0 {
		t.Errorf("%v are left", got)
	}
}

// A takeover that fails or is cut off at any call is made at the next start, and nothing comes twice.
func TestTakeoverThatIsCutOff(t *testing.T) {
	t.Parallel()
	const n = 2500 // some groups
	template := t.TempDir()
	records, ids := oldRecords(0, n)
	boltfiletest.Spool(t, oldSpool(template), records, map[uint64][]byte{1: []byte("aside")})
	for name, kinds := range map[string][]diskfault.Kind{
		"writing": {diskfault.Write}, "syncing": {diskfault.Sync}, "removing": {diskfault.Remove},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			dir := copied(t, template)
			var calls, failsAt atomic.Int64
			diskfault.Disturb(t, dir, func(c diskfault.Call) unix.Errno {
				if slices.Contains(kinds, c.Kind) && calls.Add(1) == failsAt.Load() {
					return unix.EIO
				}
				return 0
			})
			for failsAt.Store(1); ; failsAt.Add(1) {
				calls.Store(0)
				disk, err := dispatch.OpenDisk(dispatch.DiskOptions{Dir: dir, Older: "toy"})
				if err == nil {
					if err := disk.Close(); err != nil {
						t.Error(err)
					}
					break
				}
				if !strings.Contains(err.Error(), dir) {
					t.Errorf("got %v, want an error that names it", err)
				}
			}
			if failsAt.Load() < 2 {
				t.Error("nothing has failed")
			}
			failsAt.Store(0)
			dead := &recorder{}
			to := &toy{}
			p := run(t, dir, dispatch.LaneOptions{Destination: to, DeadLetter: dead, Ordering: dispatch.Strict})
			p.await("all at rest", func(s dispatch.Status) bool { return s.Events == 0 })
			p.end()
			if got := to.ids(); !slices.Equal(got, ids) {
				t.Errorf("got %d events, want %d in their order", len(got), n)
			}
			if got := len(dead.all()); got != 1 {
				t.Errorf("got %d dead letters, want one", got)
			}
		})
	}
}

// An earlier version that runs in between numbers its events from 1 again.
func TestTakeoverAfterAnEarlierVersionHasRunAgain(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	var want []string
	for round := range 3 {
		records, ids := oldRecords(100*round, 20)
		want = append(want, ids...)
		boltfiletest.Spool(t, oldSpool(dir), records, nil)
		p := run(t, dir, dispatch.LaneOptions{Destination: &toy{refuse: away}})
		id := fmt.Sprintf("new %d", round)
		want = append(want, id)
		p.put(id)
		p.awaitSaved()
		p.end()
	}
	if got := delivered(t, dir); !slices.Equal(got, want) {
		t.Errorf("got %v, want %v", got, want)
	}
}

func TestTakeoverRefusesFiles(t *testing.T) {
	t.Parallel()
	write := func(content []byte) func(*testing.T, string) {
		return func(t *testing.T, path string) {
			t.Helper()
			if err := os.WriteFile(path, content, 0o600); err != nil {
				t.Fatal(err)
			}
		}
	}
	change := func(f func(*bolt.Tx) error) func(*testing.T, string) {
		return func(t *testing.T, path string) {
			t.Helper()
			db, err := bolt.Open(path, 0o600, nil)
			if err != nil {
				t.Fatal(err)
			}
			if err := db.Update(f); err != nil {
				t.Fatal(err)
			}
			if err := db.Close(); err != nil {
				t.Fatal(err)
			}
		}
	}
	const moveAway, another = "move it away to start without the events in it; nothing has been deleted", "name another directory"
	tests := map[string]struct {
		damage func(*testing.T, string)
		want   []string
	}{
		"text":  {write([]byte(strings.Repeat("no spool ", 1000))), []string{moveAway}},
		"short": {write([]byte("x")), []string{moveAway}},
		"zeros": {write(make([]byte, 1<<16)), []string{moveAway}},
		"cut off": {func(t *testing.T, path string) {
			t.Helper()
			if err := os.Truncate(path, 32<<10); err != nil {
				t.Fatal(err)
			}
		}, []string{"is damaged: it has been cut off", moveAway}},
		"another program's": {func(t *testing.T, path string) {
			t.Helper()
			if err := os.Remove(path); err != nil {
				t.Fatal(err)
			}
			change(func(tx *bolt.Tx) error {
				_, err := tx.CreateBucket([]byte("theirs"))
				return err
			})(t, path)
		}, []string{"is not a spool of this program", another}},
		"of another version": {change(func(tx *bolt.Tx) error {
			return tx.Bucket([]byte("state")).Put([]byte("format"), []byte("eventmesh-source 2"))
		}), []string{"is not a spool of this program", another}},
		"in use": {func(t *testing.T, path string) {
			t.Helper()
			file, err := os.OpenFile(path, os.O_RDWR, 0)
			if err != nil {
				t.Fatal(err)
			}
			t.Cleanup(func() { _ = file.Close() })
			if err := unix.Flock(int(file.Fd()), unix.LOCK_EX); err != nil { // as bbolt does
				t.Fatal(err)
			}
			if err := file.Truncate(5000); err != nil { // what is being written can look damaged
				t.Fatal(err)
			}
		}, []string{"is in use by another process", "each replica needs a directory of its own"}},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			dir := t.TempDir()
			path := oldSpool(dir)
			records, _ := oldRecords(0, 300)
			boltfiletest.Spool(t, path, records, nil)
			test.damage(t, path)
			before, err := os.ReadFile(path)
			if err != nil {
				t.Fatal(err)
			}
			_, err = dispatch.OpenDisk(dispatch.DiskOptions{Dir: dir, Older: "toy"})
			for _, want := range append(test.want, path+" ") {
				if err == nil || !strings.Contains(err.Error(), want) || strings.Contains(err.Error(), "\n") {
					t.Errorf("got %v, want one line with %q", err, want)
				}
			}
			if after, err := os.ReadFile(path); err != nil || !bytes.Equal(before, after) {
				t.Errorf("the file has been changed: %v", err)
			}
			if err := os.Rename(path, path+" away"); err != nil {
				t.Fatal(err)
			}
			if got := delivered(t, dir); len(got) > 0 {
				t.Errorf("got %v of a file that was refused", got)
			}
		})
	}
}

// A spool without events is one, too.
func TestTakeoverOfNothing(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	boltfiletest.Spool(t, oldSpool(dir), nil, nil)
	if got := delivered(t, dir); len(got) > 0 {
		t.Errorf("got %v", got)
	}
	if _, err := os.Stat(oldSpool(dir)); err == nil {
		t.Error("the old file is still there")
	}
}
