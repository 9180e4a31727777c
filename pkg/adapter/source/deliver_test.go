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

	"github.com/eventing-eventmesh/eventing-eventmesh/internal/backoff"
	"github.com/eventing-eventmesh/eventing-eventmesh/pkg/eventmesh"
)

// acknowledger counts the deliveries that are acknowledged.
type acknowledger struct {
	count   *atomic.Int32
	failure error
}

func (a *acknowledger) Acknowledge(_ context.Context, deliveries []*eventmesh.Delivery) error {
	a.count.Add(int32(len(deliveries)))
	return a.failure
}

func (*acknowledger) Release(context.Context, *eventmesh.Delivery) error { return nil }

// delivered is an event of the topic orders whose acknowledgements are counted.
func delivered(t *testing.T, id string, acknowledged *atomic.Int32, failure error) *kept {
	t.Helper()
	d := &eventmesh.Delivery{Event: sample(id), Topic: "orders", Acknowledger: &acknowledger{count: acknowledged, failure: failure}}
	return &kept{delivery: d, event: d.Event, topic: d.Topic, received: time.Now()}
}

// script is a sink that gives one answer after the other, and the last for ever.
func script(answers ...error) func(int) error {
	return func(attempt int) error { return answers[min(attempt, len(answers))-1] }
}

// slow is a back-off like the default one.
var slow = backoff.Exponential{Min: 100 * time.Millisecond, Max: 30 * time.Second}

func answered(code int) error { return &rejection{status: code} }

func TestDeliver(t *testing.T) {
	broken := errors.New("connection refused")
	const dropped, refused, failing = "dropping an event that the sink does not take",
		"the sink refuses an event; it is kept and tried again", "the sink does not take events; they are kept and tried again"
	const answers = "the sink answers again"
	tests := []struct {
		name     string
		retries  int
		answers  []error
		attempts int
		lost     bool
		logs     map[string]int
	}{
		{name: "at once", retries: 0, answers: []error{nil}, attempts: 1},
		{name: "after a while", retries: -1, answers: []error{answered(503), broken, answered(404), answered(429), nil}, attempts: 5,
			logs: map[string]int{failing: 2, answers: 2}},
		{name: "with the last retry", retries: 2, answers: []error{answered(500), answered(500), nil}, attempts: 3,
			logs: map[string]int{refused: 1}},
		{name: "no retries", retries: 0, answers: []error{answered(500)}, attempts: 1, lost: true, logs: map[string]int{dropped: 1}},
		{name: "retries used up", retries: 3, answers: []error{broken}, attempts: 4, lost: true, logs: map[string]int{failing: 1, dropped: 1}},
		{name: "final status", retries: 3, answers: []error{answered(400)}, attempts: 1, lost: true, logs: map[string]int{dropped: 1}},
		{name: "final status after others", retries: 3, answers: []error{answered(503), answered(403)}, attempts: 2, lost: true,
			logs: map[string]int{failing: 1, answers: 1, dropped: 1}},
		{name: "final status with retries for ever", retries: -1, answers: []error{answered(400), answered(400), answered(400), nil}, attempts: 4,
			logs: map[string]int{refused: 1}},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				core, logs := observer.New(zap.DebugLevel)
				var acknowledged atomic.Int32
				b, attempts, next := inMemory(t, 10, 100*kib), 0, script(test.answers...)
				d := &deliverer{
					buffer: b, logger: zap.New(core).Sugar(), refusals: zap.New(core).Sugar(), metrics: noMetrics(t), retries: test.retries, backoff: slow,
					send: func(_ context.Context, e event.Event) (answer, error) {
						attempts++
						if e.ID() != "a" || acknowledged.Load() != 0 || events(b) != 1 {
							t.Errorf("attempt %d with %s: acknowledged %d times, %d kept; want it kept, and not acknowledged",
								attempts, e.ID(), acknowledged.Load(), events(b))
						}
						return answer{}, next(attempts)
					},
				}
				if err := b.put(t.Context(), delivered(t, "a", &acknowledged, nil)); err != nil {
					t.Fatal(err)
				}
				ctx, cancel := context.WithCancel(t.Context())
				var run sync.WaitGroup
				run.Go(func() { d.run(ctx, 1) })
				<-b.stop()
				cancel()
				run.Wait()
				if attempts != test.attempts || acknowledged.Load() != 1 || events(b) != 0 {
					t.Errorf("got %d attempts, %d acknowledgements, %d kept; want %d, 1, 0", attempts, acknowledged.Load(), events(b), test.attempts)
				}
				for _, message := range []string{dropped, refused, failing, answers} {
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
				b := inMemory(t, 10, 100*kib)
				d := &deliverer{
					buffer: b, logger: zap.NewNop().Sugar(), refusals: zap.NewNop().Sugar(), metrics: noMetrics(t), retries: -1, backoff: backoff.Exponential{Min: 100 * time.Millisecond, Max: time.Second},
					send: func(context.Context, event.Event) (answer, error) {
						attempts.Add(1)
						return answer{}, answered(code)
					},
				}
				if err := b.put(t.Context(), delivered(t, "a", &acknowledged, nil)); err != nil {
					t.Fatal(err)
				}
				ctx, cancel := context.WithTimeout(t.Context(), 24*time.Hour)
				defer cancel()
				d.run(ctx, 2)
				if attempts.Load() < 24*60*60 || acknowledged.Load() != 0 || events(b) != 1 {
					t.Errorf("got %d attempts in a day, %d acknowledgements, %d kept; want at least one a second, 0, 1",
						attempts.Load(), acknowledged.Load(), events(b))
				}
			})
		})
	}
}

func TestInFlight(t *testing.T) {
	for _, n := range []int{1, 5, 16} {
		t.Run(fmt.Sprint(n), func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				const total = 40
				var acknowledged, inFlight, sent atomic.Int32
				b, release := inMemory(t, total, 1000*kib), make(chan struct{})
				d := &deliverer{buffer: b, logger: zap.NewNop().Sugar(), refusals: zap.NewNop().Sugar(), metrics: noMetrics(t), send: func(context.Context, event.Event) (answer, error) {
					inFlight.Add(1)
					defer inFlight.Add(-1)
					sent.Add(1)
					<-release
					return answer{}, nil
				}}
				for i := range total {
					if err := b.put(t.Context(), delivered(t, fmt.Sprint(i), &acknowledged, nil)); err != nil {
						t.Fatal(err)
					}
				}
				ctx, cancel := context.WithCancel(t.Context())
				var run sync.WaitGroup
				run.Go(func() { d.run(ctx, n) })
				drained := b.stop()
				for i := range total {
					synctest.Wait() // nothing can move on
					if got, want := int(inFlight.Load()), min(n, total-i); got != want {
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
				if sent.Load() != total {
					t.Errorf("got %d requests, want %d", sent.Load(), total)
				}
			})
		})
	}
}

func TestGivenUpIsStillKept(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		core, logs := observer.New(zap.DebugLevel)
		var acknowledged atomic.Int32
		b := inMemory(t, 1, 100*kib)
		d := &deliverer{buffer: b, logger: zap.New(core).Sugar(), refusals: zap.New(core).Sugar(), metrics: noMetrics(t), send: func(ctx context.Context, _ event.Event) (answer, error) {
			<-ctx.Done()
			return answer{}, ctx.Err()
		}}
		if err := b.put(t.Context(), delivered(t, "a", &acknowledged, nil)); err != nil {
			t.Fatal(err)
		}
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		d.run(ctx, 1)
		if acknowledged.Load() != 0 || events(b) != 1 || logs.Len() != 0 {
			t.Errorf("got %d acknowledgements, %d kept, log %v; want it kept", acknowledged.Load(), events(b), logs.All())
		}
	})
}

func TestAcknowledgementThatFails(t *testing.T) {
	core, logs := observer.New(zap.DebugLevel)
	var acknowledged atomic.Int32
	b := inMemory(t, 1, 100*kib)
	d := &deliverer{buffer: b, logger: zap.New(core).Sugar(), refusals: zap.New(core).Sugar(), metrics: noMetrics(t), send: func(context.Context, event.Event) (answer, error) { return answer{}, nil }}
	if err := b.put(t.Context(), delivered(t, "a", &acknowledged, eventmesh.ErrNotConnected)); err != nil {
		t.Fatal(err)
	}
	d.deliver(t.Context(), b.next(t.Context()))
	if events(b) != 0 || logs.FilterMessage("EventMesh may deliver an event again").Len() != 1 {
		t.Errorf("%d kept, log %v; want it released and told", events(b), logs.All())
	}
}

// Any answer that is about the event alone shows that the sink takes events: they go out several at a time again.
func TestAnswerClosesTheCircuit(t *testing.T) {
	for name, after := range map[string]error{"taken": nil, "refused for good": answered(400)} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				b, says := inMemory(t, 100, 1000*kib), answered(503)
				d := &deliverer{
					buffer: b, logger: zap.NewNop().Sugar(), refusals: zap.NewNop().Sugar(), metrics: noMetrics(t), retries: 3, backoff: slow,
					send: func(context.Context, event.Event) (answer, error) { return answer{}, says },
				}
				for i := range tripAfter + 1 {
					put(t, b, sized(fmt.Sprint(i), kib))
				}
				ctx, cancel := context.WithTimeout(t.Context(), time.Hour)
				defer cancel()
				defer b.serve(ctx, workers)()
				for range tripAfter {
					d.deliver(ctx, b.next(ctx))
				}
				says = after
				d.deliver(ctx, b.next(ctx)) // as a probe
				if first, second := b.next(ctx), b.next(ctx); first == nil || second == nil {
					t.Errorf("got an event %t, and another at once %t; want both", first != nil, second != nil)
				}
			})
		})
	}
}

// An event that cannot be sent says nothing of a sink that is away.
func TestUnsendableLeavesTheCircuitOpen(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b, says := inMemory(t, 100, 1000*kib), answered(503)
		d := &deliverer{
			buffer: b, logger: zap.NewNop().Sugar(), refusals: zap.NewNop().Sugar(), metrics: noMetrics(t), retries: 3, backoff: slow,
			send: func(context.Context, event.Event) (answer, error) { return answer{}, says },
		}
		for i := range tripAfter + 1 {
			put(t, b, sized(fmt.Sprint(i), 2*kib))
		}
		ctx, cancel := context.WithTimeout(t.Context(), time.Hour)
		defer cancel()
		defer b.serve(ctx, workers)()
		for range tripAfter {
			d.deliver(ctx, b.next(ctx))
		}
		says = &unsendableError{errors.New("id")}
		d.deliver(ctx, b.next(ctx)) // as a probe
		if !b.sink.open || b.sink.probing || !d.failing.Load() {
			t.Errorf("got the circuit open %t, probing %t, the sink away %t; want it open and free for a probe", b.sink.open, b.sink.probing, d.failing.Load())
		}
	})
}

func TestEventsOfAnEarlierProcessCountAsRedelivered(t *testing.T) {
	dir := t.TempDir()
	b, closeSpool := onDisk(t, dir, 10, 100*kib, Unordered)
	put(t, b, sized("left", kib))
	closeSpool()
	b, _ = onDisk(t, dir, 10, 100*kib, Unordered)
	put(t, b, sized("new", kib))
	m, collect := metered(t, state{})
	d := &deliverer{buffer: b, logger: zap.NewNop().Sugar(), refusals: zap.NewNop().Sugar(), metrics: m, send: func(context.Context, event.Event) (answer, error) { return answer{}, nil }}
	for _, id := range []string{"left", "new"} {
		k := b.next(t.Context())
		if k.event.ID() != id {
			t.Fatalf("got %s, want %s", k.event.ID(), id)
		}
		d.deliver(t.Context(), k)
		_, points := describeMetric(t, collect()["eventmesh.source.redelivered"])
		if got := points["messaging.consumer.group.name=billing,messaging.destination.name=orders"]; got != "1" {
			t.Errorf("after %s: got %q redelivered, want 1", id, got)
		}
	}
}
