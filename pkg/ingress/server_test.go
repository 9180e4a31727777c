package ingress

import (
	"context"
	"errors"
	"net"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/cloudevents/sdk-go/v2/event"
	"go.opentelemetry.io/otel/metric"
	"go.opentelemetry.io/otel/metric/noop"
	sdk "go.opentelemetry.io/otel/sdk/metric"

	"github.com/eventing-eventmesh/eventing-eventmesh/internal/ingresstest"
)

func TestListenerThatBreaks(t *testing.T) {
	for _, c := range []struct {
		name string
		ctx  func(context.Context) context.Context
	}{
		{"while serving", func(ctx context.Context) context.Context { return ctx }},
		{"while shutting down", func(ctx context.Context) context.Context {
			ended, cancel := context.WithCancel(ctx)
			cancel()
			return ended
		}},
	} {
		t.Run(c.name, func(t *testing.T) {
			listener, err := (&net.ListenConfig{}).Listen(t.Context(), "tcp", "127.0.0.1:0")
			if err != nil {
				t.Fatal(err)
			}
			_ = listener.Close()
			s, _ := server(t, &fake{}, func(o *Options) { o.ShutdownDelay = time.Hour })
			began := time.Now()
			if err := s.Serve(c.ctx(t.Context()), listener, nil); err == nil || !strings.Contains(err.Error(), "serving on") {
				t.Errorf("got %v, want an error", err)
			}
			if took := time.Since(began); took > patience {
				t.Errorf("took %s", took)
			}
		})
	}
}

func TestBoundsHaveDefaults(t *testing.T) {
	for _, c := range []struct{ given, want Bounds }{
		{Bounds{}, Bounds{1 << 20, 64 << 20, 1000, 1000, 2000, 10 * time.Second}},
		{Bounds{InFlight: 5}, Bounds{1 << 20, 64 << 20, 5, 1000, 1005, 10 * time.Second}},
		{Bounds{1, 2, 3, 4, 5, 6}, Bounds{1, 2, 3, 4, 5, 6}},
	} {
		if got := c.given.orDefaults(); got != c.want {
			t.Errorf("%+v: got %+v, want %+v", c.given, got, c.want)
		}
	}
}

func TestMetrics(t *testing.T) {
	began, goOn := make(chan struct{}, 1), make(chan struct{})
	f := &fake{each: func(_ context.Context, e event.Event) error {
		if e.ID() == "slow" {
			began <- struct{}{}
			<-goOn
		}
		return nil
	}}
	reader := sdk.NewManualReader()
	s, _ := serve(t, f, bounds(Bounds{InFlight: 7}), func(o *Options) {
		o.Name, o.Meter = "toy", sdk.NewMeterProvider(sdk.WithReader(reader)).Meter("test")
	})
	expect := func(inFlight, batches int64) {
		t.Helper()
		got := ingresstest.Collect(t, reader)
		got.Expect(t, "toy.in_flight", map[string]int64{"": inFlight})
		got.Expect(t, "toy.limit.in_flight", map[string]int64{"": 7})
		got.Expect(t, "toy.batch.events", map[string]int64{"": batches})
	}
	ingresstest.SendBatch(t, s.URL, ingresstest.BatchOf())
	answered := make(chan struct{})
	go func() {
		defer close(answered)
		ingresstest.SendBatch(t, s.URL, ingresstest.BatchOf("slow"))
	}()
	<-began
	expect(1, 2)
	close(goOn)
	<-answered
	eventually(t, func() string { // the answer is written before its place is free
		if n := len(s.inFlight); n > 0 {
			return "a request is in flight"
		}
		return ""
	})
	expect(0, 2)
}

// brokenMeter makes no counters.
type brokenMeter struct{ noop.Meter }

func (brokenMeter) Int64Counter(string, ...metric.Int64CounterOption) (metric.Int64Counter, error) {
	return nil, errors.New("no counter")
}

func TestMetricThatCannotBeCreated(t *testing.T) {
	if _, err := New(Options{Meter: brokenMeter{}}); err == nil || !strings.Contains(err.Error(), "no counter") {
		t.Errorf("got %v, want an error", err)
	}
}

func TestPanicOfOneEvent(t *testing.T) {
	f := &fake{each: func(_ context.Context, e event.Event) error {
		if e.ID() == "poison" {
			panic("odd event")
		}
		return nil
	}}
	s, logs := serve(t, f)
	got, says := ingresstest.SendBatch(t, s.URL, ingresstest.BatchOf("1", "poison", "2"))
	if got.Status != http.StatusServiceUnavailable || len(says.Failed) != 1 || says.Failed[0].ID != "poison" || strings.Contains(got.Body, "odd") {
		t.Errorf("got %d %q, want 503 for that event alone", got.Status, got.Body)
	}
	if logs.FilterMessageSnippet("panic").Len() != 1 {
		t.Errorf("got log %v, want one line about the panic", logs.All())
	}
}

// A destination may have more to ask of events than CloudEvents has, and less time than others.
func TestDestinationsDiffer(t *testing.T) {
	var left time.Duration
	s, _ := serve(t, &fake{}, bounds(Bounds{Timeout: 10 * time.Hour}), func(o *Options) {
		o.Check = func(e event.Event) error {
			if e.Subject() == "" {
				return errors.New("no subject")
			}
			return nil
		}
		o.Route = func(r *http.Request) (to Destination, _ error) {
			if r.URL.Path == "/fast" {
				to.Timeout = time.Hour
			}
			to.Deliver = func(ctx context.Context, _ event.Event) (*event.Event, error) {
				deadline, _ := ctx.Deadline()
				left = time.Until(deadline)
				return nil, nil
			}
			return to, nil
		}
	})
	if got := ingresstest.Post(t, s.URL); got.Status != http.StatusBadRequest || got.Body != "no subject\n" {
		t.Errorf("got %d %q, want 400 with the reason", got.Status, got.Body)
	}
	for path, want := range map[string]time.Duration{"/fast": time.Hour, "/slow": 10 * time.Hour} {
		got := ingresstest.Send(t, s.Client(), http.MethodPost, s.URL+path, ingresstest.Binary("Ce-Subject=x"), strings.NewReader("{}"))
		if got.Status != http.StatusAccepted || left > want || left < want-time.Minute {
			t.Errorf("%s: got %d with %s left, want 202 with %s", path, got.Status, left, want)
		}
	}
}
