package source

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	bolt "go.etcd.io/bbolt"
)

// record makes an event ready for a spool.
func record(t *testing.T, seq uint64, bytes int) *kept {
	t.Helper()
	k := sized(fmt.Sprint(seq), bytes)
	k.seq, k.size = seq, int64(bytes)
	var err error
	if k.record, err = encodeRecord(k); err != nil {
		t.Fatal(err)
	}
	return k
}

func open(t *testing.T, dir string) *spool {
	t.Helper()
	s, err := openSpool(dir)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = s.close() })
	return s
}

// gone are removals.
func gone(all ...uint64) (removals []removal) {
	for _, seq := range all {
		removals = append(removals, removal{seq: seq})
	}
	return removals
}

// stock is what a spool has now.
func stock(t *testing.T, s *spool) contents {
	t.Helper()
	c := contents{pageSize: s.found.pageSize}
	if err := s.view(func(tx *bolt.Tx) error {
		return tx.Bucket(eventsBucket).ForEach(func(key, record []byte) error {
			c.totals.events, c.totals.bytes = c.totals.events+1, c.totals.bytes+recordSize(record)
			c.last = binary.BigEndian.Uint64(key)
			if c.totals.events == 1 {
				c.first = receivedAt(record)
			}
			return nil
		})
	}); err != nil {
		t.Fatal(err)
	}
	return c
}

func TestSpoolKeepsEvents(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "made", "by the spool")
	s := open(t, dir)
	var group []*kept
	for seq := range uint64(10) {
		group = append(group, record(t, seq+1, kib+int(seq)))
	}
	if err := s.commit(group, nil); err != nil {
		t.Fatal(err)
	}
	if err := s.commit([]*kept{record(t, 11, kib)}, gone(1, 3, 99)); err != nil {
		t.Fatal(err)
	}
	for range 2 {
		left := stock(t, s)
		if left.totals.events != 9 || left.totals.bytes != 11*kib+45-kib-(kib+2) || left.last != 11 {
			t.Errorf("got %+v", left)
		}
		loaded, err := s.load(0, 10, 100*kib)
		if err != nil {
			t.Fatal(err)
		}
		var got []uint64
		for _, k := range loaded {
			got = append(got, k.seq)
			if want := record(t, k.seq, int(k.size)); !bytes.Equal(k.record[recordHeader:len(k.record)-recordTrailer], want.record[recordHeader:len(want.record)-recordTrailer]) {
				t.Errorf("%d is not as it was", k.seq)
			}
		}
		if fmt.Sprint(got) != "[2 4 5 6 7 8 9 10]" {
			t.Errorf("got %v", got)
		}
		if loaded, _ := s.load(4, 11, 3*kib); len(loaded) != 2 {
			t.Errorf("got %d events, want two to fit", len(loaded))
		}
		if loaded, _ := s.load(4, 11, 1); len(loaded) != 1 {
			t.Errorf("got %d events, want one whatever its size", len(loaded))
		}
		if k, err := s.get(5); err != nil || k.seq != 5 || k.unreadable != nil {
			t.Errorf("got %v, %v", k, err)
		}
		if k, err := s.get(3); err != nil || k.unreadable == nil {
			t.Errorf("got %v, %v, want nothing that can be read", k, err)
		}
		if err := s.close(); err != nil {
			t.Fatal(err)
		}
		s = open(t, dir)
	}
}

func TestSpoolIsForOneProcess(t *testing.T) {
	dir := t.TempDir()
	s := open(t, dir)
	if _, err := openSpool(dir); err == nil || !strings.Contains(err.Error(), filepath.Join(dir, spoolFile)+" is in use by another process") {
		t.Errorf("got %v, want that it is in use", err)
	}
	if err := s.close(); err != nil {
		t.Fatal(err)
	}
	open(t, dir)
}

// fill makes a file with so many events, and returns its path.
func fill(t *testing.T, dir string, n uint64) string {
	t.Helper()
	s := open(t, dir)
	var group []*kept
	for seq := range n {
		group = append(group, record(t, seq+1, kib+int(seq%5)*3*kib))
	}
	if err := s.commit(group, nil); err != nil {
		t.Fatal(err)
	}
	if err := s.commit(nil, gone(1, 2, 3)); err != nil {
		t.Fatal(err)
	}
	if err := s.close(); err != nil {
		t.Fatal(err)
	}
	return s.path
}

func TestSpoolRefusesFiles(t *testing.T) {
	write := func(content []byte) func(*testing.T, string) {
		return func(t *testing.T, path string) {
			t.Helper()
			if err := os.WriteFile(path, content, 0o600); err != nil {
				t.Fatal(err)
			}
		}
	}
	// change opens the file by bbolt itself.
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
	tests := []struct {
		name   string
		damage func(*testing.T, string)
		want   string
	}{
		{"text", write([]byte(strings.Repeat("no spool ", 1000))), "is damaged"},
		{"short", write([]byte("x")), "is damaged"},
		{"zeros", write(make([]byte, 1<<16)), "is damaged"},
		{"cut off", func(t *testing.T, path string) {
			t.Helper()
			if err := os.Truncate(path, 64<<10); err != nil {
				t.Fatal(err)
			}
		}, "is damaged: it has been cut off"},
		{"another program's", func(t *testing.T, path string) {
			t.Helper()
			if err := os.Remove(path); err != nil {
				t.Fatal(err)
			}
			change(func(tx *bolt.Tx) error {
				_, err := tx.CreateBucket([]byte("theirs"))
				return err
			})(t, path)
		}, "is not a spool of this program"},
		{"of another version", change(func(tx *bolt.Tx) error {
			return tx.Bucket(stateBucket).Put(formatKey, []byte("eventmesh-source 2"))
		}), "is not a spool of this program"},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			dir := t.TempDir()
			path := fill(t, dir, 100)
			test.damage(t, path)
			before, err := os.ReadFile(path)
			if err != nil {
				t.Fatal(err)
			}
			_, err = openSpool(dir)
			if err == nil || !strings.Contains(err.Error(), path+" ") || !strings.Contains(err.Error(), test.want) || strings.Contains(err.Error(), "\n") {
				t.Errorf("got %v, want one line with the file's name and %q", err, test.want)
			}
			if after, err := os.ReadFile(path); err != nil || !bytes.Equal(before, after) {
				t.Errorf("the file has been changed: %v", err)
			}
		})
	}
}

// An earlier version kept in the file how many events it has, and counted some twice after a failure.
func TestSpoolOfAnEarlierVersion(t *testing.T) {
	dir := t.TempDir()
	path := fill(t, dir, 10)
	db, err := bolt.Open(path, 0o600, nil)
	if err != nil {
		t.Fatal(err)
	}
	if err := db.Update(func(tx *bolt.Tx) error {
		return tx.Bucket(stateBucket).Put([]byte("totals"), binary.BigEndian.AppendUint64(make([]byte, 8), 1029))
	}); err != nil {
		t.Fatal(err)
	}
	if err := db.Close(); err != nil {
		t.Fatal(err)
	}
	s := open(t, dir)
	if s.found.totals.events != 7 || s.found.last != 10 || s.found != stock(t, s) {
		t.Errorf("got %+v, want the 7 events that it has, up to 10", s.found)
	}
	if err := s.commit([]*kept{record(t, 11, kib)}, gone(4)); err != nil {
		t.Fatal(err)
	}
	if err := s.close(); err != nil {
		t.Fatal(err)
	}
	if s = open(t, dir); s.found.totals.events != 7 || s.found.last != 11 {
		t.Errorf("got %+v, want 7 events up to 11", s.found)
	}
	if err := s.view(func(tx *bolt.Tx) error {
		if tx.Bucket(stateBucket).Get([]byte("totals")) != nil {
			t.Error("the earlier version would find a number that is wrong, and call the file damaged")
		}
		return nil
	}); err != nil {
		t.Error(err)
	}
}

// Any byte can be wrong, and the process must live to tell.
func TestSpoolSurvivesDamage(t *testing.T) {
	seed := rand.Uint64()
	t.Logf("seed %d", seed)
	r := rand.New(rand.NewPCG(seed, 0))
	dir := t.TempDir()
	path := fill(t, dir, 60)
	content, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	refused, unreadable := 0, 0
	for range 300 {
		damaged := bytes.Clone(content)
		at := r.IntN(len(damaged))
		if page := r.IntN(2); page == 0 {
			at = at/4096*4096 + r.IntN(64) // where bbolt's own structure is
		}
		damaged[at] ^= byte(1 + r.IntN(255))
		if err := os.WriteFile(path, damaged, 0o600); err != nil {
			t.Fatal(err)
		}
		s, err := openSpool(dir)
		if err != nil {
			refused++
			continue
		}
		loaded, err := s.load(0, 60, 1<<30)
		if err != nil || len(loaded) != 57 && len(loaded) != 60 { // or what was before the last commit
			t.Errorf("byte %d: got %d events, %v, after it was opened", at, len(loaded), err)
		}
		bad := 0
		for _, k := range loaded {
			if k.unreadable != nil {
				bad++
			}
		}
		if bad > 1 {
			t.Errorf("byte %d: %d records cannot be read, want one at most", at, bad)
		}
		unreadable += bad
		if err := s.close(); err != nil {
			t.Fatal(err)
		}
	}
	if refused < 5 {
		t.Errorf("%d of 300 damaged files were refused, want more", refused)
	}
	if unreadable < 30 {
		t.Errorf("%d records of 300 damaged files could not be read, want more", unreadable)
	}
}

func TestSpoolInAPlaceThatIsNone(t *testing.T) {
	file := filepath.Join(t.TempDir(), "file")
	if err := os.WriteFile(file, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := openSpool(file); err == nil || !strings.Contains(err.Error(), file) {
		t.Errorf("got %v, want an error that names it", err)
	}
}

// A file that another process is writing can look damaged, and nobody should be told to move it away.
func TestSpoolThatIsBeingWrittenIsInUse(t *testing.T) {
	dir := t.TempDir()
	file, err := os.OpenFile(fill(t, dir, 10), os.O_RDWR, 0)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = file.Close() }()
	if err := syscall.Flock(int(file.Fd()), syscall.LOCK_EX); err != nil { // as bbolt does
		t.Fatal(err)
	}
	if err := file.Truncate(5000); err != nil {
		t.Fatal(err)
	}
	if _, err := openSpool(dir); !errors.Is(err, errInUse) || errors.Is(err, errDamaged) {
		t.Errorf("got %v, want that it is in use", err)
	}
}
