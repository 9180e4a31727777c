package dispatch

import (
	"context"
	"fmt"
	"testing"
	"testing/synctest"
	"time"

	"github.com/cloudevents/sdk-go/v2/event"
)

// answering is a destination that answers by a function.
type answering func() error

func (a answering) Send(context.Context, event.Event) (Answer, error) { return Answer{}, a() }

func (answering) String() string { return "answering" }

// Lanes without events are not asked for any, however many there are, and be it that they had some before.
func TestIdleLanesCostNothing(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		d := New(Options{})
		accepts := answering(func() error { return nil })
		busy := d.Lane(LaneOptions{Name: "busy", Destination: accepts})
		var idle []*Lane
		for i := range 1000 {
			idle = append(idle, d.Lane(LaneOptions{Name: fmt.Sprint(i), Destination: accepts}))
		}
		d.Start()
		active := func() int {
			d.mu.Lock()
			defer d.mu.Unlock()
			return len(d.active)
		}
		if got := active(); got != 0 {
			t.Errorf("got %d lanes that are asked, want none without events", got)
		}
		for range 3 {
			for _, lanes := range [][]*Lane{{busy}, idle, {busy}} {
				for range 10 {
					if err := d.Put(t.Context(), &Message{Event: event.New()}, lanes...); err != nil {
						t.Fatal(err)
					}
				}
				synctest.Wait()
				if got := active(); got != 0 {
					t.Errorf("got %d lanes that are asked, want none without events", got)
				}
			}
		}
		d.Drain(t.Context())
	})
}

// A lane that waits for its destination is asked when its time has come, and does not make workers run in circles.
func TestLanesThatWaitAreAskedWhenDue(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		d := New(Options{Workers: 4})
		asked := 0
		away := answering(func() error { return &Rejection{Status: 503} })
		for i := range 8 {
			o := LaneOptions{Name: fmt.Sprint(i), Destination: away, Retries: -1, Backoff: func(failures int, _ time.Duration) time.Duration {
				asked++ // with the lock
				return time.Minute
			}}
			if i == 0 {
				o.Destination = answering(func() error {
					time.Sleep(10 * time.Second)
					return &Rejection{Status: 503}
				})
			}
			lane := d.Lane(o)
			for range 10 {
				if err := d.Put(t.Context(), &Message{Event: event.New()}, lane); err != nil {
					t.Fatal(err)
				}
			}
		}
		d.Start()
		time.Sleep(time.Hour)
		d.mu.Lock()
		if len(d.active) != 8 || asked < 8*50 || asked > 3*8*60+8*20 {
			t.Errorf("got %d lanes that are asked, and %d failures in an hour; want 8, and a probe a minute of each", len(d.active), asked)
		}
		d.mu.Unlock()
		ctx, cancel := context.WithCancel(t.Context())
		cancel()
		d.Drain(ctx)
	})
}
