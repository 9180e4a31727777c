package dispatch_test

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/cloudevents/sdk-go/v2/event"

	"github.com/eventing-eventmesh/eventing-eventmesh/pkg/dispatch"
)

func isBad(e event.Event) bool { return strings.HasPrefix(e.ID(), "bad") }

// onlyGood is the answer of a place that fails on bad events, after a while.
func onlyGood(failure error, after time.Duration) func(context.Context, event.Event) (dispatch.Answer, error) {
	return func(_ context.Context, e event.Event) (dispatch.Answer, error) {
		if !isBad(e) {
			return dispatch.Answer{}, nil
		}
		time.Sleep(after) // by the bubble's clock
		return dispatch.Answer{}, failure
	}
}

// trickle puts n good events, one after each spacing, and returns how long each took to arrive, the shortest first.
func trickle(t *testing.T, d *dispatch.Dispatcher, n int, spacing time.Duration, sink *place, lanes ...*dispatch.Lane) []time.Duration {
	t.Helper()
	began := map[string]time.Time{}
	for _, e := range numbered("good", n) {
		began[e.ID()] = time.Now()
		put(t, d, []event.Event{e}, lanes...)
		time.Sleep(spacing)
	}
	var waits []time.Duration
	for id, at := range began {
		arrived, ok := sink.arrival(id)
		if !ok {
			t.Errorf("event %s has not arrived", id)
			arrived = time.Now()
		}
		waits = append(waits, arrived.Sub(at))
	}
	slices.Sort(waits)
	return waits
}

// p99 is what 99 in 100 do not exceed.
func p99(waits []time.Duration) time.Duration { return waits[len(waits)*99/100] }

// A burst of events that the destination does not accept delays no other event, whatever it answers, and it is not flooded.
func TestBurstDelaysNoOthers(t *testing.T) {
	t.Parallel()
	const (
		good    = 200
		spacing = 200 * time.Millisecond
		most    = 2 * time.Second // for 99 in 100
		flood   = 25              // requests a second
	)
	all := []int{5, 40, 1000, 9000}
	tests := []struct {
		name    string
		bursts  []int
		failure error
		after   time.Duration
	}{
		{"400", all, answered(400), 0},
		{"404", []int{5, 1000}, answered(404), 0},
		{"500", all, answered(500), 0},
		{"unsendable", []int{5, 1000}, &dispatch.UnsendableError{Reason: errors.New("id")}, 0},
		{"500 after 10 s", []int{5, 40}, answered(500), 10 * time.Second}, // of more, first attempts alone would take minutes
	}
	for _, test := range tests {
		for _, burst := range test.bursts {
			t.Run(fmt.Sprintf("%s/%d", test.name, burst), func(t *testing.T) {
				t.Parallel()
				synctest.Test(t, func(t *testing.T) {
					sink := &place{answer: onlyGood(test.failure, test.after)}
					d, lane := one(dispatch.Options{}, dispatch.LaneOptions{Destination: sink, Retries: -1})
					put(t, d, numbered("bad", burst), lane)
					time.Sleep(time.Minute) // for the first attempts, of which nothing is wanted here
					before := len(sink.asked())
					waits := trickle(t, d, good, spacing, sink, lane)
					took := good * spacing
					if got := len(sink.asked()) - before; float64(got) > flood*took.Seconds() {
						t.Errorf("got %d requests in %s, want at most %d a second", got, took, flood)
					}
					if got := p99(waits); got > most {
						t.Errorf("got a 99th percentile of %s, want at most %s", got, most)
					}
					abandon(d)
					if got := d.Status().Events; got != int64(burst) {
						t.Errorf("%d events are kept, want the %d that are not accepted", got, burst)
					}
				})
			})
		}
	}
}

// What an event is sent for the first time never waits for repeats, which take half of the workers at most, however long each takes.
func TestFirstAttemptsDoNotWaitForRepeats(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		const workers = 8
		sink := &place{}
		d := dispatch.New(dispatch.Options{Workers: workers})
		lane := d.Lane(dispatch.LaneOptions{Name: "toy", Destination: sink, Retries: -1, Backoff: dispatch.Exponential(1, 1)})
		first := map[string]bool{}
		sink.answer = func(ctx context.Context, e event.Event) (dispatch.Answer, error) {
			again := false
			sink.with(func() { again, first[e.ID()] = first[e.ID()], true })
			if again && isBad(e) {
				<-ctx.Done()
			}
			return onlyGood(answered(500), 0)(ctx, e)
		}
		d.Start()
		put(t, d, numbered("bad", 100), lane)
		time.Sleep(time.Hour)
		if got := d.Status().InFlight; got != workers/2 {
			t.Errorf("got %d repeats at once, want %d", got, workers/2)
		}
		if waits := trickle(t, d, 100, time.Second, sink, lane); waits[len(waits)-1] != 0 {
			t.Errorf("got a wait of %s, want none", waits[len(waits)-1])
		}
		abandon(d)
	})
}

// Each event that is not accepted becomes a dead letter after its own retries, however many fail at once.
func TestBurstBecomesDeadLetters(t *testing.T) {
	t.Parallel()
	const repeatEvery = 10 * time.Millisecond // by the budget, where retries are numbered
	for _, burst := range []int{5, 40, 1000, 9000} {
		t.Run(fmt.Sprint(burst), func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				sink, dead := &place{answer: says(answered(500))}, &place{}
				d, lane := one(dispatch.Options{}, dispatch.LaneOptions{Destination: sink, DeadLetter: dead, Retries: 2})
				began := time.Now()
				put(t, d, numbered("bad", burst), lane)
				d.Drain(t.Context())
				if got, requests := len(dead.got()), len(sink.asked()); got != burst || requests != 3*burst {
					t.Errorf("got %d dead letters after %d requests, want %d after %d", got, requests, burst, 3*burst)
				}
				if most := time.Duration(burst)*2*repeatEvery + 2*time.Second; time.Since(began) > most {
					t.Errorf("took %s, want at most %s", time.Since(began), most)
				}
			})
		})
	}
}

// A place for dead letters that hangs holds up nothing that the destination accepts.
func TestDeadLettersThatHangDelayNoOthers(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		sink := &place{answer: onlyGood(answered(400), 0)}
		d, lane := one(dispatch.Options{}, dispatch.LaneOptions{Destination: sink, DeadLetter: &place{answer: hangs}, Retries: -1})
		for i := range 100 {
			began := time.Now()
			put(t, d, []event.Event{newEvent(fmt.Sprint("bad", i)), newEvent(fmt.Sprint("good", i))}, lane)
			time.Sleep(time.Second)
			if arrived, ok := sink.arrival(fmt.Sprint("good", i)); !ok || !arrived.Equal(began) {
				t.Fatalf("event good%d has not arrived at once", i)
			}
		}
		abandon(d)
		if got := d.Status().Events; got != 100 {
			t.Errorf("%d events are kept, want the 100 that became no dead letters", got)
		}
	})
}

// hangs is the answer of a place that gives none.
func hangs(ctx context.Context, _ event.Event) (dispatch.Answer, error) {
	ctx, cancel := context.WithTimeout(ctx, 30*time.Second)
	defer cancel()
	<-ctx.Done()
	return dispatch.Answer{}, ctx.Err()
}

// A destination that accepts events again gets what it refused at the pace that it can keep, not at that of the repeats to one that
// refuses.
func TestRecoveryIsFast(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		const burst = 9000
		recovered := time.Now().Add(10 * time.Minute)
		sink := &place{answer: func(context.Context, event.Event) (dispatch.Answer, error) {
			if time.Now().Before(recovered) {
				return dispatch.Answer{}, answered(500)
			}
			return dispatch.Answer{}, nil
		}}
		d, lane := one(dispatch.Options{},
			dispatch.LaneOptions{Destination: sink, Retries: -1, Backoff: dispatch.Exponential(100*time.Millisecond, 10*time.Second)})
		put(t, d, numbered("", burst), lane)
		time.Sleep(10 * time.Minute)
		if got := d.Status().Events; got != burst {
			t.Fatalf("%d events are kept, want all %d", got, burst)
		}
		began := time.Now()
		d.Drain(t.Context())
		if got := time.Since(began); got > 15*time.Second {
			t.Errorf("took %s to deliver what had been refused, want no longer than the longest wait", got)
		}
	})
}
