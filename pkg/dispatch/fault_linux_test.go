package dispatch_test

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/cloudevents/sdk-go/v2/event"
	"golang.org/x/sys/unix"

	"github.com/eventing-eventmesh/eventing-eventmesh/internal/diskfault"
	"github.com/eventing-eventmesh/eventing-eventmesh/pkg/dispatch"
)

// failing is a disk where calls of one kind fail while it is switched on.
type failing struct {
	atomic.Bool
	kind  diskfault.Kind
	errno unix.Errno
	least int64 // bytes of a write that fails
}

func (f *failing) answer(c diskfault.Call) unix.Errno {
	if f.Load() && c.Kind == f.kind && c.Bytes >= f.least {
		return f.errno
	}
	return 0
}

// hanging is a disk of which no sync returns while it hangs.
type hanging struct {
	mu  sync.Mutex
	end chan struct{}
}

func (h *hanging) answer(c diskfault.Call) unix.Errno {
	h.mu.Lock()
	end := h.end
	h.mu.Unlock()
	if end != nil && c.Kind == diskfault.Sync {
		<-end
	}
	return 0
}

// hang returns what makes the disk answer again.
func (h *hanging) hang(t *testing.T) (answer func()) {
	t.Helper()
	h.mu.Lock()
	defer h.mu.Unlock()
	end := make(chan struct{})
	h.end = end
	answer = sync.OnceFunc(func() {
		h.mu.Lock()
		defer h.mu.Unlock()
		h.end = nil
		close(end)
	})
	t.Cleanup(answer)
	return answer
}

// What the disk does not accept is neither acknowledged nor sent, and is told once. Once the disk accepts it, it is there once.
func TestDiskThatFails(t *testing.T) {
	t.Parallel()
	for name, fault := range map[string]*failing{
		"EIO of a write":    {kind: diskfault.Write, errno: unix.EIO},
		"EIO of a sync":     {kind: diskfault.Sync, errno: unix.EIO},
		"ENOSPC of a write": {kind: diskfault.Write, errno: unix.ENOSPC},
		"ENOSPC of a sync":  {kind: diskfault.Sync, errno: unix.ENOSPC},
		"EDQUOT of a write": {kind: diskfault.Write, errno: unix.EDQUOT},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			dir, to := t.TempDir(), &toy{}
			diskfault.Disturb(t, dir, fault.answer)
			p := run(t, dir, dispatch.LaneOptions{Destination: to, Ordering: dispatch.Strict})
			p.put("before")
			p.await("what is on disk delivered", func(s dispatch.Status) bool { return s.Events == 0 && s.Unremoved == 0 })
			fault.Store(true)
			p.put("a", "b", "c")
			p.await("a disk that fails", func(s dispatch.Status) bool { return s.Writing != nil })
			s := p.Status()
			if !errors.Is(s.Writing, fault.errno) || !strings.Contains(s.Writing.Error(), dir) || s.Events != 3 || s.Unsaved != 3 || s.Oldest.IsZero() {
				t.Errorf("got %+v, want the error of %s, and three events that are not on disk", s, dir)
			}
			p.wantAcknowledged("before")
			if got := to.ids(); fmt.Sprint(got) != "[before]" {
				t.Errorf("sent %v, though it is not on disk", got)
			}
			killed := copied(t, dir)
			fault.Store(false)
			p.await("all delivered", func(s dispatch.Status) bool { return s.Events == 0 && s.Writing == nil })
			p.end()
			p.wantAcknowledged("before", "a", "b", "c")
			if got := to.ids(); fmt.Sprint(got) != "[before a b c]" {
				t.Errorf("sent %v", got)
			}
			p.wantLines(1, "the spool cannot be written: nothing more is received until it can")
			p.wantLines(1, "the spool can be written again")
			if got := delivered(t, dir); len(got) > 0 {
				t.Errorf("%v are left", got)
			}
			// What was not acknowledged may be there all the same, and what can be opened can be delivered.
			for _, id := range delivered(t, killed) {
				if !slices.Contains([]string{"before", "a", "b", "c"}, id) {
					t.Errorf("after a kill there is %s", id)
				}
			}
		})
	}
}

// Nothing that has been acknowledged is lost when the process is killed, whatever the disk did before.
func TestKillAfterFailures(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	var calls atomic.Int64
	var well atomic.Bool
	diskfault.Disturb(t, dir, func(c diskfault.Call) unix.Errno {
		n := calls.Add(1)
		if well.Load() || n%7 != 0 && (c.Kind != diskfault.Sync || n%5 != 0) {
			return 0
		}
		return unix.EIO
	})
	p := run(t, dir, dispatch.LaneOptions{Destination: &toy{refuse: away}})
	var want []string
	for i := range 12 {
		want = append(want, fmt.Sprint(i))
		p.put(want[i])
		if i%4 == 3 {
			eventually(t, "all acknowledged", func() bool { return p.acknowledgements() == i+1 })
			if got := delivered(t, copied(t, dir)); fmt.Sprint(got) != fmt.Sprint(want) {
				t.Errorf("after a kill there are %v, want %v", got, want)
			}
		}
	}
	p.wantAcknowledged(want...)
	p.end()
	well.Store(true)
	if got := delivered(t, dir); fmt.Sprint(got) != fmt.Sprint(want) {
		t.Errorf("at the next start there are %v, want %v", got, want)
	}
}

// That events can be removed from a full disk does not mean that others can be added.
func TestFullDiskMakesRoomByDelivering(t *testing.T) {
	t.Parallel()
	dir, to := t.TempDir(), &toy{refuse: away}
	fault := &failing{kind: diskfault.Write, errno: unix.ENOSPC, least: 1000}
	diskfault.Disturb(t, dir, fault.answer)
	p := run(t, dir, dispatch.LaneOptions{Destination: to})
	p.put("on disk")
	p.awaitSaved()
	fault.Store(true)
	large := newEvent("large")
	large.DataEncoded = make([]byte, 2000)
	if err := p.Put(t.Context(), &dispatch.Message{Event: large}, p.lane); err != nil {
		t.Fatal(err)
	}
	p.await("a full disk", func(s dispatch.Status) bool { return s.Writing != nil })
	to.mu.Lock()
	to.refuse = nil
	to.mu.Unlock()
	p.await("room for others", func(s dispatch.Status) bool { return s.Events == 1 && s.Unremoved == 0 })
	if err := p.Status().Writing; !errors.Is(err, unix.ENOSPC) {
		t.Errorf("got %v, and an event is not on disk", err)
	}
	p.wantAcknowledged("on disk")
	if got := delivered(t, copied(t, dir)); len(got) > 0 {
		t.Errorf("%v would come again", got)
	}
	fault.Store(false)
	p.await("the other delivered", func(s dispatch.Status) bool { return s.Events == 0 && s.Writing == nil })
	p.end()
	p.wantAcknowledged("on disk", "large")
}

// What a disk does not accept is delivered at the end, and acknowledged once; what is on disk stays there.
func TestDrainWithAFullDisk(t *testing.T) {
	t.Parallel()
	dir, to := t.TempDir(), &toy{refuse: away}
	fault := &failing{kind: diskfault.Write, errno: unix.ENOSPC}
	diskfault.Disturb(t, dir, fault.answer)
	p := run(t, dir, dispatch.LaneOptions{Destination: to, Ordering: dispatch.Strict})
	p.put("on disk")
	p.awaitSaved()
	fault.Store(true)
	p.put("a", "b")
	p.await("a full disk", func(s dispatch.Status) bool { return s.Writing != nil })
	to.mu.Lock()
	failures := 3
	to.refuse = func(e event.Event) error {
		if failures--; failures > 0 || e.ID() == "on disk" {
			return errAway
		}
		return nil
	}
	to.mu.Unlock()
	p.end()
	if got := to.ids(); fmt.Sprint(got) != "[a b]" {
		t.Errorf("sent %v, want those that are not on disk, in order", got)
	}
	p.wantAcknowledged("on disk", "a", "b")
	if s := p.Status(); s.Unsaved != 0 || s.Events != 1 {
		t.Errorf("got %+v, want one event that stays", s)
	}
	fault.Store(false)
	if got := delivered(t, dir); fmt.Sprint(got) != "[on disk]" {
		t.Errorf("at the next start there are %v", got)
	}
}

// A disk that does not answer keeps no event from its destination at the end, and when it answers after all, nothing is acknowledged or
// counted twice.
func TestDrainWhileTheDiskHangs(t *testing.T) {
	t.Parallel()
	dir, one, two, disk := t.TempDir(), &toy{}, &toy{}, &hanging{}
	diskfault.Disturb(t, dir, disk.answer)
	p := run(t, dir, dispatch.LaneOptions{Destination: one, Ordering: dispatch.Strict})
	other := p.Lane(dispatch.LaneOptions{Name: "other", Destination: two, Retries: -1})
	answer := disk.hang(t)
	p.put("a")
	if err := p.Put(t.Context(), &dispatch.Message{Event: newEvent("b")}, p.lane, other); err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithTimeout(t.Context(), 8*time.Second) // of which the disk gets two
	defer cancel()
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		p.Drain(ctx)
	}()
	eventually(t, "all delivered", func() bool { return len(one.ids()) == 2 && len(two.ids()) == 1 })
	eventually(t, "both acknowledged", func() bool { return p.acknowledgements() == 2 })
	p.await("the end waiting for the disk alone", func(s dispatch.Status) bool {
		return s.Events == 0 && s.Bytes == 0 && s.Unsaved == 0 && s.Stage == "writing the spool"
	})
	answer()
	<-ended
	p.wantAcknowledged("a", "b")
	if s := p.Status(); s.Events != 0 || s.Bytes != 0 || s.Unsaved != 0 || s.Unremoved != 0 {
		t.Errorf("got %+v, want nothing left", s)
	}
	wantOnDisk(t, openDisk(t, dir), 0)
}

// A disk that does not answer is told of, and what waits for it has its age.
func TestDiskThatHangs(t *testing.T) {
	t.Parallel()
	dir, to, disk := t.TempDir(), &toy{}, &hanging{}
	diskfault.Disturb(t, dir, disk.answer)
	p := run(t, dir, dispatch.LaneOptions{Destination: to})
	answer := disk.hang(t)
	received := time.Now().Add(-time.Hour)
	if err := p.Put(t.Context(), &dispatch.Message{Event: newEvent("a"), Received: received}, p.lane); err != nil {
		t.Fatal(err)
	}
	p.await("a disk that hangs", func(s dispatch.Status) bool { return s.Writing != nil })
	s := p.Status()
	if says := s.Writing.Error(); !strings.Contains(says, dir) || !strings.Contains(says, "hangs") || !s.Oldest.Equal(received) || s.Unsaved != 1 {
		t.Errorf("got %+v, want an error that names the directory, and the event of %s", s, received)
	}
	p.wantAcknowledged()
	if got := to.ids(); len(got) > 0 {
		t.Errorf("sent %v, though it is not on disk", got)
	}
	answer()
	p.await("all delivered", func(s dispatch.Status) bool { return s.Events == 0 && s.Writing == nil })
	p.end()
	p.wantAcknowledged("a")
	if fmt.Sprint(p.stalls) != "[true false]" {
		t.Errorf("told %v of whether the disk hangs", p.stalls)
	}
}

func TestWhatWaitsForTheDiskIsBounded(t *testing.T) {
	t.Parallel()
	dir, disk := t.TempDir(), &hanging{}
	diskfault.Disturb(t, dir, disk.answer)
	p := run(t, dir, dispatch.LaneOptions{Destination: &toy{}})
	answer := disk.hang(t)
	ended, cancel := context.WithCancel(t.Context())
	cancel()
	message := func() *dispatch.Message {
		large := newEvent("large")
		large.DataEncoded = make([]byte, 1<<20)
		return &dispatch.Message{Event: large}
	}
	n := 0
	for p.Put(ended, message(), p.lane) == nil { // without room it would wait
		n++
	}
	if n < 7 || n > 8 {
		t.Errorf("%d events of 1 MiB wait for the disk, want 7 or 8 in 8 MiB", n)
	}
	p.Unbound() // for the end there is room
	if err := p.Put(ended, message(), p.lane); err != nil {
		t.Error(err)
	}
	answer()
	p.await("all delivered", func(s dispatch.Status) bool { return s.Events == 0 })
	p.end()
}

// While the disk hangs, a lane that is closed lets go of what waits for it, and leaves nothing on it.
func TestCloseWhileTheDiskHangs(t *testing.T) {
	t.Parallel()
	dir, disk, to := t.TempDir(), &hanging{}, &toy{}
	diskfault.Disturb(t, dir, disk.answer)
	p := run(t, dir, dispatch.LaneOptions{Destination: to})
	other := p.Lane(dispatch.LaneOptions{Name: "other", Destination: &toy{refuse: func(event.Event) error { return errors.New("away") }}, Retries: -1})
	if err := p.Put(t.Context(), &dispatch.Message{Event: newEvent("before")}, other); err != nil {
		t.Fatal(err)
	}
	p.awaitSaved()
	answer := disk.hang(t)
	for _, id := range []string{"a", "b", "c"} { // of which the first hangs, and the others wait
		if err := p.Put(t.Context(), &dispatch.Message{Event: newEvent(id)}, other); err != nil {
			t.Fatal(err)
		}
	}
	if err := p.Put(t.Context(), &dispatch.Message{Event: newEvent("both")}, other, p.lane); err != nil {
		t.Fatal(err)
	}
	if left := other.Close(); left != 5 {
		t.Errorf("Close says that it forgets %d events, want 5", left)
	}
	p.wantAcknowledged("before", "a", "b", "c") // nobody needs them any more
	answer()
	p.await("the other's delivered", func(s dispatch.Status) bool { return s.Events == 0 && s.Unsaved == 0 })
	p.end()
	p.wantAcknowledged("before", "a", "b", "c", "both")
	if got := to.ids(); fmt.Sprint(got) != "[both]" {
		t.Errorf("delivered %v, want the one that is the other lane's too", got)
	}
	wantOnDisk(t, openDisk(t, dir), 0)
}

// A lane that is closed while the disk accepts nothing is forgotten there as soon as it does.
func TestCloseWhileTheDiskFails(t *testing.T) {
	t.Parallel()
	var fails atomic.Bool
	dir := t.TempDir()
	diskfault.Disturb(t, dir, func(c diskfault.Call) unix.Errno {
		if fails.Load() && (c.Kind == diskfault.Sync || c.Kind == diskfault.Write) {
			return unix.EIO
		}
		return 0
	})
	p := run(t, dir, dispatch.LaneOptions{Destination: &toy{refuse: func(event.Event) error { return errors.New("away") }}})
	p.put("a", "b", "c")
	p.awaitSaved()
	fails.Store(true)
	p.lane.Close()
	p.await("a disk that fails", func(s dispatch.Status) bool { return s.Writing != nil && s.Events == 0 })
	fails.Store(false)
	p.await("a disk that works", func(s dispatch.Status) bool { return s.Writing == nil })
	p.end()
	wantOnDisk(t, openDisk(t, dir), 0)
}
