package journal

import (
	"errors"
	"fmt"
	"math"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"sync"
	"testing"
	"time"
)

// unsynced is a disk that syncs nothing: the machine does not end in these tests.
type unsynced struct{ disk }

type unsyncedFile struct{ file }

func (d unsynced) open(name string, flags int) (file, error) {
	f, err := d.disk.open(name, flags)
	if err != nil {
		return nil, err
	}
	return unsyncedFile{f}, nil
}

func (unsynced) sync() error { return nil }

func (unsyncedFile) Sync() error { return nil }

func mustOpen(tb testing.TB, dir string, o Options) *Journal {
	tb.Helper()
	j, err := open(dir, o, func(d disk) disk { return unsynced{d} })
	if err != nil {
		tb.Fatal(err)
	}
	tb.Cleanup(func() { _ = j.Close() })
	return j
}

func reopen(tb testing.TB, j *Journal, o Options) *Journal {
	tb.Helper()
	if err := j.Close(); err != nil {
		tb.Fatal(err)
	}
	return mustOpen(tb, j.path, o)
}

func mustCommit(tb testing.TB, j *Journal, add []Entry, done ...Done) {
	tb.Helper()
	if err := j.Commit(add, done); err != nil {
		tb.Fatal(err)
	}
}

// newRecord returns one that tells its Seq.
func newRecord(seq uint64, size int) []byte {
	record := fmt.Appendf(nil, "record %d ", seq)
	for len(record) < size {
		record = append(record, byte(seq))
	}
	return record
}

// newEntry returns one whose record is in one part or in two.
func newEntry(seq uint64, size int, readers ...Reader) Entry {
	record := newRecord(seq, size)
	first := len(record) * int(seq%3) / 2
	return Entry{
		Seq: FirstSeq + seq, Received: time.Unix(int64(seq), 0), Size: int64(len(record)), Readers: readers, Record: record[:first], Rest: record[first:],
	}
}

func loadAll(tb testing.TB, j *Journal, r Reader) []Stored {
	tb.Helper()
	loaded, err := j.Load(r, 0, math.MaxUint64, 1<<50)
	if err != nil {
		tb.Fatal(err)
	}
	return loaded
}

// wantSeqs fails unless a reader has exactly these entries, with the bytes that they had.
func wantSeqs(tb testing.TB, j *Journal, r Reader, want ...uint64) {
	tb.Helper()
	var got []uint64
	var bytes int64
	for _, s := range loadAll(tb, j, r) {
		got = append(got, s.Seq-FirstSeq)
		bytes += s.Size
		if e := newEntry(s.Seq-FirstSeq, len(s.Record)); s.Err != nil || string(newRecord(s.Seq-FirstSeq, len(s.Record))) != string(s.Record) || !e.Received.Equal(s.Received) {
			tb.Errorf("got entry %d with %.40q received %v, and error %v", s.Seq, s.Record, s.Received, s.Err)
		}
	}
	if !slices.Equal(got, want) {
		tb.Errorf("got entries %v, want %v", got, want)
	}
	c := j.Contents(r)
	if c.Events != int64(len(want)) || c.Bytes != bytes || len(want) > 0 && !c.Oldest.Equal(time.Unix(int64(want[0]), 0)) {
		tb.Errorf("got contents %+v for entries %v with %d bytes", c, want, bytes)
	}
}

func TestKeepsUntilAllAreDone(t *testing.T) {
	j := mustOpen(t, filepath.Join(t.TempDir(), "new", "directory"), Options{})
	a, b, c := ReaderOf("a"), ReaderOf("b"), ReaderOf("c")
	mustCommit(t, j, []Entry{newEntry(1, 0, a, b, c), newEntry(2, 0, a), newEntry(5, 0, b, c)})
	mustCommit(t, j, nil, Done{FirstSeq + 1, a}, Done{FirstSeq + 1, b}, Done{FirstSeq + 5, c}, Done{FirstSeq + 4, a}, Done{FirstSeq + 2, c})
	check := func() {
		t.Helper()
		wantSeqs(t, j, a, 2)
		wantSeqs(t, j, b, 5)
		wantSeqs(t, j, c, 1)
		if j.Last() != FirstSeq+5 || j.DiskBytes() == 0 || j.Len() != 3 {
			t.Errorf("got last %d, %d bytes, %d entries", j.Last(), j.DiskBytes(), j.Len())
		}
	}
	check()
	j = reopen(t, j, Options{})
	check()
	mustCommit(t, j, nil, Done{FirstSeq + 1, c}, Done{FirstSeq + 2, a}, Done{FirstSeq + 5, b})
	j = reopen(t, j, Options{})
	for _, name := range []string{"a", "b", "c"} {
		wantSeqs(t, j, ReaderOf(name))
	}
	if j.Last() != FirstSeq+5 || j.Len() != 0 {
		t.Errorf("got last %d, %d entries", j.Last(), j.Len())
	}
	if s, err := j.Get(FirstSeq + 5); err != nil || s.Err == nil || s.Seq != FirstSeq+5 {
		t.Errorf("got %v, %v of an entry that is gone", s, err)
	}
}

func TestLoadBounds(t *testing.T) {
	j := mustOpen(t, t.TempDir(), Options{})
	r := ReaderOf("r")
	var add []Entry
	for seq := range uint64(10) {
		add = append(add, newEntry(seq+1, 100, r))
	}
	mustCommit(t, j, add)
	for _, c := range []struct {
		after, upTo uint64
		most        int64
		want        int
	}{{0, 100, 1 << 30, 10}, {3, 5, 1 << 30, 2}, {3, 5, 1, 1}, {0, 10, 350, 3}, {10, 100, 1000, 0}, {1<<63 - 1, 1<<63 - 1, 1, 0}, {5, 3, 1000, 0}} {
		loaded, err := j.Load(r, FirstSeq+c.after, FirstSeq+c.upTo, c.most)
		if err != nil || len(loaded) != c.want || c.want > 0 && loaded[0].Seq != FirstSeq+c.after+1 {
			t.Errorf("loading after %d up to %d, %d bytes: got %d entries, error %v, want %d", c.after, c.upTo, c.most, len(loaded), err, c.want)
		}
	}
	if loaded, err := j.Load(77, 0, 100, 1000); err != nil || len(loaded) > 0 {
		t.Errorf("got %v, %v of an unknown reader", loaded, err)
	}
}

func TestRefusesWhatIsOutOfOrder(t *testing.T) {
	j := mustOpen(t, t.TempDir(), Options{})
	r := ReaderOf("r")
	mustCommit(t, j, []Entry{newEntry(3, 0, r)})
	for name, add := range map[string][]Entry{
		"again":      {newEntry(3, 0, r)},
		"descending": {newEntry(5, 0, r), newEntry(4, 0, r)},
		"no reader":  {newEntry(6, 0)},
		"size":       {{Seq: FirstSeq + 6, Size: -1, Readers: []Reader{r}}},
	} {
		if err := j.Commit(add, nil); err == nil {
			t.Errorf("%s: no error", name)
		}
	}
	mustCommit(t, j, []Entry{newEntry(6, 0, r)})
	wantSeqs(t, j, r, 3, 6)
}

// TestStuckEntry has one entry that is never done, while others come and go.
func TestStuckEntry(t *testing.T) {
	o := Options{SegmentBytes: 4 << 10}
	j := mustOpen(t, t.TempDir(), o)
	stuck, r := ReaderOf("stuck"), ReaderOf("flow")
	mustCommit(t, j, []Entry{newEntry(1, 100, stuck, r)})
	mustCommit(t, j, nil, Done{FirstSeq + 1, r})
	for seq := uint64(2); seq < 500; seq++ {
		mustCommit(t, j, []Entry{newEntry(seq, 200, r)})
		mustCommit(t, j, nil, Done{FirstSeq + seq, r})
		if j.DiskBytes() > 8*o.SegmentBytes {
			t.Fatalf("%d bytes on disk after %d entries", j.DiskBytes(), seq)
		}
		if seq%100 == 0 {
			j = reopen(t, j, o)
		}
		if seq%10 == 0 {
			wantSeqs(t, j, stuck, 1)
		}
	}
	files, _ := os.ReadDir(j.path)
	if len(files) != len(j.segments) {
		t.Errorf("%d files for %d segments", len(files), len(j.segments))
	}
	mustCommit(t, j, nil, Done{FirstSeq + 1, stuck})
	j = reopen(t, j, o)
	wantSeqs(t, j, stuck)
	wantSeqs(t, j, r)
}

// TestManyRestarts makes a small segment each time, with an entry that stays.
func TestManyRestarts(t *testing.T) {
	j := mustOpen(t, t.TempDir(), Options{})
	r := ReaderOf("r")
	var want []uint64
	for seq := uint64(1); seq < 40; seq++ {
		mustCommit(t, j, []Entry{newEntry(seq, 10, r)})
		want = append(want, seq)
		j = reopen(t, j, Options{})
	}
	wantSeqs(t, j, r, want...)
	if len(j.segments) > 6 {
		t.Errorf("%d segments", len(j.segments))
	}
}

func TestInUse(t *testing.T) {
	j := mustOpen(t, t.TempDir(), Options{})
	if _, err := Open(j.path, Options{}); !errors.Is(err, ErrInUse) {
		t.Errorf("got %v, want ErrInUse", err)
	}
	mustOpen(t, t.TempDir(), Options{})
}

func TestForeign(t *testing.T) {
	dir := t.TempDir()
	newer := appendHead(nil, 7)
	newer[11]++
	newer = appendSum(newer[:headSize-sumSize], 0)
	if err := os.WriteFile(filepath.Join(dir, segmentName(1, 7)), newer, 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := Open(dir, Options{}); !errors.Is(err, ErrForeign) {
		t.Errorf("got %v, want ErrForeign", err)
	}
	dir = t.TempDir()
	for _, name := range []string{"spool.db", "lost+found", "00000001.journal", "1-1.journal"} {
		if err := os.WriteFile(filepath.Join(dir, name), []byte("not of the journal"), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	j := mustOpen(t, dir, Options{})
	r := ReaderOf("r")
	mustCommit(t, j, []Entry{newEntry(1, 0, r)})
	wantSeqs(t, reopen(t, j, Options{}), r, 1)
	if content, err := os.ReadFile(filepath.Join(dir, "spool.db")); err != nil || string(content) != "not of the journal" {
		t.Errorf("got %q, %v", content, err)
	}
}

func TestMoved(t *testing.T) {
	for name, target := range map[string]func(j *Journal) string{
		"directory": func(j *Journal) string { return j.path },
		"segment":   func(j *Journal) string { return filepath.Join(j.path, j.segments[0].name) },
	} {
		t.Run(name, func(t *testing.T) {
			j := mustOpen(t, filepath.Join(t.TempDir(), "journal"), Options{})
			r := ReaderOf("r")
			mustCommit(t, j, []Entry{newEntry(1, 0, r)})
			path := target(j)
			away := filepath.Join(t.TempDir(), "away")
			if err := os.Rename(path, away); err != nil {
				t.Fatal(err)
			}
			for range 3 {
				if err := j.Check(); !errors.Is(err, ErrMoved) {
					t.Errorf("got %v, want ErrMoved", err)
				}
				if err := j.Commit([]Entry{newEntry(2, 0, r)}, nil); !errors.Is(err, ErrMoved) {
					t.Errorf("got %v, want ErrMoved", err)
				}
			}
			if err := os.Rename(away, path); err != nil {
				t.Fatal(err)
			}
			if err := j.Check(); err != nil {
				t.Error(err)
			}
			mustCommit(t, j, []Entry{newEntry(2, 0, r)}, Done{FirstSeq + 1, r})
			wantSeqs(t, j, r, 2)
			wantSeqs(t, reopen(t, j, Options{}), r, 2)
		})
	}
}

func TestMovedOlderSegment(t *testing.T) {
	j := mustOpen(t, t.TempDir(), Options{SegmentBytes: 1})
	r := ReaderOf("r")
	mustCommit(t, j, []Entry{newEntry(1, 0, r)})
	mustCommit(t, j, []Entry{newEntry(2, 0, r)})
	path := filepath.Join(j.path, j.segments[0].name)
	if err := os.Rename(path, path+".away"); err != nil {
		t.Fatal(err)
	}
	if _, err := j.Load(r, 0, math.MaxUint64, 1<<20); !errors.Is(err, ErrMoved) {
		t.Errorf("got %v, want ErrMoved", err)
	}
	if err := os.Rename(path+".away", path); err != nil {
		t.Fatal(err)
	}
	wantSeqs(t, j, r, 1, 2)
}

// TestReadsBesideCommits reads entries while segments come and go.
func TestReadsBesideCommits(t *testing.T) {
	j := mustOpen(t, t.TempDir(), Options{SegmentBytes: 1 << 10})
	r := ReaderOf("r")
	var readers sync.WaitGroup
	for seq := uint64(1); seq <= 300; seq++ {
		mustCommit(t, j, []Entry{newEntry(seq, 200, r)})
		readers.Go(func() {
			if s, err := j.Get(FirstSeq + seq); err != nil || s.Err != nil {
				t.Errorf("entry %d: %v, %v", seq, err, s.Err)
			}
			if loaded, err := j.Load(r, 0, FirstSeq+seq, 1000); err != nil || len(loaded) == 0 || loaded[0].Err != nil {
				t.Errorf("before entry %d: %v, %v", seq, err, loaded)
			}
			j.Contents(r)
		})
		if seq%20 == 0 {
			readers.Wait()
			for done := seq - 19; done < seq; done++ {
				mustCommit(t, j, nil, Done{FirstSeq + done, r})
			}
		}
	}
	readers.Wait()
}

// TestAgainstModel plays random calls, with restarts, on a journal and on a map.
func TestAgainstModel(t *testing.T) {
	seed := rand.Uint64()
	t.Logf("seed %d", seed)
	random := rand.New(rand.NewPCG(seed, 0))
	o := Options{SegmentBytes: 2 << 10}
	j := mustOpen(t, t.TempDir(), o)
	names := []string{"a", "b", "c", "d"}
	model := map[string]map[uint64]bool{}
	for _, n := range names {
		model[n] = map[uint64]bool{}
	}
	for range 3000 {
		var add []Entry
		var done []Done
		for range random.IntN(4) {
			e := newEntry(j.Last()-FirstSeq+uint64(len(add))+1, random.IntN(300))
			for _, i := range random.Perm(len(names))[:1+random.IntN(len(names))] {
				e.Readers = append(e.Readers, ReaderOf(names[i]))
				model[names[i]][e.Seq-FirstSeq] = true
			}
			add = append(add, e)
		}
		for _, n := range names {
			most := random.IntN(5)
			for seq := range model[n] {
				if most--; most < 0 {
					break
				}
				if seq%50 != 0 || random.IntN(20) == 0 { // some stay long
					done = append(done, Done{FirstSeq + seq, ReaderOf(n)})
					delete(model[n], seq)
				}
			}
		}
		mustCommit(t, j, add, done...)
		switch random.IntN(100) {
		case 0:
			j = reopen(t, j, o)
		case 1:
			n := names[random.IntN(len(names))]
			if err := j.Drop(ReaderOf(n), math.MaxUint64); err != nil {
				t.Fatal(err)
			}
			model[n] = map[uint64]bool{}
		case 2, 3, 4:
			for _, n := range names {
				var want []uint64
				for seq := range model[n] {
					want = append(want, seq)
				}
				slices.Sort(want)
				wantSeqs(t, j, ReaderOf(n), want...)
			}
		}
	}
	if len(j.segments) > int(2*j.live/o.SegmentBytes)+8 {
		t.Errorf("%d segments for %d bytes", len(j.segments), j.live)
	}
}
