package source

import (
	"context"
	"errors"
	"fmt"
	"net/url"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/cloudevents/sdk-go/v2/event"
	"go.uber.org/zap"

	"github.com/eventing-eventmesh/eventing-eventmesh/internal/backoff"
)

// sentEvents is what a deliverer has sent, and when the sink took it.
type sentEvents struct {
	mu       sync.Mutex
	requests int
	arrived  map[string]time.Time
}

func (s *sentEvents) sent(e event.Event, taken bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.requests++
	if taken {
		s.arrived[e.ID()] = time.Now()
	}
}

func (s *sentEvents) count() int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.requests
}

func (s *sentEvents) arrival(id string) (at time.Time, ok bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	at, ok = s.arrived[id]
	return at, ok
}

func isBad(e event.Event) bool { return strings.HasPrefix(e.ID(), "bad") }

// A burst of events that the sink does not take delays no other event, whatever the sink answers, and the sink is not flooded.
func TestBurstDelaysNoOthers(t *testing.T) {
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
		{"404", all, answered(404), 0},
		{"500", all, answered(500), 0},
		{"unsendable", all, &unsendableError{errors.New("id")}, 0},
		{"500 after 10 s", []int{5, 40}, answered(500), 10 * time.Second}, // of more, first attempts alone would take minutes
	}
	for _, test := range tests {
		for _, burst := range test.bursts {
			t.Run(fmt.Sprintf("%s/%d", test.name, burst), func(t *testing.T) {
				synctest.Test(t, func(t *testing.T) {
					b := inMemory(t, 10000, 100000*kib)
					log := &sentEvents{arrived: map[string]time.Time{}}
					d := &deliverer{
						buffer: b, logger: zap.NewNop().Sugar(), refusals: zap.NewNop().Sugar(), metrics: noMetrics(t), retries: -1, backoff: slow,
						send: func(_ context.Context, e event.Event) (answer, error) {
							log.sent(e, !isBad(e))
							if isBad(e) {
								time.Sleep(test.after) // by the bubble's clock
								return answer{}, test.failure
							}
							return answer{}, nil
						},
					}
					ctx, cancel := context.WithCancel(t.Context())
					var run sync.WaitGroup
					run.Go(func() { d.run(ctx, 16) })
					for i := range burst {
						put(t, b, sized(fmt.Sprint("bad", i), kib))
					}
					time.Sleep(time.Minute) // for the first attempts, of which nothing is wanted here
					before := log.count()
					began := map[string]time.Time{}
					for i := range good {
						id := fmt.Sprint("good", i)
						began[id] = time.Now()
						put(t, b, sized(id, kib))
						time.Sleep(spacing)
					}
					took := time.Duration(good) * spacing
					if got := log.count() - before; float64(got) > flood*took.Seconds() {
						t.Errorf("got %d requests in %s, want at most %d a second", got, took, flood)
					}
					var waits []time.Duration
					for id, at := range began {
						arrived, ok := log.arrival(id)
						if !ok {
							t.Fatalf("event %s has not arrived", id)
						}
						waits = append(waits, arrived.Sub(at))
					}
					slices.Sort(waits)
					if got := waits[len(waits)*99/100]; got > most {
						t.Errorf("got a 99th percentile of %s, want at most %s", got, most)
					}
					cancel()
					run.Wait()
					if got := events(b); got != int64(burst) {
						t.Errorf("%d events are kept, want the %d that the sink does not take", got, burst)
					}
				})
			})
		}
	}
}

// Each event that is not taken becomes a dead letter after its own retries, however many fail at once.
func TestBurstBecomesDeadLetters(t *testing.T) {
	for _, burst := range []int{5, 40, 1000, 9000} {
		t.Run(fmt.Sprint(burst), func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				b, place := inMemory(t, 10000, 100000*kib), &places{}
				b.budget = newBudget(2)
				log := &sentEvents{arrived: map[string]time.Time{}}
				d := &deliverer{
					buffer: b, deadLetters: place, sink: SinkURL{&url.URL{Scheme: "http", Host: "sink"}},
					logger: zap.NewNop().Sugar(), refusals: zap.NewNop().Sugar(), metrics: noMetrics(t), retries: 2, backoff: slow,
					send: func(_ context.Context, e event.Event) (answer, error) {
						log.sent(e, false)
						return answer{}, answered(500)
					},
				}
				for i := range burst {
					put(t, b, sized(fmt.Sprint("bad", i), kib))
				}
				var run sync.WaitGroup
				run.Go(func() { d.run(t.Context(), 16) })
				began := time.Now()
				<-b.stop()
				run.Wait()
				if len(place.taken) != burst || log.requests != 3*burst {
					t.Errorf("got %d dead letters after %d requests, want %d after %d", len(place.taken), log.requests, burst, 3*burst)
				}
				if most := time.Duration(burst)*2*finiteRepeatEvery + 2*time.Second; time.Since(began) > most {
					t.Errorf("took %s, want at most %s", time.Since(began), most)
				}
			})
		})
	}
}

// A place for dead letters that hangs holds up nothing that the sink takes.
func TestDeadLettersThatHangDelayNoOthers(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b, log := inMemory(t, 10000, 100000*kib), &sentEvents{arrived: map[string]time.Time{}}
		d := &deliverer{
			buffer: b, deadLetters: hangs{}, sink: SinkURL{&url.URL{Scheme: "http", Host: "sink"}},
			logger: zap.NewNop().Sugar(), refusals: zap.NewNop().Sugar(), metrics: noMetrics(t), retries: -1, backoff: slow,
			send: func(_ context.Context, e event.Event) (answer, error) {
				log.sent(e, !isBad(e))
				if isBad(e) {
					return answer{}, answered(400)
				}
				return answer{}, nil
			},
		}
		ctx, cancel := context.WithCancel(t.Context())
		var run sync.WaitGroup
		run.Go(func() { d.run(ctx, 16) })
		for i := range 100 {
			put(t, b, sized(fmt.Sprint("bad", i), kib), sized(fmt.Sprint("good", i), kib))
			began := time.Now()
			time.Sleep(time.Second)
			if arrived, ok := log.arrival(fmt.Sprint("good", i)); !ok || !arrived.Equal(began) {
				t.Fatalf("event good%d has not arrived at once", i)
			}
		}
		cancel()
		run.Wait()
		if got := events(b); got != 100 {
			t.Errorf("%d events are kept, want the 100 that became no dead letters", got)
		}
	})
}

// hangs is a place for dead letters that never answers.
type hangs struct{}

func (hangs) take(ctx context.Context, _ event.Event) error {
	ctx, cancel := context.WithTimeout(ctx, 30*time.Second)
	defer cancel()
	<-ctx.Done()
	return ctx.Err()
}

// A sink that takes events again gets what it refused at the pace that it can keep, not at that of the repeats to a sink that refuses.
func TestRecoveryIsFast(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		const burst = 9000
		b, recovered := inMemory(t, 10000, 100000*kib), false
		var mu sync.Mutex
		d := &deliverer{
			buffer: b, logger: zap.NewNop().Sugar(), refusals: zap.NewNop().Sugar(), metrics: noMetrics(t), retries: -1, backoff: backoff.Exponential{Min: 100 * time.Millisecond, Max: 10 * time.Second},
			send: func(context.Context, event.Event) (answer, error) {
				mu.Lock()
				defer mu.Unlock()
				if !recovered {
					return answer{}, answered(500)
				}
				return answer{}, nil
			},
		}
		for i := range burst {
			put(t, b, sized(fmt.Sprint(i), kib))
		}
		var run sync.WaitGroup
		run.Go(func() { d.run(t.Context(), 16) })
		time.Sleep(10 * time.Minute)
		if got := events(b); got != burst {
			t.Fatalf("%d events are kept, want all %d", got, burst)
		}
		mu.Lock()
		recovered = true
		mu.Unlock()
		began := time.Now()
		<-b.stop()
		run.Wait()
		if got := time.Since(began); got > 15*time.Second {
			t.Errorf("took %s to deliver what had been refused, want no longer than the longest wait", got)
		}
	})
}
