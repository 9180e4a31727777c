package journal

import (
	"bytes"
	"errors"
	"maps"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"sync/atomic"
	"syscall"
	"testing"
	"time"
)

// platter is what of a journal has reached the disk, as the kernel promises it: what was written since the last sync of a file may be
// there or not, page by page, and after a sync that failed no later one brings it there. The same holds for names and the directory.
type platter struct {
	disk
	random *rand.Rand
	files  map[string]*medium
	names  map[string]bool // that are there for good
	now    map[string]bool // that a process sees

	fault  fault
	calls  int // so far
	failed int
	reused bool // a file after its sync had failed
}

type medium struct {
	safe    []byte
	pending []change
	failed  bool // a sync
}

// change is a page that was written, or with size 0 or more the size that a file was given.
type change struct {
	at      int64
	content []byte
	size    int64
}

// fault is what becomes of some calls.
type fault struct {
	name  string
	first int // of the calls that fail
	times int
	errno syscall.Errno
	most  int  // how many bytes of a write are written all the same
	lucky bool // what a failed call was about has been done all the same
}

func (p *platter) fails() bool {
	p.calls++
	if p.calls > p.fault.first && p.failed < p.fault.times {
		p.failed++
		return true
	}
	return false
}

func (p *platter) open(name string, flags int) (file, error) {
	create := flags&os.O_CREATE != 0
	if create && p.fails() {
		return nil, p.fault.errno
	}
	f, err := p.disk.open(name, flags)
	if err != nil {
		return nil, err
	}
	if create {
		p.files[name], p.now[name] = &medium{}, true
	}
	return &platterFile{file: f, platter: p, medium: p.files[name]}, nil
}

func (p *platter) remove(name string) error {
	if p.fails() {
		return p.fault.errno
	}
	delete(p.now, name)
	return p.disk.remove(name)
}

func (p *platter) sync() error {
	failed := p.fails()
	if !failed || p.fault.lucky {
		p.names = maps.Clone(p.now)
	}
	if failed {
		return p.fault.errno
	}
	return nil
}

type platterFile struct {
	file
	platter *platter
	medium  *medium
}

func (f *platterFile) WriteAt(b []byte, at int64) (n int, err error) {
	f.platter.reused = f.platter.reused || f.medium.failed
	if f.platter.fails() {
		b, err = b[:min(f.platter.fault.most, len(b))], f.platter.fault.errno
	}
	n, writeErr := f.file.WriteAt(b, at)
	const page = 64 // small, as the records are
	for i := 0; i < n; i += page {
		f.medium.pending = append(f.medium.pending, change{at: at + int64(i), content: bytes.Clone(b[i:min(n, i+page)]), size: -1})
	}
	return n, errors.Join(err, writeErr)
}

func (f *platterFile) Truncate(size int64) error {
	if f.platter.fails() {
		return f.platter.fault.errno
	}
	f.medium.pending = append(f.medium.pending, change{size: size})
	return f.file.Truncate(size)
}

func (f *platterFile) Sync() error {
	failed := f.platter.fails()
	if !failed || f.platter.fault.lucky {
		f.medium.safe = f.medium.with(func() bool { return true })
	}
	f.medium.pending, f.medium.failed = nil, failed
	if failed {
		return f.platter.fault.errno
	}
	return nil
}

func (m *medium) with(reached func() bool) []byte {
	after := bytes.Clone(m.safe)
	for _, w := range m.pending {
		switch {
		case !reached():
		case w.size >= 0:
			after = append(after, make([]byte, max(0, w.size-int64(len(after))))...)[:w.size]
		default:
			after = append(after, make([]byte, max(0, w.at+int64(len(w.content))-int64(len(after))))...)
			copy(after[w.at:], w.content)
		}
	}
	return after
}

// crash returns a directory with what is left when the power fails now.
func (p *platter) crash(t *testing.T) string {
	t.Helper()
	dir := t.TempDir()
	share := p.random.Float64() * 1.2 // of what has not been synced
	reached := func() bool { return p.random.Float64() < share }
	for name, m := range p.files {
		if p.names[name] == p.now[name] && !p.now[name] || p.names[name] != p.now[name] && p.names[name] == reached() {
			continue
		}
		if err := os.WriteFile(filepath.Join(dir, name), m.with(reached), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	return dir
}

// promises are what a journal has said of its entries.
type promises struct {
	tried  map[uint64]bool         // to keep
	kept   map[uint64]map[int]bool // readers that are not done
	done   map[Done]bool           // and that is safe
	unsure map[uint64]bool         // what was being written, of these, when the process ended
}

// check compares what a reader has with what was promised. What was never acknowledged may be there or not.
func (p *promises) check(t *testing.T, j *Journal, exact bool) {
	t.Helper()
	for i, name := range []string{"a", "b"} {
		r := ReaderOf(name)
		found := map[uint64]bool{}
		last := uint64(0)
		for _, s := range loadAll(t, j, r) {
			if s.Seq <= last {
				t.Errorf("entry %d after %d", s.Seq, last)
			}
			last = s.Seq
			if s.Err != nil {
				if exact {
					t.Errorf("entry %d: %v", s.Seq, s.Err)
				}
				continue
			}
			found[s.Seq] = true
			if !p.tried[s.Seq] || !bytes.Equal(s.Record, newRecord(s.Seq-FirstSeq, len(s.Record))) || p.done[Done{s.Seq, r}] || exact && !p.kept[s.Seq][i] && !p.unsure[s.Seq] {
				t.Errorf("%s has entry %d: %.30q, done: %v", name, s.Seq, s.Record, p.done[Done{s.Seq, r}])
			}
		}
		for seq, readers := range p.kept {
			if readers[i] && !found[seq] {
				t.Errorf("%s has lost entry %d", name, seq)
			}
		}
	}
}

// TestSurvivesEachFailure lets each call of a life fail in turn, and the power at any time.
func TestSurvivesEachFailure(t *testing.T) {
	seed := rand.Uint64()
	t.Logf("seed %d", seed)
	for _, f := range []fault{
		{name: "none"},
		{name: "EIO", errno: syscall.EIO, times: 1},
		{name: "EIO of what was done", errno: syscall.EIO, times: 1, lucky: true, most: 1 << 20},
		{name: "EIO five times", errno: syscall.EIO, times: 5},
		{name: "ENOSPC", errno: syscall.ENOSPC, times: 3},
		{name: "short write", errno: syscall.ENOSPC, times: 2, most: 100},
		{name: "short write that stays", errno: syscall.ENOSPC, times: 2, most: 150, lucky: true},
	} {
		t.Run(f.name, func(t *testing.T) {
			for f.first = 0; ; f.first++ {
				if calls := live(t, f, rand.New(rand.NewPCG(seed, uint64(f.first)))); calls <= f.first || t.Failed() {
					t.Logf("%d calls", calls)
					return
				}
			}
		})
	}
}

// live is the life of a journal, in which calls fail. It returns how many there were.
func live(t *testing.T, f fault, random *rand.Rand) int {
	t.Helper()
	p := &platter{random: random, files: map[string]*medium{}, names: map[string]bool{}, now: map[string]bool{}, fault: f}
	dir := t.TempDir()
	o := Options{SegmentBytes: 1 << 10}
	start := func() *Journal {
		j, err := open(dir, o, func(d disk) disk {
			p.disk = d
			return p
		})
		if err != nil {
			t.Fatal(err)
		}
		return j
	}
	j := start()
	defer func() { _ = j.Close() }()
	said := &promises{tried: map[uint64]bool{}, kept: map[uint64]map[int]bool{}, done: map[Done]bool{}, unsure: map[uint64]bool{}}
	end := func() {
		for _, d := range j.owed { // which is in memory alone
			said.unsure[d.Seq] = true
		}
		if err := j.Close(); err != nil {
			t.Error(err)
		}
	}
	restart := func() { // of the process alone: what it has not synced may still be lost
		end()
		j = start()
	}
	readers := []Reader{ReaderOf("a"), ReaderOf("b")}
	crashAt, restartAt := random.IntN(40), random.IntN(40)
	for step := range 40 {
		if step == restartAt {
			restart()
		}
		var add []Entry
		var done []Done
		for range random.IntN(3) {
			e := newEntry(j.Last()-FirstSeq+uint64(len(add))+1, random.IntN(300), readers[:1+random.IntN(2)]...)
			add, said.tried[e.Seq] = append(add, e), true
		}
		for _, seq := range slices.Sorted(maps.Keys(said.kept)) {
			for _, i := range slices.Sorted(maps.Keys(said.kept[seq])) {
				if seq != FirstSeq+1 && random.IntN(3) == 0 { // one is never done
					done = append(done, Done{seq, readers[i]})
				}
			}
		}
		for _, d := range done {
			delete(said.kept[d.Seq], slices.Index(readers, d.Reader)) // from now on it may be there or not
		}
		ended := false
		for tries := 0; ; tries++ {
			err := j.Commit(add, done)
			if err == nil {
				break
			}
			if ended = random.IntN(3) == 0; ended {
				restart()
				break
			}
			if tries > f.times {
				t.Fatalf("call %d, try %d: %v", f.first, tries, err)
			}
			if step == crashAt && random.IntN(2) == 0 {
				checkCrash(t, p, said, o)
			}
		}
		if ended {
			for _, e := range add {
				said.unsure[e.Seq] = true
			}
			for _, d := range done {
				said.unsure[d.Seq] = true
			}
			continue
		}
		for _, d := range done {
			said.done[d] = said.done[d] || len(add) > 0
		}
		for _, e := range add {
			said.kept[e.Seq] = map[int]bool{}
			for _, r := range e.Readers {
				said.kept[e.Seq][slices.Index(readers, r)] = true
			}
		}
		if step == crashAt {
			checkCrash(t, p, said, o)
		}
	}
	said.check(t, j, true)
	checkCrash(t, p, said, o)
	if p.reused {
		t.Error("a file has been written after its sync had failed")
	}
	end()
	again := mustOpen(t, dir, o)
	said.check(t, again, true)
	_ = again.Close()
	if t.Failed() {
		t.Logf("call %d failed", f.first)
	}
	return p.calls
}

func checkCrash(t *testing.T, p *platter, said *promises, o Options) {
	t.Helper()
	dir := p.crash(t)
	j := mustOpen(t, dir, o)
	said.check(t, j, false)
	_ = j.Close()
	_ = os.RemoveAll(dir)
}

// TestSyncsBeforeEachRemoval has segments that go, the first of them after a start: another may have been removed by the process before.
func TestSyncsBeforeEachRemoval(t *testing.T) {
	o := Options{SegmentBytes: 1}
	j := mustOpen(t, t.TempDir(), o)
	r := ReaderOf("r")
	mustCommit(t, j, []Entry{newEntry(1, 0, r)})
	mustCommit(t, j, []Entry{newEntry(2, 0, r)})
	if err := j.Close(); err != nil {
		t.Fatal(err)
	}
	d := &recorder{}
	j, err := open(j.path, o, func(below disk) disk {
		d.disk = below
		return d
	})
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = j.Close() }()
	mustCommit(t, j, nil, Done{FirstSeq + 1, r}, Done{FirstSeq + 2, r})
	if want := []string{"sync", "remove", "sync", "remove"}; !slices.Equal(d.calls, want) {
		t.Errorf("got %v, want %v", d.calls, want)
	}
}

// recorder notes what is done with the directory.
type recorder struct {
	disk
	calls []string
}

func (d *recorder) remove(name string) error {
	d.calls = append(d.calls, "remove")
	return d.disk.remove(name)
}

func (d *recorder) sync() error {
	d.calls = append(d.calls, "sync")
	return d.disk.sync()
}

// TestHangs has a disk that does not answer, in each call of a commit in turn.
func TestHangs(t *testing.T) {
	for _, call := range []string{"open", "write", "sync", "sync of the directory"} {
		t.Run(call, func(t *testing.T) {
			told := make(chan bool, 2)
			d := &hanging{call: call, waits: make(chan struct{})}
			j, err := open(t.TempDir(), Options{StallAfter: time.Millisecond, Stalled: func(hangs bool) { told <- hangs }}, func(below disk) disk {
				d.disk = below
				return d
			})
			if err != nil {
				t.Fatal(err)
			}
			defer func() { _ = j.Close() }()
			for len(told) > 0 { // a machine that is slow by itself
				<-told
			}
			d.armed.Store(true)
			r := ReaderOf("r")
			result := make(chan error)
			go func() { result <- j.Commit([]Entry{newEntry(1, 0, r)}, nil) }()
			for hangs := range told {
				if hangs {
					break
				}
			}
			if err := j.Hangs(); err == nil {
				t.Error("it does not hang")
			}
			j.Contents(r)
			close(d.waits)
			if err := <-result; err != nil {
				t.Error(err)
			}
			if hangs := <-told; hangs || j.Hangs() != nil {
				t.Errorf("it still hangs: %v", j.Hangs())
			}
			wantSeqs(t, j, r, 1)
		})
	}
}

type hanging struct {
	disk
	call  string
	armed atomic.Bool
	waits chan struct{}
}

func (d *hanging) wait(call string) {
	if d.armed.Load() && call == d.call {
		<-d.waits
	}
}

func (d *hanging) open(name string, flags int) (file, error) {
	d.wait("open")
	f, err := d.disk.open(name, flags)
	return &hangingFile{f, d}, err
}

func (d *hanging) sync() error {
	d.wait("sync of the directory")
	return d.disk.sync()
}

type hangingFile struct {
	file
	disk *hanging
}

func (f *hangingFile) WriteAt(b []byte, at int64) (int, error) {
	f.disk.wait("write")
	return f.file.WriteAt(b, at)
}

func (f *hangingFile) Sync() error {
	f.disk.wait("sync")
	return f.file.Sync()
}

// TestBlocksThatCannotBeRead cost the entries in them.
func TestBlocksThatCannotBeRead(t *testing.T) {
	o := Options{SegmentBytes: 32 << 10}
	j := mustOpen(t, t.TempDir(), o)
	r := ReaderOf("r")
	var want []uint64
	for seq := uint64(1); seq < 100; seq++ {
		mustCommit(t, j, []Entry{newEntry(seq, 1000, r)})
	}
	_ = j.Close()
	j, err := open(j.path, o, func(d disk) disk { return badBlock{d} })
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = j.Close() }()
	for _, s := range loadAll(t, j, r) {
		if s.Err == nil {
			want = append(want, s.Seq-FirstSeq)
		}
	}
	if n := len(want); n < 80 || n > 99-3 {
		t.Errorf("%d of 99 entries can be read", n)
	}
	if slices.Contains(want, 5) || !slices.Contains(want, 1) {
		t.Errorf("got %v", want)
	}
}

// badBlock has a block of each file that cannot be read.
type badBlock struct{ disk }

type badFile struct{ file }

func (d badBlock) open(name string, flags int) (file, error) {
	f, err := d.disk.open(name, flags)
	return badFile{f}, err
}

func (f badFile) ReadAt(b []byte, at int64) (int, error) {
	if at < 2*blockSize && at+int64(len(b)) > blockSize {
		return 0, syscall.EIO
	}
	return f.file.ReadAt(b, at)
}
