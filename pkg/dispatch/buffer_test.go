package dispatch_test

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/cloudevents/sdk-go/v2/event"
	"go.uber.org/goleak"

	"github.com/eventing-eventmesh/eventing-eventmesh/pkg/dispatch"
)

// sized is an event that counts with so many bytes: its data, its attributes, and 1 KiB.
func sized(id string, bytes int) event.Event {
	e := newEvent(id)
	attributes := len(e.ID()) + len(e.Source()) + len(e.Type()) + len(e.DataContentType())
	e.DataEncoded = make([]byte, bytes-1024-attributes)
	return e
}

// putSoon keeps an event for lanes once there is room. The channel gets the error.
func putSoon(ctx context.Context, d *dispatch.Dispatcher, e event.Event, lanes ...*dispatch.Lane) <-chan error {
	done := make(chan error, 1)
	go func() { done <- d.Put(ctx, &dispatch.Message{Event: e, Topic: "orders"}, lanes...) }()
	return done
}

func TestBufferIsBounded(t *testing.T) {
	t.Parallel()
	tests := []struct {
		name   string
		lanes  int
		events int64
		bytes  int64
		sizes  []int // of the events that find room
		more   int   // the size of one that does not
	}{
		{"one event", 1, 1, 100 * kib, []int{kib}, kib},
		{"by events", 1, 3, 100 * kib, []int{kib, 2 * kib, kib}, kib},
		{"by events alone", 1, 2, 0, []int{kib, 200 * kib}, kib},
		{"by bytes", 1, 100, 10 * kib, []int{4 * kib, 5 * kib}, 2 * kib},
		{"by bytes to the last", 1, 100, 10 * kib, []int{4 * kib, 6 * kib}, kib},
		{"by bytes alone", 1, 0, 3 * kib, []int{kib, 2 * kib}, kib},
		{"a larger event is kept alone", 1, 100, 10 * kib, []int{50 * kib}, kib},
		{"a larger event waits to be alone", 1, 100, 10 * kib, []int{kib}, 50 * kib},
		{"smaller than one event's attributes", 1, 100, 1, []int{kib}, kib},
		{"a copy for each lane, by events", 3, 7, 100 * kib, []int{kib, kib}, kib},
		{"a copy for each lane, by bytes", 3, 100, 10 * kib, []int{kib, 2 * kib}, kib},
		{"more copies than there is room for", 3, 2, 100 * kib, []int{kib}, kib},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			stores(t, func(t *testing.T, open func() *dispatch.Disk) {
				d := dispatch.New(dispatch.Options{MaxEvents: test.events, MaxBytes: test.bytes, Disk: open()})
				var lanes []*dispatch.Lane
				sink := &place{}
				for i := range test.lanes {
					lanes = append(lanes, d.Lane(dispatch.LaneOptions{Name: fmt.Sprint(i), Destination: sink}))
				}
				total := 0
				for i, size := range test.sizes {
					put(t, d, []event.Event{sized(fmt.Sprint(i), size)}, lanes...)
					if d.Status().Full {
						t.Errorf("full with %d events, though none waits", i+1)
					}
					total += size
				}
				added := putSoon(t.Context(), d, sized("more", test.more), lanes...)
				eventually(t, "full, since an event waits", func() bool { return d.Status().Full })
				if got := d.Status(); got.Events != int64(len(test.sizes)*test.lanes) || got.Bytes != int64(total*test.lanes) {
					t.Errorf("got %d events of %d bytes kept, want %d of %d", got.Events, got.Bytes, len(test.sizes)*test.lanes, total*test.lanes)
				}
				d.Start()
				if err := <-added; err != nil {
					t.Error(err)
				}
				eventually(t, "all have arrived", func() bool { return d.Status().Events == 0 })
				drain(t, d)
				if got := d.Status(); len(sink.got()) != (len(test.sizes)+1)*test.lanes || got.Bytes != 0 || got.Full {
					t.Errorf("got %v, and %+v is left", sink.got(), got)
				}
			})
		})
	}
}

func TestPutEndsWithItsContext(t *testing.T) {
	t.Parallel()
	stores(t, func(t *testing.T, open func() *dispatch.Disk) {
		d := dispatch.New(dispatch.Options{MaxEvents: 1, Disk: open()})
		lane := d.Lane(dispatch.LaneOptions{Name: "toy", Destination: &place{}})
		put(t, d, []event.Event{sized("first", kib)}, lane)
		ctx, cancel := context.WithCancel(t.Context())
		added := putSoon(ctx, d, sized("second", kib), lane)
		eventually(t, "full", func() bool { return d.Status().Full })
		cancel()
		if err := <-added; !errors.Is(err, context.Canceled) {
			t.Errorf("got %v, want the context's error", err)
		}
		if got := d.Status(); got.Full || got.Events != 1 || got.Bytes != kib {
			t.Errorf("got %+v, want nothing left of the second", got)
		}
		d.Start()
		drain(t, d)
	})
}

// With a disk, a program that ends may keep all that still comes.
func TestUnbound(t *testing.T) {
	t.Parallel()
	stores(t, func(t *testing.T, open func() *dispatch.Disk) {
		disk := open()
		d := dispatch.New(dispatch.Options{MaxEvents: 1, Disk: disk})
		lane := d.Lane(dispatch.LaneOptions{Name: "toy", Destination: &place{}})
		put(t, d, []event.Event{newEvent("first")}, lane)
		ctx, cancel := context.WithCancel(t.Context())
		defer cancel()
		added := putSoon(ctx, d, newEvent("second"), lane)
		eventually(t, "full", func() bool { return d.Status().Full })
		d.Unbound()
		if disk == nil {
			cancel()
		}
		if err := <-added; (err == nil) != (disk != nil) {
			t.Errorf("got %v, want room on disk alone", err)
		}
		d.Start()
		drain(t, d)
	})
}

func TestEventFromDiskIsTheSame(t *testing.T) {
	t.Parallel()
	sink := &place{answer: script(answered(500), answered(500), nil)}
	d, lane := one(dispatch.Options{Disk: openDisk(t, t.TempDir())},
		dispatch.LaneOptions{Destination: sink, Retries: 2, Backoff: dispatch.Exponential(time.Millisecond, time.Millisecond)})
	want := newEvent("a")
	want.SetExtension("some", "thing")
	put(t, d, []event.Event{want.Clone()}, lane)
	eventually(t, "it has arrived", func() bool { return d.Status().Events == 0 })
	drain(t, d)
	if len(sink.accepted) != 1 {
		t.Fatalf("got %d events, want one", len(sink.accepted))
	}
	got := sink.accepted[0]
	if got.Context.String() != want.Context.String() || string(got.Data()) != string(want.Data()) {
		t.Errorf("got %s, want %s", got, want)
	}
}

// In memory Drain delivers all, also what has to be sent again, and leaves nothing behind that runs.
func TestDrainInMemory(t *testing.T) {
	before := goleak.IgnoreCurrent()
	for _, ordering := range []dispatch.Ordering{dispatch.Unordered, dispatch.ByKey, dispatch.Strict} {
		var acknowledged acknowledgements
		var n atomic.Int32
		sink := &place{answer: func(context.Context, event.Event) (dispatch.Answer, error) {
			if n.Add(1)%3 == 0 {
				return dispatch.Answer{}, answered(500)
			}
			return dispatch.Answer{}, nil
		}}
		d, lane := one(dispatch.Options{Acknowledge: acknowledged.add},
			dispatch.LaneOptions{Destination: sink, Retries: -1, Ordering: ordering, Backoff: dispatch.Exponential(1, 1)})
		put(t, d, numbered("", 50), lane)
		drain(t, d)
		if got := d.Status(); len(sink.got()) != 50 || len(acknowledged.of) != 50 || got.Events != 0 || got.Stage != "" {
			t.Errorf("%s: got %d events, %d acknowledged, %+v; want all", ordering, len(sink.got()), len(acknowledged.of), got)
		}
	}
	d, _ := one(dispatch.Options{}, dispatch.LaneOptions{Destination: &place{}})
	drain(t, d) // nothing
	goleak.VerifyNone(t, before)
}

// On disk what is in flight is finished, and the rest stays, in its order.
func TestDrainOnDisk(t *testing.T) {
	for _, ordering := range []dispatch.Ordering{dispatch.Unordered, dispatch.Strict} {
		before, dir := goleak.IgnoreCurrent(), t.TempDir()
		release := make(chan error)
		sink := &place{answer: func(context.Context, event.Event) (dispatch.Answer, error) { return dispatch.Answer{}, <-release }}
		d, lane := one(dispatch.Options{Disk: openDisk(t, dir)}, dispatch.LaneOptions{Destination: sink, Retries: -1, MaxInFlight: 2, Ordering: ordering})
		put(t, d, numbered("", 5), lane)
		inFlight := map[dispatch.Ordering]int{dispatch.Unordered: 2, dispatch.Strict: 1}[ordering]
		eventually(t, "some are in flight", func() bool { return d.Status().Unsaved == 0 && len(sink.asked()) == inFlight })
		drained := make(chan struct{})
		go func() {
			defer close(drained)
			d.Drain(context.Background())
		}()
		eventually(t, "what is in flight is waited for", func() bool { return d.Status().Stage == "delivering" })
		release <- nil
		if inFlight > 1 {
			release <- answered(500)
		}
		<-drained
		goleak.VerifyNone(t, before)
		if got := d.Status().Events; got != 4 {
			t.Errorf("%s: got %d events kept, want all but the one that was delivered", ordering, got)
		}
		was := sink.asked()
		sink = &place{}
		d, _ = one(dispatch.Options{Disk: openDisk(t, dir)}, dispatch.LaneOptions{Destination: sink, Ordering: dispatch.Strict})
		eventually(t, "the others have arrived", func() bool { return d.Status().Events == 0 })
		drain(t, d)
		if got := sink.got(); ordering == dispatch.Strict && fmt.Sprint(got) != "[1 2 3 4]" || len(got) != 4 {
			t.Errorf("%s: got %v after %v", ordering, got, was)
		}
	}
}

// What the answer of a destination has not come for when a process ends is sent again by the next.
func TestWhatIsInFlightStaysOnDisk(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	sink := &place{answer: func(ctx context.Context, _ event.Event) (dispatch.Answer, error) {
		<-ctx.Done()
		return dispatch.Answer{}, ctx.Err()
	}}
	d, lane := one(dispatch.Options{Disk: openDisk(t, dir)}, dispatch.LaneOptions{Destination: sink})
	put(t, d, []event.Event{newEvent("a")}, lane)
	eventually(t, "it is in flight, and on disk", func() bool { return len(sink.asked()) == 1 && d.Status().Unsaved == 0 })
	if got := d.Status(); got.Events != 1 || got.Unremoved != 0 {
		t.Errorf("got %+v, want it kept while its answer is out", got)
	}
	abandon(d)
	wantOnDisk(t, openDisk(t, dir), 1)
}

func TestOldest(t *testing.T) {
	t.Parallel()
	stores(t, func(t *testing.T, open func() *dispatch.Disk) {
		release := map[string]chan struct{}{"0": make(chan struct{}), "1": make(chan struct{}), "2": make(chan struct{})}
		sink := &place{answer: func(_ context.Context, e event.Event) (dispatch.Answer, error) {
			<-release[e.ID()]
			return dispatch.Answer{}, nil
		}}
		d, lane := one(dispatch.Options{Disk: open()}, dispatch.LaneOptions{Destination: sink})
		if got := d.Status().Oldest; !got.IsZero() {
			t.Errorf("got %s without an event", got)
		}
		began := time.Now().Add(-time.Hour)
		for i := range 3 {
			m := &dispatch.Message{Event: newEvent(fmt.Sprint(i)), Received: began.Add(time.Duration(i) * time.Second)}
			if err := d.Put(t.Context(), m, lane); err != nil {
				t.Fatal(err)
			}
		}
		for i, id := range []string{"1", "0", "2"} {
			want := began.Add(time.Duration([]int{0, 0, 2}[i]) * time.Second)
			eventually(t, "the oldest is "+want.String(), func() bool { return d.Status().Oldest.Equal(want) })
			close(release[id])
		}
		eventually(t, "nothing is the oldest", func() bool { return d.Status().Oldest.IsZero() })
		drain(t, d)
	})
}

// One goroutine puts while several send, with little room, and some events fail once.
func TestBufferConcurrently(t *testing.T) {
	t.Parallel()
	const n, maxEvents, maxBytes = 300, 7, 20 * kib
	for _, ordering := range []dispatch.Ordering{dispatch.Unordered, dispatch.ByKey, dispatch.Strict} {
		t.Run(string(ordering), func(t *testing.T) {
			t.Parallel()
			stores(t, func(t *testing.T, open func() *dispatch.Disk) {
				seed := rand.Uint64()
				t.Logf("seed %d", seed)
				r := rand.New(rand.NewPCG(seed, 0))
				var d *dispatch.Dispatcher
				var mu sync.Mutex
				failed := map[string]bool{}
				sink := &place{answer: func(_ context.Context, e event.Event) (dispatch.Answer, error) {
					if got := d.Status().Events; got > maxEvents {
						t.Errorf("%d events kept, want no more than %d", got, maxEvents)
					}
					mu.Lock()
					defer mu.Unlock()
					if first := !failed[e.ID()]; first && len(e.Data())%2 == 0 {
						failed[e.ID()] = true
						return dispatch.Answer{}, answered(500)
					}
					return dispatch.Answer{}, nil
				}}
				d = dispatch.New(dispatch.Options{MaxEvents: maxEvents, MaxBytes: maxBytes, Disk: open(), Workers: 4})
				lane := d.Lane(dispatch.LaneOptions{Name: "toy", Destination: sink, Retries: -1, Ordering: ordering, Backoff: dispatch.Exponential(1, 1)})
				d.Start()
				for i := range n {
					e := sized(fmt.Sprint(i), kib+r.IntN(2*maxBytes))
					e.SetExtension("partitionkey", fmt.Sprint(i%5))
					put(t, d, []event.Event{e}, lane)
				}
				eventually(t, "all have arrived", func() bool { return d.Status().Events == 0 })
				drain(t, d)
				checkOrder(t, sink, n, ordering)
			})
		})
	}
}

// checkOrder wants n events with numbers for IDs once each, in order or, by key, the remainders of 5 in order.
func checkOrder(t *testing.T, sink *place, n int, ordering dispatch.Ordering) {
	t.Helper()
	last, seen := map[string]int{}, map[int]bool{}
	for _, e := range sink.accepted {
		var i int
		if _, err := fmt.Sscan(e.ID(), &i); err != nil {
			t.Fatal(err)
		}
		seen[i] = true
		key := fmt.Sprint(e.Extensions()["partitionkey"])
		if ordering == dispatch.Strict {
			key = ""
		}
		if before, ok := last[key]; ok && i <= before && ordering != dispatch.Unordered {
			t.Errorf("got event %d after %d", i, before)
		}
		last[key] = i
	}
	if len(seen) != n || len(sink.accepted) != n {
		t.Errorf("got %d events, %d of them different, want %d", len(sink.accepted), len(seen), n)
	}
}

// An event that is refused holds back what has to come after it, and nothing else.
func TestOrderWithFailures(t *testing.T) {
	t.Parallel()
	tests := []struct {
		ordering dispatch.Ordering
		atOnce   []string // while a1 is refused
	}{
		{dispatch.Unordered, []string{"a2", "b1", "b2", "none"}},
		{dispatch.ByKey, []string{"b1", "b2", "none"}},
		{dispatch.Strict, nil},
	}
	for _, test := range tests {
		t.Run(string(test.ordering), func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				var accepts atomic.Bool
				sink := &place{answer: func(_ context.Context, e event.Event) (dispatch.Answer, error) {
					if e.ID() == "a1" && !accepts.Load() {
						return dispatch.Answer{}, answered(500)
					}
					return dispatch.Answer{}, nil
				}}
				d, lane := one(dispatch.Options{Workers: 1}, dispatch.LaneOptions{Destination: sink, Retries: -1, Ordering: test.ordering})
				for _, id := range []string{"a1", "a2", "b1", "b2", "none"} {
					e := newEvent(id)
					if id != "none" {
						e.SetExtension("partitionkey", id[:1])
					}
					put(t, d, []event.Event{e}, lane)
				}
				time.Sleep(time.Hour)
				if got := sink.got(); fmt.Sprint(got) != fmt.Sprint(test.atOnce) {
					t.Errorf("while one is refused: got %v, want %v", got, test.atOnce)
				}
				accepts.Store(true)
				d.Drain(t.Context())
				if got := sink.got(); len(got) != 5 || test.ordering == dispatch.Strict && fmt.Sprint(got) != "[a1 a2 b1 b2 none]" {
					t.Errorf("got %v in the end", got)
				}
			})
		})
	}
}

// EventMesh forgets what is acknowledged. What is written to a directory that the next process would not find is not safe.
func TestEventIsAcknowledgedOnceItIsOnDisk(t *testing.T) {
	t.Parallel()
	dir := filepath.Join(t.TempDir(), "spool")
	var acknowledged acknowledgements
	sink := &place{answer: says(answered(500))}
	d, lane := one(dispatch.Options{Disk: openDisk(t, dir), Acknowledge: acknowledged.add}, dispatch.LaneOptions{Destination: sink, Retries: -1})
	put(t, d, []event.Event{newEvent("before")}, lane)
	eventually(t, "it is acknowledged", func() bool { return acknowledged.count("before") == 1 })
	if err := os.Rename(dir, dir+" away"); err != nil {
		t.Fatal(err)
	}
	put(t, d, []event.Event{newEvent("after")}, lane)
	eventually(t, "the disk is said to be moved", func() bool { return errors.Is(d.Status().Writing, dispatch.ErrMoved) })
	if got := d.Status(); acknowledged.count("after") != 0 || got.Unsaved != 1 {
		t.Errorf("got %d acknowledgements, %+v; want none of what is not on disk", acknowledged.count("after"), got)
	}
	if err := os.Rename(dir+" away", dir); err != nil {
		t.Fatal(err)
	}
	eventually(t, "it is acknowledged", func() bool { return acknowledged.count("after") == 1 })
	if got := d.Status(); got.Events != 2 {
		t.Errorf("got %+v, want both kept", got)
	}
	abandon(d)
	if acknowledged.count("before") != 1 || acknowledged.count("after") != 1 {
		t.Errorf("got acknowledgements %v, want one each", acknowledged.of)
	}
}

// An event counts with what it takes, be it in its data or in its attributes, wherever there is a bound.
func TestAttributesCount(t *testing.T) {
	t.Parallel()
	const size = 900 * 1000
	many := map[string]any{}
	for i := range 5000 {
		many[fmt.Sprintf("a%d", i)] = "b"
	}
	text := strings.Repeat("x", size)
	large := map[string]func(*event.EventContextV1){
		"extension":  func(c *event.EventContextV1) { c.Extensions = map[string]any{"large": text} },
		"name":       func(c *event.EventContextV1) { c.Extensions = map[string]any{text: "large"} },
		"extensions": func(c *event.EventContextV1) { c.Extensions = many },
		"bytes":      func(c *event.EventContextV1) { c.Extensions = map[string]any{"large": []byte(text)} },
		"id":         func(c *event.EventContextV1) { c.ID = text },
		"source":     func(c *event.EventContextV1) { c.Source.Path = text },
		"subject":    func(c *event.EventContextV1) { c.Subject = &text },
		"type":       func(c *event.EventContextV1) { c.Type = text },
		"content":    func(c *event.EventContextV1) { c.DataContentType = &text },
	}
	for what, enlarge := range large {
		t.Run(what, func(t *testing.T) {
			t.Parallel()
			stores(t, func(t *testing.T, open func() *dispatch.Disk) {
				want := int64(size)
				if what == "extensions" {
					want = 5000 * 128
				}
				disk := open()
				d := dispatch.New(dispatch.Options{Disk: disk})
				lane := d.Lane(dispatch.LaneOptions{Name: "toy", Destination: &place{answer: says(answered(500))}, Retries: -1})
				for range 3 {
					e := newEvent("a")
					enlarge(e.Context.(*event.EventContextV1))
					put(t, d, []event.Event{e}, lane)
				}
				got := d.Status().Bytes
				if got < 3*want || got > 3*(want+100*kib) {
					t.Errorf("got %d bytes, want three times %d and little more", got, want)
				}
				d.Start()
				abandon(d)
				if disk == nil {
					return
				}
				again := dispatch.New(dispatch.Options{Disk: open(), Undecodable: undecodable})
				again.Lane(dispatch.LaneOptions{Name: "toy", Destination: &place{}})
				if now := again.Status(); now.Bytes != got || now.Events != 3 {
					t.Errorf("the disk has %d bytes of %d events by its own account, want %d of 3", now.Bytes, now.Events, got)
				}
				again.Start()
				eventually(t, "all have arrived", func() bool { return again.Status().Events == 0 })
				drain(t, again)
				if now := again.Status().Bytes; now != 0 {
					t.Errorf("got %d bytes of no event", now)
				}
			})
		})
	}
}
