package journal

import (
	"bytes"
	"math"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"testing"
)

// copyOf copies a journal's files to a directory of their own.
func copyOf(tb testing.TB, dir string) string {
	tb.Helper()
	to := tb.TempDir()
	if err := os.CopyFS(to, os.DirFS(dir)); err != nil {
		tb.Fatal(err)
	}
	return to
}

// spans are where the frames of entries are in a segment, by their Seq.
func spans(content []byte, mark uint32) map[uint64][2]int {
	found := map[uint64][2]int{}
	for at := headSize; at < len(content); {
		f, ok := parseFrame(content, at, mark)
		if !ok {
			panic("not a frame")
		}
		if f.kind == entryFrame {
			e, _ := f.parseEntry()
			found[e.seq.value()] = [2]int{at, f.end}
		}
		at = f.end
	}
	return found
}

// TestDamageCostsOnlyItself changes bytes anywhere in a journal: all entries that they are not in are still there.
func TestDamageCostsOnlyItself(t *testing.T) {
	seed := rand.Uint64()
	t.Logf("seed %d", seed)
	random := rand.New(rand.NewPCG(seed, 0))
	o := Options{SegmentBytes: 4 << 10}
	j := mustOpen(t, t.TempDir(), o)
	a, b := ReaderOf("a"), ReaderOf("b")
	want := map[Reader][]uint64{}
	for seq := uint64(1); seq <= 60; seq++ {
		e := newEntry(seq, random.IntN(600), a)
		if want[a] = append(want[a], FirstSeq+seq); random.IntN(2) == 0 {
			e.Readers = append(e.Readers, b)
			want[b] = append(want[b], FirstSeq+seq)
		}
		mustCommit(t, j, []Entry{e})
	}
	original := copyOf(t, j.path)
	for range 100 {
		dir := copyOf(t, original)
		hit := map[uint64]bool{}
		for range 1 + random.IntN(3) {
			s := j.segments[random.IntN(len(j.segments))]
			content, err := os.ReadFile(filepath.Join(original, s.name))
			if err != nil {
				t.Fatal(err)
			}
			where := spans(content, s.mark)
			if content, err = os.ReadFile(filepath.Join(dir, s.name)); err != nil {
				t.Fatal(err)
			}
			from := random.IntN(len(content))
			to := min(len(content), from+1+random.IntN(1<<random.IntN(11)))
			zero := random.IntN(2) == 0
			for i := from; i < to; i++ {
				if zero {
					content[i] = 0
				} else {
					content[i] ^= byte(1 + random.IntN(255))
				}
			}
			for seq, span := range where {
				if from < span[1] && to > span[0] {
					hit[seq] = true
				}
			}
			if err := os.WriteFile(filepath.Join(dir, s.name), content, 0o600); err != nil {
				t.Fatal(err)
			}
		}
		checkDamaged(t, dir, o, want, hit)
		if t.Failed() {
			return
		}
	}
}

func checkDamaged(t *testing.T, dir string, o Options, want map[Reader][]uint64, hit map[uint64]bool) {
	t.Helper()
	k := mustOpen(t, dir, o)
	var before [2]map[Reader][]Stored
	for round := range before { // what is found is found again, by the same Seq
		before[round] = map[Reader][]Stored{}
		for _, name := range []string{"a", "b"} {
			r := ReaderOf(name)
			last := uint64(0)
			loaded := loadAll(t, k, r)
			before[round][r] = loaded
			found := map[uint64]bool{}
			for _, s := range loaded {
				if s.Seq <= last {
					t.Fatalf("entry %d after %d", s.Seq, last)
				}
				last, found[s.Seq] = s.Seq, s.Err == nil
				if s.Err == nil && !slices.Contains(want[r], s.Seq) {
					t.Errorf("%s has entry %d, which it never had", name, s.Seq)
				}
				if s.Err == nil && !bytes.Equal(s.Record, newRecord(s.Seq-FirstSeq, len(s.Record))) {
					t.Errorf("entry %d has other bytes", s.Seq)
				}
			}
			for _, seq := range want[r] {
				if !found[seq] && !hit[seq] {
					t.Errorf("%s has lost entry %d, damaged were only %v", name, seq, hit)
				}
			}
		}
		mustCommit(t, k, []Entry{newEntry(k.Last()-FirstSeq+1, 0, 1)}, Done{k.Last() + 1, 1})
		k = reopen(t, k, o)
	}
	for r, loaded := range before[0] {
		if !slices.EqualFunc(loaded, before[1][r], func(a, b Stored) bool { return a.Seq == b.Seq && bytes.Equal(a.Record, b.Record) }) {
			t.Errorf("reader %d: %d entries, and %d after another start", r, len(loaded), len(before[1][r]))
		}
	}
	for r := range want {
		var done []Done
		for _, s := range loadAll(t, k, r) {
			done = append(done, Done{s.Seq, r})
		}
		mustCommit(t, k, nil, done...)
	}
	k = reopen(t, k, o)
	for r := range want {
		if left := loadAll(t, k, r); len(left) > 0 {
			t.Errorf("%d entries come again after they were done with: %d %v", len(left), left[0].Seq, left[0].Err)
		}
	}
	_ = k.Close()
}

// TestDamageAlone has a damage before there is any entry, and with it a reader who may have been meant.
func TestDamageAlone(t *testing.T) {
	r := ReaderOf("r")
	j := mustOpen(t, t.TempDir(), Options{})
	mustCommit(t, j, nil, Done{FirstSeq + 1, r})
	path := filepath.Join(j.path, j.segments[0].name)
	content, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	content = slices.Insert(content, headSize, []byte("damage")...)
	if err := os.WriteFile(path, content, 0o600); err != nil {
		t.Fatal(err)
	}
	j = reopen(t, j, Options{})
	mustCommit(t, j, nil, Done{FirstSeq + 1, r})
	mustCommit(t, j, []Entry{newEntry(2, 0, r)})
	if loaded := loadAll(t, j, r); len(loaded) != 2 || string(loaded[0].Record) != "damage" || loaded[0].Err == nil || loaded[1].Err != nil {
		t.Errorf("got %v", loaded)
	}
}

func FuzzOpen(f *testing.F) {
	j := mustOpen(f, f.TempDir(), Options{})
	a, b := ReaderOf("a"), ReaderOf("b")
	mustCommit(f, j, []Entry{newEntry(1, 0, a), newEntry(2, 100, a, b)})
	mustCommit(f, j, []Entry{newEntry(3, 0, a)}, Done{FirstSeq + 1, a})
	mustCommit(f, j, nil, Done{FirstSeq + 2, b})
	name := j.segments[0].name
	content, err := os.ReadFile(filepath.Join(j.path, name))
	if err != nil {
		f.Fatal(err)
	}
	f.Add(content)
	f.Add(content[:len(content)-3])
	f.Add([]byte{})
	f.Fuzz(func(t *testing.T, content []byte) {
		dir := t.TempDir()
		if err := os.WriteFile(filepath.Join(dir, name), content, 0o600); err != nil {
			t.Fatal(err)
		}
		j := mustOpen(t, dir, Options{})
		r := ReaderOf("new")
		if j.Last() > math.MaxUint64-10 {
			return
		}
		seq := j.Last() + 1
		mustCommit(t, j, []Entry{newEntry(seq-FirstSeq, 0, r)})
		j = reopen(t, j, Options{})
		if s, err := j.Get(seq); err != nil || s.Err != nil {
			t.Errorf("got %v, %v", s, err)
		}
		for r := range j.readers {
			loadAll(t, j, r)
		}
	})
}
