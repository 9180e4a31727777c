package dispatch_test

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"testing"
	"testing/synctest"
	"time"

	"github.com/cloudevents/sdk-go/v2/event"

	"github.com/eventing-eventmesh/eventing-eventmesh/pkg/dispatch"
)

// doubling waits for 1, 2, 4 ... seconds, and as long as is asked for.
func doubling(failures int, asked time.Duration) time.Duration {
	return max(time.Second<<(failures-1), asked)
}

// Every event of a punctual lane gets all of its attempts when they are due, and becomes a dead letter after the last, however many
// others fail with it, and though the destination is away.
func TestPunctualLaneKeepsTime(t *testing.T) {
	t.Parallel()
	busy := &dispatch.Rejection{Status: 429, RetryAfter: 5 * time.Second}
	for name, test := range map[string]struct {
		failure error
		want    []time.Duration
	}{
		"no answer":          {errors.New("refused"), []time.Duration{0, 1 * time.Second, 3 * time.Second, 7 * time.Second}},
		"500":                {answered(500), []time.Duration{0, 1 * time.Second, 3 * time.Second, 7 * time.Second}},
		"503":                {answered(503), []time.Duration{0, 1 * time.Second, 3 * time.Second, 7 * time.Second}},
		"asks for more time": {busy, []time.Duration{0, 5 * time.Second, 10 * time.Second, 15 * time.Second}},
		"400":                {answered(400), []time.Duration{0}},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				began, attempts := time.Now(), map[string][]time.Duration{}
				sink, dead := &place{}, &place{}
				sink.answer = func(_ context.Context, e event.Event) (dispatch.Answer, error) {
					sink.with(func() { attempts[e.ID()] = append(attempts[e.ID()], time.Since(began)) })
					return dispatch.Answer{}, test.failure
				}
				d, lane := one(dispatch.Options{}, dispatch.LaneOptions{
					Destination: sink, DeadLetter: dead, Retries: 3, Backoff: doubling, Punctual: true,
				})
				const burst = 1000
				put(t, d, numbered("bad", burst), lane)
				time.Sleep(time.Minute)
				for _, e := range numbered("bad", burst) {
					last := test.want[len(test.want)-1]
					if at, ok := dead.arrival(e.ID()); !slices.Equal(attempts[e.ID()], test.want) || !ok || at.Sub(began) != last {
						t.Fatalf("%s: attempts at %v, dead letter: %v at %s; want %v", e.ID(), attempts[e.ID()], ok, at.Sub(began), test.want)
					}
				}
				drain(t, d)
			})
		})
	}
}

// Punctual lanes slow no others, in whichever way they fail.
func TestPunctualLanesDelayNoOthers(t *testing.T) {
	t.Parallel()
	for name, answer := range map[string]func(context.Context, event.Event) (dispatch.Answer, error){
		"no answer": says(errors.New("refused")), "500": says(answered(500)), "hang": hangs,
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				const lanes, inFlight = 20, 4
				d := dispatch.New(dispatch.Options{Workers: 2 * lanes * inFlight})
				sink := &place{}
				good := d.Lane(dispatch.LaneOptions{Name: "good", Destination: sink, Retries: 3, Backoff: doubling, Punctual: true})
				d.Start()
				var bad []*dispatch.Lane
				for i := range lanes {
					bad = append(bad, d.Lane(dispatch.LaneOptions{
						Name: fmt.Sprint(i), Destination: &place{answer: answer}, DeadLetter: &place{}, Retries: 3, Backoff: doubling,
						MaxInFlight: inFlight, Punctual: true,
					}))
				}
				put(t, d, numbered("bad", 50), bad...)
				waits := trickle(t, d, 200, 100*time.Millisecond, sink, good)
				if longest := waits[len(waits)-1]; longest > 0 {
					t.Errorf("an event waited for %s, want none", longest)
				}
				abandon(d)
			})
		})
	}
}

// Dead letters have a back-off of their own, and are kept for as long as it takes.
func TestDeadLettersHaveTheirOwnBackoff(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		began := time.Now()
		dead := &place{answer: func(context.Context, event.Event) (dispatch.Answer, error) {
			if time.Since(began) < time.Hour {
				return dispatch.Answer{}, answered(503)
			}
			return dispatch.Answer{}, nil
		}}
		d, lane := one(dispatch.Options{}, dispatch.LaneOptions{
			Destination: &place{answer: says(answered(400))}, DeadLetter: dead, Retries: 3, Punctual: true,
			Backoff:           func(int, time.Duration) time.Duration { return 24 * time.Hour },
			DeadLetterBackoff: func(int, time.Duration) time.Duration { return time.Minute },
		})
		put(t, d, numbered("bad", 3), lane)
		time.Sleep(time.Hour + 2*time.Minute)
		if got := len(dead.got()); got != 3 {
			t.Errorf("got %d dead letters two minutes after their place accepts them again, want 3", got)
		}
		drain(t, d)
	})
}
