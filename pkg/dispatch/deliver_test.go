package dispatch_test

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/cloudevents/sdk-go/v2/event"
	"go.opentelemetry.io/otel/sdk/metric"
	"go.opentelemetry.io/otel/sdk/metric/metricdata"
	"go.uber.org/zap"
	"go.uber.org/zap/zaptest/observer"

	"github.com/eventing-eventmesh/eventing-eventmesh/pkg/dispatch"
)

func TestDeliver(t *testing.T) {
	t.Parallel()
	broken, unmade := errors.New("connection refused"), &dispatch.UnpreparedError{Reason: errors.New("no token yet")}
	const dropped, refused, failing = "dropping an event that the sink does not accept",
		"the sink refuses an event; it is kept and tried again", "the sink does not accept events; they are kept and tried again"
	const answers = "the sink answers again"
	tests := []struct {
		name     string
		retries  int
		answers  []error
		attempts int
		logs     map[string]int
	}{
		{name: "at once", retries: 0, answers: []error{nil}, attempts: 1},
		{name: "after a while", retries: -1, answers: []error{answered(503), broken, answered(404), answered(429), nil}, attempts: 5,
			logs: map[string]int{failing: 2, answers: 2}},
		{name: "with the last retry", retries: 2, answers: []error{answered(500), answered(500), nil}, attempts: 3,
			logs: map[string]int{refused: 1}},
		{name: "no retries", retries: 0, answers: []error{answered(500)}, attempts: 1, logs: map[string]int{dropped: 1}},
		{name: "retries used up", retries: 3, answers: []error{broken}, attempts: 4, logs: map[string]int{failing: 1, dropped: 1}},
		{name: "final status", retries: 3, answers: []error{answered(400)}, attempts: 1, logs: map[string]int{dropped: 1}},
		{name: "final status after others", retries: 3, answers: []error{answered(503), answered(403)}, attempts: 2,
			logs: map[string]int{failing: 1, answers: 1, dropped: 1}},
		{name: "final status with retries for ever", retries: -1, answers: []error{answered(400), answered(400), answered(400), nil}, attempts: 4,
			logs: map[string]int{refused: 1}},
		{name: "attempts that are not made count for nothing", retries: 0, answers: []error{unmade, unmade, unmade, nil}, attempts: 4},
		{name: "nor do they after one that was", retries: 1, answers: []error{answered(500), fmt.Errorf("the reply: %w", unmade), unmade, nil}, attempts: 4,
			logs: map[string]int{refused: 1}},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				core, logs := observer.New(zap.DebugLevel)
				var acknowledged acknowledgements
				var d *dispatch.Dispatcher
				next := script(test.answers...)
				sink := &place{answer: func(ctx context.Context, e event.Event) (dispatch.Answer, error) {
					if got := d.Status(); acknowledged.count(e.ID()) != 0 || got.Events != 1 || got.InFlight != 1 {
						t.Errorf("during an attempt: acknowledged %d times, %+v; want it kept, and not acknowledged", acknowledged.count(e.ID()), got)
					}
					return next(ctx, e)
				}}
				d, lane := one(dispatch.Options{Acknowledge: acknowledged.add, Logger: zap.New(core).Sugar()},
					dispatch.LaneOptions{Destination: sink, Retries: test.retries})
				put(t, d, []event.Event{newEvent("a")}, lane)
				d.Drain(t.Context())
				if got := sink.asked(); len(got) != test.attempts || acknowledged.count("a") != 1 || d.Status().Events != 0 {
					t.Errorf("got attempts %v, %d acknowledgements, %d kept; want %d, 1, 0", got, acknowledged.count("a"), d.Status().Events, test.attempts)
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
	t.Parallel()
	for _, status := range []int{400, 500, 503} {
		t.Run(fmt.Sprint(status), func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				var acknowledged acknowledgements
				sink := &place{answer: says(answered(status))}
				d, lane := one(dispatch.Options{Acknowledge: acknowledged.add},
					dispatch.LaneOptions{Destination: sink, Retries: -1, Backoff: dispatch.Exponential(100*time.Millisecond, time.Second)})
				put(t, d, []event.Event{newEvent("a")}, lane)
				time.Sleep(time.Hour) // by the bubble's clock
				abandon(d)
				if got := len(sink.asked()); got < 3600 || acknowledged.count("a") != 0 || d.Status().Events != 1 {
					t.Errorf("got %d attempts in an hour, %d acknowledgements, %d kept; want at least one a second, 0, 1",
						got, acknowledged.count("a"), d.Status().Events)
				}
			})
		})
	}
}

// What is in flight is bounded by the workers of all lanes, and by what a lane may have of them.
func TestInFlight(t *testing.T) {
	t.Parallel()
	for _, test := range []struct{ workers, ofLane, want int }{{1, 0, 1}, {5, 0, 5}, {16, 0, 16}, {16, 1, 1}, {16, 5, 5}, {5, 16, 5}} {
		t.Run(fmt.Sprintf("%d workers, %d of the lane", test.workers, test.ofLane), func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				const total = 40
				var acknowledged, inFlight atomic.Int32
				release := make(chan struct{})
				sink := &place{answer: func(context.Context, event.Event) (dispatch.Answer, error) {
					inFlight.Add(1)
					defer inFlight.Add(-1)
					<-release
					return dispatch.Answer{}, nil
				}}
				d, lane := one(dispatch.Options{
					Workers: test.workers, Acknowledge: func(all []*dispatch.Message) { acknowledged.Add(int32(len(all))) },
				}, dispatch.LaneOptions{Destination: sink, MaxInFlight: test.ofLane})
				put(t, d, numbered("", total), lane)
				for i := range total {
					synctest.Wait() // nothing can move on
					if got, want := int(inFlight.Load()), min(test.want, total-i); got != want || d.Status().InFlight != int64(want) {
						t.Fatalf("after %d events: got %d in flight, and %d by the status, want %d", i, got, d.Status().InFlight, want)
					}
					if got := int(acknowledged.Load()); got != i {
						t.Fatalf("got %d acknowledged of %d", got, i)
					}
					release <- struct{}{}
				}
				d.Drain(t.Context())
				if got := len(sink.asked()); got != total {
					t.Errorf("got %d requests, want %d", got, total)
				}
			})
		})
	}
}

// What is in flight when there is no time left is still kept, and nothing is said of its destination.
func TestAttemptThatIsCutOff(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		core, logs := observer.New(zap.DebugLevel)
		var acknowledged acknowledgements
		sink := &place{answer: func(ctx context.Context, _ event.Event) (dispatch.Answer, error) {
			<-ctx.Done()
			return dispatch.Answer{}, ctx.Err()
		}}
		d, lane := one(dispatch.Options{Acknowledge: acknowledged.add, Logger: zap.New(core).Sugar()}, dispatch.LaneOptions{Destination: sink})
		put(t, d, []event.Event{newEvent("a")}, lane)
		began := time.Now()
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		d.Drain(ctx)
		if acknowledged.count("a") != 0 || d.Status().Events != 1 || logs.Len() != 0 || time.Since(began) != time.Second {
			t.Errorf("got %d acknowledgements, %d kept, log %v after %s; want it kept",
				acknowledged.count("a"), d.Status().Events, logs.All(), time.Since(began))
		}
	})
}

// A destination that is away gets one request at a time. Any answer that is about the event alone shows that it works, and what cannot
// be sent shows nothing.
func TestProbes(t *testing.T) {
	t.Parallel()
	refused := errors.New("connection refused")
	tests := []struct {
		name         string
		away, answer error
		back         bool
	}{
		{"accepted after 503", answered(503), nil, true},
		{"accepted after no answer", refused, nil, true},
		{"refused for good", answered(502), answered(400), true},
		{"refused for now", answered(429), answered(500), true},
		{"away still", answered(504), answered(503), false},
		{"no answer", refused, refused, false},
		{"cannot be sent", answered(503), &dispatch.UnsendableError{Reason: errors.New("id")}, false},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				const takes = time.Hour
				began := time.Now()
				var probes atomic.Int32
				sink := &place{answer: func(ctx context.Context, _ event.Event) (dispatch.Answer, error) {
					if time.Since(began) < time.Second {
						return dispatch.Answer{}, test.away
					}
					if probes.Add(1) == 1 {
						time.Sleep(takes)
						return dispatch.Answer{}, test.answer
					}
					<-ctx.Done()
					return dispatch.Answer{}, ctx.Err()
				}}
				d, lane := one(dispatch.Options{}, dispatch.LaneOptions{Destination: sink, Retries: 30})
				put(t, d, numbered("", 40), lane)
				time.Sleep(takes)
				if got := d.Status().InFlight; got != 1 || lane.Available() || d.Available() {
					t.Errorf("got %d requests at once, available %t, want one to a destination that is away", got, lane.Available())
				}
				time.Sleep(2 * takes)
				if got := d.Status().InFlight; (got > 1) != test.back || got == 0 || lane.Available() != test.back {
					t.Errorf("after the answer: got %d requests at once, available %t, want it back %t", got, lane.Available(), test.back)
				}
				abandon(d)
			})
		})
	}
}

// A destination is left alone for as long as it asks.
func TestRetryAfterIsObeyed(t *testing.T) {
	t.Parallel()
	for _, status := range []int{429, 503} {
		t.Run(fmt.Sprint(status), func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				const asked, workers = 10 * time.Second, 16
				began := time.Now()
				sink := &place{answer: func(context.Context, event.Event) (dispatch.Answer, error) {
					if time.Since(began) < asked {
						return dispatch.Answer{}, &dispatch.Rejection{Status: status, RetryAfter: asked}
					}
					return dispatch.Answer{}, nil
				}}
				d, lane := one(dispatch.Options{Workers: workers}, dispatch.LaneOptions{Destination: sink, Retries: -1})
				put(t, d, numbered("", 100), lane)
				time.Sleep(asked - 1)
				if got := len(sink.asked()); got > workers+4 { // of which the fifth failure is the last to end
					t.Errorf("got %d requests in the time of quiet, want those alone that were under way", got)
				}
				time.Sleep(2 * time.Nanosecond)
				if got := sink.got(); len(got) == 0 {
					t.Error("nothing arrived when the time was over")
				}
				d.Drain(t.Context())
			})
		})
	}
}

// An event is sent again when its wait is over, whatever others wait for.
func TestAgainWhenDue(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		waits, failed := map[string]time.Duration{"a": time.Hour, "b": time.Minute, "c": 0}, map[string]bool{}
		var mu sync.Mutex
		sink := &place{answer: func(_ context.Context, e event.Event) (dispatch.Answer, error) {
			mu.Lock()
			defer mu.Unlock()
			if waits[e.ID()] == 0 || failed[e.ID()] {
				return dispatch.Answer{}, nil
			}
			failed[e.ID()] = true
			return dispatch.Answer{}, &dispatch.Rejection{Status: 429, RetryAfter: waits[e.ID()]}
		}}
		d, lane := one(dispatch.Options{}, dispatch.LaneOptions{
			Destination: sink, Retries: -1, Backoff: func(_ int, asked time.Duration) time.Duration { return asked },
		})
		began := time.Now()
		put(t, d, []event.Event{newEvent("a"), newEvent("b"), newEvent("c")}, lane)
		time.Sleep(time.Second)
		if got := d.Status(); got.Events != 2 || got.InFlight != 0 {
			t.Errorf("got %+v, want two kept, and none in flight", got)
		}
		d.Drain(t.Context())
		for id, wait := range waits {
			if at, _ := sink.arrival(id); at.Sub(began) != wait {
				t.Errorf("%s has arrived after %s, want %s", id, at.Sub(began), wait)
			}
		}
	})
}

// A repeat is an event's that this process has sent, or one before it.
func TestRepeatsAreCounted(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	fast := dispatch.Exponential(time.Millisecond, time.Millisecond)
	away := &place{answer: says(answered(500))}
	d := dispatch.New(dispatch.Options{Disk: openDisk(t, dir)})
	put(t, d, []event.Event{newEvent("left")}, d.Lane(dispatch.LaneOptions{Name: "toy", Destination: away}))
	d.Start()
	abandon(d)

	reader := metric.NewManualReader()
	telemetry, err := dispatch.NewTelemetry(dispatch.TelemetryOptions{Provider: metric.NewMeterProvider(metric.WithReader(reader)), Prefix: "test"})
	if err != nil {
		t.Fatal(err)
	}
	unmade := &dispatch.UnpreparedError{Reason: errors.New("no token yet")}
	sink := &place{answer: script(unmade, nil, nil, answered(500), answered(500), nil)}
	d, lane := one(dispatch.Options{Disk: openDisk(t, dir), Telemetry: telemetry}, dispatch.LaneOptions{Destination: sink, Retries: -1, Backoff: fast})
	for i, id := range []string{"left", "new", "tried"} {
		if id != "left" {
			put(t, d, []event.Event{newEvent(id)}, lane)
		}
		eventually(t, "it has arrived", func() bool { return d.Status().Events == 0 })
		if got, want := sum(t, reader, "test.redelivered"), []int64{1, 1, 3}[i]; got != want {
			t.Errorf("after %s: got %d repeats, want %d", id, got, want)
		}
	}
	if got := sum(t, reader, "test.delivered"); got != 3 {
		t.Errorf("got %d delivered, want 3", got)
	}
	drain(t, d)
}

// sum returns what a counter has counted, whatever its attributes.
func sum(t *testing.T, reader metric.Reader, name string) (total int64) {
	t.Helper()
	var all metricdata.ResourceMetrics
	if err := reader.Collect(t.Context(), &all); err != nil {
		t.Fatal(err)
	}
	for _, scope := range all.ScopeMetrics {
		for _, m := range scope.Metrics {
			if data, ok := m.Data.(metricdata.Sum[int64]); ok && m.Name == name {
				for _, point := range data.DataPoints {
					total += point.Value
				}
			}
		}
	}
	return total
}

// A reply, or what claims to be one, is handed over before its event is forgotten, and the event is sent again when that fails.
func TestReplies(t *testing.T) {
	t.Parallel()
	reply, invalid := newEvent("reply"), errors.New("no event")
	answers := map[string]dispatch.Answer{
		"reply": {Status: 200, Reply: &reply}, "invalid": {Status: 200, Invalid: invalid}, "none": {Status: 202},
	}
	stores(t, func(t *testing.T, open func() *dispatch.Disk) {
		var d *dispatch.Dispatcher
		var mu sync.Mutex
		var acknowledged acknowledgements
		handed := map[string]int{}
		onDisk := false
		disk := open()
		if disk != nil {
			onDisk = true
		}
		onReply := func(_ context.Context, m *dispatch.Message, a dispatch.Answer) error {
			id := m.Event.ID()
			if want := answers[id]; a.Reply != want.Reply || !errors.Is(a.Invalid, want.Invalid) || m.Topic != "orders" || string(m.Event.Data()) != "data of "+id {
				t.Errorf("got %+v for %s of %s", a, id, m.Topic)
			}
			if !onDisk && (m.Origin != id || acknowledged.count(id) != 0) {
				t.Errorf("got origin %v, %d acknowledgements of %s", m.Origin, acknowledged.count(id), id)
			}
			if d.Status().Events == 0 {
				t.Errorf("%s is forgotten", id)
			}
			mu.Lock()
			defer mu.Unlock()
			if handed[id]++; handed[id] < 3 {
				return errors.New("nobody to give it to")
			}
			return nil
		}
		sink := &place{answer: func(_ context.Context, e event.Event) (dispatch.Answer, error) { return answers[e.ID()], nil }}
		d, lane := one(dispatch.Options{Disk: disk, Acknowledge: acknowledged.add}, dispatch.LaneOptions{
			Destination: sink, Retries: -1, Backoff: dispatch.Exponential(time.Millisecond, time.Millisecond), OnReply: onReply,
		})
		for id := range answers {
			if err := d.Put(t.Context(), &dispatch.Message{Event: newEvent(id), Topic: "orders", Origin: id}, lane); err != nil {
				t.Fatal(err)
			}
		}
		eventually(t, "all are delivered", func() bool { return d.Status().Events == 0 })
		drain(t, d)
		requests := map[string]int{}
		for _, id := range sink.asked() {
			requests[id]++
		}
		if !maps.Equal(requests, map[string]int{"reply": 3, "invalid": 3, "none": 1}) || !maps.Equal(handed, map[string]int{"reply": 3, "invalid": 3}) {
			t.Errorf("got requests %v, handed over %v; want three of each answer, and one without", requests, handed)
		}
		for id := range answers {
			if got := acknowledged.count(id); got != 1 {
				t.Errorf("got %d acknowledgements of %s, want one", got, id)
			}
		}
	})
}
