package sink

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"strings"
	"testing"

	"github.com/cloudevents/sdk-go/v2/event"
	"go.opentelemetry.io/otel/metric"
	"go.opentelemetry.io/otel/metric/noop"
	sdk "go.opentelemetry.io/otel/sdk/metric"
	"go.uber.org/zap"

	"github.com/eventing-eventmesh/eventing-eventmesh/internal/ingresstest"
	"github.com/eventing-eventmesh/eventing-eventmesh/internal/telemetry"
	"github.com/eventing-eventmesh/eventing-eventmesh/pkg/eventmesh"
)

func TestMetricsOfPublishes(t *testing.T) {
	errs := map[string]error{"late": eventmesh.ErrUnconfirmed, "limited": eventmesh.ErrRateLimited, "odd": errors.New("odd"), "unauthorized": eventmesh.ErrUnauthorized}
	p := &fake{
		each:    func(_ context.Context, e event.Event) error { return errs[e.ID()] },
		request: func(context.Context, string) (*event.Event, error) { return nil, eventmesh.ErrNoReply },
	}
	reader := sdk.NewManualReader()
	server, _ := serveMeasured(t, sdk.NewMeterProvider(sdk.WithReader(reader)), p)
	ingresstest.SendBatch(t, server.URL+"/topics/orders", ingresstest.BatchOf("1", "late", "limited", "odd", "unauthorized"))
	ingresstest.SendBatch(t, server.URL+"/topics/orders", ingresstest.BatchOf())
	ingresstest.Post(t, server.URL+"/topics/stock-eu")
	ingresstest.Post(t, server.URL+"/requests/orders")
	ingresstest.Send(t, http.DefaultClient, http.MethodPost, server.URL, nil, strings.NewReader("no event"))

	of := func(errorType, topic, operation string) string {
		if errorType != "" {
			errorType = "error.type=" + errorType + ","
		}
		return errorType + "messaging.destination.name=" + topic + ",messaging.operation.name=" + operation + ",messaging.system=eventmesh"
	}
	want := map[string]int64{
		of("", "orders", "publish"): 1, of("unconfirmed", "orders", "publish"): 1, of("rate_limited", "orders", "publish"): 1,
		of("_OTHER", "orders", "publish"): 1, of("unauthorized", "orders", "publish"): 1,
		of("", "stock-eu", "publish"): 1, of("no_reply", "orders", "request"): 1,
	}
	got := ingresstest.Collect(t, reader)
	got.Expect(t, "messaging.client.sent.messages", want)
	got.Expect(t, "messaging.client.operation.duration", want)
	got.Expect(t, "eventmesh.sink.batch.events", map[string]int64{"": 2})
}

func TestMetricsOfState(t *testing.T) {
	connected := eventmesh.ErrNotConnected
	p := &fake{ready: func() error { return connected }, publish: func(context.Context, string) error { return eventmesh.ErrUnconfirmed }}
	reader := sdk.NewManualReader()
	server, _ := serveMeasured(t, sdk.NewMeterProvider(sdk.WithReader(reader)), p, "EVENTMESH_MAX_IN_FLIGHT=7")
	expect := func(connected, open int64) {
		t.Helper()
		got := ingresstest.Collect(t, reader)
		got.Expect(t, "eventmesh.sink.limit.in_flight", map[string]int64{"": 7})
		got.Expect(t, "eventmesh.sink.connected", map[string]int64{"": connected})
		got.Expect(t, "eventmesh.sink.circuit.open", map[string]int64{"": open})
	}
	expect(0, 0)
	connected = nil
	expect(1, 0)
	for i := range 5 {
		_, _ = server.guard.Publish(t.Context(), "orders", numbered(i))
	}
	expect(1, 1)
}

// TestMetricsAreBounded: whoever can send a request cannot make new time series.
func TestMetricsAreBounded(t *testing.T) {
	reader := sdk.NewManualReader()
	server, _ := serveMeasured(t, sdk.NewMeterProvider(sdk.WithReader(reader)), &fake{}, "EVENTMESH_TOPICS=*")
	for i := range 50 {
		r, err := http.NewRequestWithContext(t.Context(), fmt.Sprintf("ODD%d", i), fmt.Sprintf("%s/nowhere/%d?q=%d", server.URL, i, i), nil)
		if err != nil {
			t.Fatal(err)
		}
		r.Host = fmt.Sprintf("host-%d:%d", i, 1000+i)
		r.Header.Set("User-Agent", fmt.Sprint(i))
		response, err := http.DefaultClient.Do(r)
		if err != nil {
			t.Fatal(err)
		}
		_ = response.Body.Close()
	}
	ingresstest.Send(t, http.DefaultClient, http.MethodGet, server.URL+"/health", nil, nil) // which does not count
	for i := range telemetry.MaxNames + 50 {
		ingresstest.Post(t, fmt.Sprintf("%s/topics/topic-%d", server.URL, i))
	}
	var durations map[string]int64
	eventually(t, func() string { // it is measured after the answer has been written
		durations = ingresstest.Collect(t, reader)["http.server.request.duration"]
		if len(durations) < 2 {
			return fmt.Sprintf("got %v", durations)
		}
		return ""
	})
	if len(durations) != 2 {
		t.Errorf("got time series %v, want one for each route and status", durations)
	}
	for attributes := range durations {
		if strings.Contains(attributes, "host-") || strings.Contains(attributes, "ODD") {
			t.Errorf("got %s, which has what a sender chose", attributes)
		}
		if strings.Contains(attributes, "status_code=202") && !strings.Contains(attributes, "http.route=/topics/{topic}") {
			t.Errorf("got %s, want the route", attributes)
		}
	}
	if got := len(ingresstest.Collect(t, reader)["messaging.client.sent.messages"]); got != telemetry.MaxNames { // of which orders has got nothing, and the nameless one the rest
		t.Errorf("got %d topics, want %d", got, telemetry.MaxNames)
	}
}

// refusingMeter is a meter that refuses one instrument.
type refusingMeter struct {
	noop.Meter
	name string
}

var errNoInstrument = errors.New("refused")

func (r refusingMeter) Int64Counter(name string, _ ...metric.Int64CounterOption) (metric.Int64Counter, error) {
	if name == r.name {
		return nil, errNoInstrument
	}
	return noop.Int64Counter{}, nil
}

func (r refusingMeter) Int64ObservableGauge(name string, _ ...metric.Int64ObservableGaugeOption) (metric.Int64ObservableGauge, error) {
	if name == r.name {
		return nil, errNoInstrument
	}
	return noop.Int64ObservableGauge{}, nil
}

func TestMetricThatCannotBeCreated(t *testing.T) {
	for _, name := range []string{"messaging.client.sent.messages", "eventmesh.sink.unreadable.requests", "eventmesh.sink.connected"} {
		c := config(t, "EVENTMESH_URL=grpc://eventmesh", "EVENTMESH_TOPIC=orders")
		if _, err := newFace(c, &fake{}, nil, nil, refusingMeter{name: name}, zap.NewNop().Sugar()); !errors.Is(err, errNoInstrument) {
			t.Errorf("%s: got %v, want an error", name, err)
		}
	}
}
