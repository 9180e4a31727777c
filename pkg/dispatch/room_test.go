package dispatch_test

import (
	"context"
	"errors"
	"sync/atomic"
	"testing"
	"time"

	"github.com/cloudevents/sdk-go/v2/event"

	"github.com/eventing-eventmesh/eventing-eventmesh/pkg/dispatch"
)

// wantFull fails unless a lane is full, and others wait for it.
func wantFull(t *testing.T, l *dispatch.Lane, full, waits bool) {
	t.Helper()
	if isFull, holdsUp := l.Full(); isFull != full || holdsUp != waits {
		t.Errorf("a lane is full: %t, and others wait: %t; want %t and %t", isFull, holdsUp, full, waits)
	}
}

// A lane that is full holds up what is for it, and nothing else; there is room again once the lane may keep more, has delivered, or ends.
func TestFullLane(t *testing.T) {
	t.Parallel()
	for name, end := range map[string]func(l *dispatch.Lane, o dispatch.LaneOptions, back *atomic.Bool){
		"may keep more": func(l *dispatch.Lane, o dispatch.LaneOptions, _ *atomic.Bool) { o.MaxEvents = 4; l.Update(o) },
		"is closed":     func(l *dispatch.Lane, _ dispatch.LaneOptions, _ *atomic.Bool) { l.Close() },
		"has delivered": func(_ *dispatch.Lane, _ dispatch.LaneOptions, back *atomic.Bool) { back.Store(true) },
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			stores(t, func(t *testing.T, open func() *dispatch.Disk) {
				d := dispatch.New(dispatch.Options{Disk: open(), Undecodable: undecodable})
				var back atomic.Bool
				away, good := &place{answer: func(context.Context, event.Event) (a dispatch.Answer, err error) {
					if !back.Load() {
						err = errors.New("refused")
					}
					return a, err
				}}, &place{}
				bounded := dispatch.LaneOptions{
					Name: "full", Destination: away, Retries: -1, MaxEvents: 3, Punctual: true,
					Backoff: func(int, time.Duration) time.Duration { return 10 * time.Millisecond },
				}
				full := d.Lane(bounded)
				other := d.Lane(dispatch.LaneOptions{Name: "other", Destination: good, MaxEvents: 1000})
				d.Start()
				put(t, d, numbered("fits", 3), full, other)
				wantFull(t, full, true, true)
				wantFull(t, other, false, false)
				ctx, cancel := context.WithTimeout(t.Context(), 20*time.Millisecond)
				defer cancel()
				if err := d.Put(ctx, &dispatch.Message{Event: newEvent("late")}, full, other); !errors.Is(err, context.DeadlineExceeded) {
					t.Errorf("an event more: got %v, want that it waits", err)
				}
				waits := make(chan error, 1)
				go func() { waits <- d.Put(t.Context(), &dispatch.Message{Event: newEvent("waits")}, full, other) }()
				eventually(t, "one waits", func() bool { return d.Status().Full })
				put(t, d, []event.Event{newEvent("meanwhile")}, other)
				eventually(t, "the other lane has its own", func() bool { return len(good.got()) == 4 })
				end(full, bounded, &back)
				if err := <-waits; err != nil {
					t.Errorf("the event that waited: got %v", err)
				}
				eventually(t, "the other lane has it", func() bool { return len(good.got()) == 5 })
				abandon(d)
			})
		})
	}
}

// A lane keeps an event that is larger than it may be, alone.
func TestLaneOfBytes(t *testing.T) {
	t.Parallel()
	stores(t, func(t *testing.T, open func() *dispatch.Disk) {
		d := dispatch.New(dispatch.Options{Disk: open(), Undecodable: undecodable})
		away := &place{answer: says(errors.New("refused"))}
		l := d.Lane(dispatch.LaneOptions{Name: "small", Destination: away, Retries: -1, MaxBytes: 100})
		d.Start()
		put(t, d, []event.Event{newEvent("large")}, l)
		ctx, cancel := context.WithTimeout(t.Context(), 20*time.Millisecond)
		defer cancel()
		if err := d.Put(ctx, &dispatch.Message{Event: newEvent("another")}, l); !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("another: got %v, want that it waits", err)
		}
		wantFull(t, l, true, true)
		abandon(d)
	})
}
