package source

import (
	"fmt"
	"maps"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"go.uber.org/zap"
	"go.uber.org/zap/zaptest/observer"
	"golang.org/x/sys/unix"
)

// platter is what of a file has reached the disk, as the kernel promises it: what has been written since the last sync may be there
// or not, and after a sync that failed no later one brings it there.
type platter struct {
	t       *testing.T
	file    *os.File
	safe    []byte
	pending []writing
	random  *rand.Rand
	// lucky says that what a failed sync was about has reached the disk all the same.
	lucky bool
}

type writing struct {
	at      int64
	content []byte
}

func newPlatter(t *testing.T, path string, seed uint64, lucky bool) *platter {
	t.Helper()
	file, err := os.Open(path)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = file.Close() })
	safe, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	return &platter{t: t, file: file, safe: safe, random: rand.New(rand.NewPCG(seed, 0)), lucky: lucky}
}

// see takes note of a call and of what came of it.
func (p *platter) see(c systemCall, n int64, errno unix.Errno) {
	switch {
	case c.writes() && n > 0 && errno == 0:
		w := writing{at: int64(c.args[3]), content: make([]byte, n)}
		if _, err := p.file.ReadAt(w.content, w.at); err != nil {
			p.t.Error(err)
		}
		p.pending = append(p.pending, w)
	case c.syncs() && errno == 0:
		p.safe = p.with(p.pending)
		p.pending = nil
	case c.syncs():
		if p.lucky {
			p.safe = p.with(p.pending)
		}
		p.pending = nil
	}
}

func (p *platter) with(written []writing) []byte {
	after := slices.Clone(p.safe)
	for _, w := range written {
		if missing := w.at + int64(len(w.content)) - int64(len(after)); missing > 0 {
			after = append(after, make([]byte, missing)...)
		}
		copy(after[w.at:], w.content)
	}
	info, err := p.file.Stat()
	if err != nil {
		p.t.Error(err)
		return after
	}
	if missing := info.Size() - int64(len(after)); missing > 0 {
		after = append(after, make([]byte, missing)...)
	}
	return after
}

// remains are the events of the file after the power has failed now.
func (p *platter) remains() (map[uint64]bool, error) {
	var reached []writing
	for _, w := range p.pending {
		if p.random.IntN(2) == 0 {
			reached = append(reached, w)
		}
	}
	return eventsIn(p.t, p.with(reached))
}

// eventsIn are the events that a process finds that starts with this file.
func eventsIn(t *testing.T, content []byte) (map[uint64]bool, error) {
	t.Helper()
	dir := t.TempDir()
	if err := os.WriteFile(filepath.Join(dir, spoolFile), content, 0o600); err != nil {
		return nil, err
	}
	s, err := openSpool(dir)
	if err != nil {
		return nil, err
	}
	defer func() { _ = os.RemoveAll(dir) }()
	defer func() { _ = s.close() }()
	loaded, err := s.load(0, 1<<62, 1<<40)
	if err != nil {
		return nil, err
	}
	found := map[uint64]bool{}
	for _, k := range loaded {
		found[k.seq] = true
	}
	if s.found.totals.events != int64(len(found)) {
		return found, fmt.Errorf("it says that it has %d events, and it has %d", s.found.totals.events, len(found))
	}
	return found, nil
}

// fault is what becomes of some calls.
type fault struct {
	name  string
	errno unix.Errno
	most  uint64 // how many bytes of a write are written all the same
	times int    // how many calls in a row fail
	lucky bool   // what a failed sync was about has reached the disk
}

// TestSpoolSurvivesEachFailure lets each call of a commit fail in turn, and the power after any: what is in the file is what was
// before, or what was to be, and after a commit that succeeded what was to be.
func TestSpoolSurvivesEachFailure(t *testing.T) {
	seed := rand.Uint64()
	t.Logf("seed %d", seed)
	for _, f := range []fault{
		{name: "EIO", errno: unix.EIO, times: 1},
		{name: "EIO of what was written", errno: unix.EIO, times: 1, lucky: true},
		{name: "EIO four times", errno: unix.EIO, times: 4},
		{name: "ENOSPC", errno: unix.ENOSPC, times: 1},
		{name: "short write", errno: unix.ENOSPC, most: 100, times: 2},
		{name: "short write of a page's start", errno: unix.EIO, most: 48, times: 2, lucky: true},
	} {
		t.Run(f.name, func(t *testing.T) {
			for n, more := 0, true; more && !t.Failed(); n++ {
				more = f.strike(t, n, seed)
			}
		})
	}
}

// strike lets the calls from the n-th on fail, and tells whether there were as many.
func (f fault) strike(t *testing.T, n int, seed uint64) bool {
	t.Helper()
	s := open(t, t.TempDir())
	want := map[uint64]bool{}
	var group []*kept
	for seq := range uint64(35) {
		group = append(group, record(t, seq+1, 3*kib))
		want[seq+1] = true
	}
	if err := s.commit(group, nil); err != nil {
		t.Fatal(err)
	}
	disk, calls := newPlatter(t, s.path, seed, f.lucky), 0
	commit := func(attempts int, add []*kept, remove ...uint64) {
		before := maps.Clone(want)
		for _, k := range add {
			want[k.seq] = true
		}
		for _, seq := range remove {
			delete(want, seq)
		}
		check := func(committed bool) {
			if found, err := disk.remains(); err != nil || !maps.Equal(found, want) && (committed || !maps.Equal(found, before)) {
				t.Errorf("call %d fails: %d events remain after %d calls, committed %t; %v", n, len(found), calls, committed, err)
			}
		}
		var err error
		disturb(t, func(c systemCall) (int64, unix.Errno) {
			value, errno := f.answer(c, calls-n)
			calls++
			disk.see(c, value, errno)
			if c.syncs() || errno != 0 {
				check(false)
			}
			return value, errno
		}, func() {
			for range attempts {
				if err = s.commit(add, gone(remove...)); err == nil {
					return
				}
			}
		})
		if err != nil {
			t.Errorf("call %d fails: %v", n, err)
		}
		check(true)
	}
	commit(f.times+1, []*kept{record(t, 36, 3*kib), record(t, 37, 3*kib), record(t, 38, 20*kib)}, 3, 4, 5, 20, 35)
	failed := calls > n
	for seq := range uint64(3) { // whose pages may be those that were free in between
		commit(f.times+1, []*kept{record(t, 40+seq, 5*kib)}, 6+seq)
	}
	if got := stock(t, s).totals.events; got != int64(len(want)) {
		t.Errorf("call %d fails: got %d events in the end, want %d", n, got, len(want))
	}
	if err := s.close(); err != nil {
		t.Error(err)
	}
	content, err := os.ReadFile(s.path)
	if err != nil {
		t.Fatal(err)
	}
	if found, err := eventsIn(t, content); err != nil || !maps.Equal(found, want) {
		t.Errorf("call %d fails: the next process finds %d events, %v; want %d", n, len(found), err, len(want))
	}
	return failed
}

// answer makes a call, or lets it fail that comes so many calls after the first that does.
func (f fault) answer(c systemCall, after int) (int64, unix.Errno) {
	switch {
	case after < 0 || after >= f.times:
		return c.perform(all)
	case after == 0 && c.writes() && f.most > 0:
		return c.perform(f.most)
	default:
		return 0, f.errno
	}
}

// A file that is renamed is there after the power has failed once its directory has been synced, and so is a directory in another.
func TestSpoolIsInItsDirectoryToStay(t *testing.T) {
	root := t.TempDir()
	dir := filepath.Join(root, "made", "by the spool")
	var synced []string
	renamed := false
	disturb(t, func(c systemCall) (int64, unix.Errno) {
		switch name, _ := os.Readlink(fmt.Sprintf("/proc/self/fd/%d", c.fd)); {
		case c.number == unix.SYS_RENAMEAT, c.number == unix.SYS_RENAMEAT2:
			renamed = true
		case c.syncs() && (renamed || name != dir):
			synced = append(synced, name)
		}
		return c.perform(all)
	}, func() {
		s, err := openSpool(dir)
		if err != nil {
			t.Error(err)
			return
		}
		_ = s.close()
	})
	for _, want := range []string{root, filepath.Dir(dir), dir} {
		if !slices.Contains(synced, want) {
			t.Errorf("%s has not been synced", want)
		}
	}
	disturb(t, func(c systemCall) (int64, unix.Errno) {
		if c.number == unix.SYS_FSYNC {
			return 0, unix.EIO
		}
		return c.perform(all)
	}, func() {
		if s, err := openSpool(dir); err == nil {
			_ = s.close()
			t.Error("it was opened, and may not be there tomorrow")
		}
	})
}

// A disk that does not answer is told of, and what waits for it has its age.
func TestDiskThatHangs(t *testing.T) {
	dir := t.TempDir()
	core, logs := observer.New(zap.DebugLevel)
	s := open(t, dir)
	b := newBuffer(10, 100*kib, Unordered, slow, s)
	src := &source{buffer: b, logger: zap.New(core).Sugar(), deliverer: &deliverer{}, config: &Config{}}
	s.stalled = src.stalled
	k := sized("a", kib)
	k.received = time.Now().Add(-time.Hour)
	put(t, b, k)
	hanging, answers := make(chan struct{}), make(chan struct{})
	go func() {
		defer close(answers)
		<-hanging
		eventually(t, func() string {
			status := b.status()
			if status.writing == nil {
				return "the disk is said to be well"
			}
			if says := status.writing.Error(); !strings.Contains(says, s.path) || !strings.Contains(says, "hangs") {
				t.Errorf("got %q, want an error that names the file", says)
			}
			if !status.oldest.Equal(k.received) {
				t.Errorf("got %s for the oldest event, want %s", status.oldest, k.received)
			}
			if err := src.ready(); err == nil || !strings.Contains(err.Error(), "hangs") {
				t.Errorf("it says it is ready: %v", err)
			}
			return ""
		})
	}()
	hang := sync.OnceFunc(func() {
		close(hanging)
		<-answers
	})
	disturb(t, func(c systemCall) (int64, unix.Errno) {
		if c.syncs() {
			hang()
		}
		return c.perform(all)
	}, func() {
		c := &committer{buffer: b, metrics: noMetrics(t), logger: zap.NewNop().Sugar()}
		if !c.commit(t.Context()) {
			t.Error("the commit failed")
		}
	})
	if err := b.status().writing; err != nil {
		t.Errorf("got %v of a disk that answers", err)
	}
	for _, message := range []string{"the disk of the spool hangs: nothing more is received until it answers", "the disk of the spool answers again"} {
		if n := logs.FilterMessage(message).Len(); n != 1 {
			t.Errorf("got %d lines %q, want 1", n, message)
		}
	}
}
