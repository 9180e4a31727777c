package source

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/cloudevents/sdk-go/v2/event"
	"go.uber.org/zap"
	"go.uber.org/zap/zaptest/observer"

	"github.com/eventing-eventmesh/eventing-eventmesh/pkg/eventmesh"
)

// delivered is an event of the topic orders whose acknowledgements are counted.
func delivered(t *testing.T, id string, acknowledged *atomic.Int32, failure error) *kept {
	t.Helper()
	wire, err := eventmesh.Encode(sample(id), "orders", eventmesh.NativeForm)
	if err != nil {
		t.Fatal(err)
	}
	d := eventmesh.NewDelivery(wire, func() error {
		acknowledged.Add(1)
		return failure
	}, nil)
	if d.Err != nil {
		t.Fatal(d.Err)
	}
	return &kept{delivery: d, event: d.Event}
}

// script is a sink that gives one answer after the other, and the last for ever.
func script(answers ...error) func(int) error {
	return func(attempt int) error { return answers[min(attempt, len(answers))-1] }
}

func status(code int) error { return &rejection{status: code} }

func TestDeliver(t *testing.T) {
	broken := errors.New("connection refused")
	const dropped, refused, failing = "dropping an event that the sink does not take",
		"the sink refuses an event; it is kept and tried again", "the sink does not take events; they are kept and tried again"
	tests := []struct {
		name     string
		retries  int
		answers  []error
		attempts int
		lost     bool
		logs     map[string]int
	}{
		{name: "at once", retries: 0, answers: []error{nil}, attempts: 1},
		{name: "after a while", retries: -1, answers: []error{status(503), broken, status(404), status(429), nil}, attempts: 5,
			logs: map[string]int{failing: 1, "the sink takes events again": 1}},
		{name: "with the last retry", retries: 2, answers: []error{status(500), status(500), nil}, attempts: 3,
			logs: map[string]int{failing: 1, "the sink takes events again": 1}},
		{name: "no retries", retries: 0, answers: []error{status(500)}, attempts: 1, lost: true, logs: map[string]int{dropped: 1}},
		{name: "retries used up", retries: 3, answers: []error{broken}, attempts: 4, lost: true, logs: map[string]int{failing: 1, dropped: 1}},
		{name: "final status", retries: 3, answers: []error{status(400)}, attempts: 1, lost: true, logs: map[string]int{dropped: 1}},
		{name: "final status after others", retries: 3, answers: []error{status(503), status(403)}, attempts: 2, lost: true,
			logs: map[string]int{failing: 1, dropped: 1}},
		{name: "final status with retries for ever", retries: -1, answers: []error{status(400), status(400), status(400), nil}, attempts: 4,
			logs: map[string]int{refused: 1}},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				core, logs := observer.New(zap.DebugLevel)
				var acknowledged atomic.Int32
				b, attempts, answer := newBuffer(10, 100*kib), 0, script(test.answers...)
				d := &deliverer{
					buffer: b, logger: zap.New(core).Sugar(), retries: test.retries, backoffMin: 100 * time.Millisecond, backoffMax: 30 * time.Second,
					send: func(_ context.Context, e event.Event) error {
						attempts++
						if e.ID() != "a" || acknowledged.Load() != 0 || b.count.Load() != 1 {
							t.Errorf("attempt %d with %s: acknowledged %d times, %d kept; want it kept, and not acknowledged",
								attempts, e.ID(), acknowledged.Load(), b.count.Load())
						}
						return answer(attempts)
					},
				}
				if err := b.put(t.Context(), delivered(t, "a", &acknowledged, nil)); err != nil {
					t.Fatal(err)
				}
				ctx, cancel := context.WithCancel(t.Context())
				var run sync.WaitGroup
				run.Go(func() { d.run(ctx, 1) })
				<-b.close()
				cancel()
				run.Wait()
				if attempts != test.attempts || acknowledged.Load() != 1 || b.count.Load() != 0 {
					t.Errorf("got %d attempts, %d acknowledgements, %d kept; want %d, 1, 0", attempts, acknowledged.Load(), b.count.Load(), test.attempts)
				}
				for _, message := range []string{dropped, refused, failing, "the sink takes events again"} {
					if got := logs.FilterMessage(message).Len(); got != test.logs[message] {
						t.Errorf("got %d lines %q, want %d", got, message, test.logs[message])
					}
				}
				for _, line := range logs.FilterMessage(dropped).All() {
					fields := line.ContextMap()
					if line.Level != zap.ErrorLevel || fields["id"] != "a" || fields["topic"] != "orders" || fields["attempts"] != int64(test.attempts) {
						t.Errorf("got %s line with %v, want an error that names the event", line.Level, fields)
					}
				}
			})
		})
	}
}

func TestEventIsKeptForEver(t *testing.T) {
	for _, code := range []int{http.StatusBadRequest, http.StatusServiceUnavailable} {
		t.Run(fmt.Sprint(code), func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				var acknowledged, attempts atomic.Int32
				b := newBuffer(10, 100*kib)
				d := &deliverer{
					buffer: b, logger: zap.NewNop().Sugar(), retries: -1, backoffMin: 100 * time.Millisecond, backoffMax: time.Second,
					send: func(context.Context, event.Event) error {
						attempts.Add(1)
						return status(code)
					},
				}
				if err := b.put(t.Context(), delivered(t, "a", &acknowledged, nil)); err != nil {
					t.Fatal(err)
				}
				ctx, cancel := context.WithTimeout(t.Context(), 24*time.Hour)
				defer cancel()
				d.run(ctx, 2)
				if attempts.Load() < 24*60*60 || acknowledged.Load() != 0 || b.count.Load() != 1 {
					t.Errorf("got %d attempts in a day, %d acknowledgements, %d kept; want at least one a second, 0, 1",
						attempts.Load(), acknowledged.Load(), b.count.Load())
				}
			})
		})
	}
}

func TestInFlight(t *testing.T) {
	for _, n := range []int{1, 5, 16} {
		t.Run(fmt.Sprint(n), func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				const events = 40
				var acknowledged, inFlight, sent atomic.Int32
				b, release := newBuffer(events, 1000*kib), make(chan struct{})
				d := &deliverer{buffer: b, logger: zap.NewNop().Sugar(), send: func(context.Context, event.Event) error {
					inFlight.Add(1)
					defer inFlight.Add(-1)
					sent.Add(1)
					<-release
					return nil
				}}
				for i := range events {
					if err := b.put(t.Context(), delivered(t, fmt.Sprint(i), &acknowledged, nil)); err != nil {
						t.Fatal(err)
					}
				}
				ctx, cancel := context.WithCancel(t.Context())
				var run sync.WaitGroup
				run.Go(func() { d.run(ctx, n) })
				drained := b.close()
				for i := range events {
					synctest.Wait() // nothing can move on
					if got, want := int(inFlight.Load()), min(n, events-i); got != want {
						t.Fatalf("after %d events: got %d in flight, want %d", i, got, want)
					}
					if got := int(acknowledged.Load()); got != i {
						t.Fatalf("got %d acknowledged of %d", got, i)
					}
					release <- struct{}{}
				}
				<-drained
				cancel()
				run.Wait()
				if sent.Load() != events {
					t.Errorf("got %d requests, want %d", sent.Load(), events)
				}
			})
		})
	}
}

func TestGivenUpIsStillKept(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		core, logs := observer.New(zap.DebugLevel)
		var acknowledged atomic.Int32
		b := newBuffer(1, 100*kib)
		d := &deliverer{buffer: b, logger: zap.New(core).Sugar(), send: func(ctx context.Context, _ event.Event) error {
			<-ctx.Done()
			return ctx.Err()
		}}
		if err := b.put(t.Context(), delivered(t, "a", &acknowledged, nil)); err != nil {
			t.Fatal(err)
		}
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		d.run(ctx, 1)
		if acknowledged.Load() != 0 || b.count.Load() != 1 || logs.Len() != 0 {
			t.Errorf("got %d acknowledgements, %d kept, log %v; want it kept", acknowledged.Load(), b.count.Load(), logs.All())
		}
	})
}

func TestAcknowledgementThatFails(t *testing.T) {
	core, logs := observer.New(zap.DebugLevel)
	var acknowledged atomic.Int32
	b := newBuffer(1, 100*kib)
	d := &deliverer{buffer: b, logger: zap.New(core).Sugar(), send: func(context.Context, event.Event) error { return nil }}
	if err := b.put(t.Context(), delivered(t, "a", &acknowledged, eventmesh.ErrNotConnected)); err != nil {
		t.Fatal(err)
	}
	d.deliver(t.Context(), <-b.ready)
	if b.count.Load() != 0 || logs.FilterMessage("EventMesh may deliver an event again").Len() != 1 {
		t.Errorf("%d kept, log %v; want it released and told", b.count.Load(), logs.All())
	}
}

func TestWait(t *testing.T) {
	const lowest, highest = 100 * time.Millisecond, 30 * time.Second
	tests := []struct {
		name     string
		attempts int
		rejected *rejection
		final    bool
		min, max time.Duration
	}{
		{"first", 1, nil, false, 0, lowest},
		{"second", 2, &rejection{status: 500}, false, 0, 2 * lowest},
		{"fifth", 5, nil, false, 0, 16 * lowest},
		{"capped", 10, nil, false, 0, highest},
		{"capped after very many", 1 << 40, nil, false, 0, highest},
		{"final waits for a change of the sink", 1, &rejection{status: 400}, true, 0, highest},
		{"Retry-After", 1, &rejection{status: 429, retryAfter: 5 * time.Second}, false, 5 * time.Second, 5 * time.Second},
		{"Retry-After below the wait", 9, &rejection{status: 429, retryAfter: time.Second}, false, time.Second, 256 * lowest},
		{"Retry-After is capped", 1, &rejection{status: 503, retryAfter: time.Hour}, false, highest, highest},
	}
	d := &deliverer{backoffMin: lowest, backoffMax: highest}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			seen := map[time.Duration]bool{}
			for range 1000 {
				got := d.wait(test.attempts, test.rejected, test.final)
				if got <= 0 || got < test.min || got > test.max {
					t.Fatalf("got %s, want %s to %s", got, test.min, test.max)
				}
				seen[got] = true
			}
			if test.min < test.max && len(seen) < 100 {
				t.Errorf("got %d different waits of 1000, want jitter", len(seen))
			}
		})
	}
}
