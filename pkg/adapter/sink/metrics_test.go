package sink

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/cloudevents/sdk-go/v2/event"
	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/metric"
	"go.opentelemetry.io/otel/metric/embedded"
	"go.opentelemetry.io/otel/metric/noop"
	sdk "go.opentelemetry.io/otel/sdk/metric"
	"go.opentelemetry.io/otel/sdk/metric/metricdata"
	"go.uber.org/zap"

	"github.com/eventing-eventmesh/eventing-eventmesh/pkg/eventmesh"
)

// points are the values of metrics, by name and attributes: the value, or how many were measured. Counters at 0 are left out.
type points map[string]map[string]int64

func collect(t *testing.T, reader sdk.Reader) points {
	t.Helper()
	var all metricdata.ResourceMetrics
	if err := reader.Collect(t.Context(), &all); err != nil {
		t.Fatal(err)
	}
	found := points{}
	for _, scope := range all.ScopeMetrics {
		for _, one := range scope.Metrics {
			values := map[string]int64{}
			key := func(set attribute.Set) string { return set.Encoded(attribute.DefaultEncoder()) }
			switch data := one.Data.(type) {
			case metricdata.Sum[int64]:
				for _, p := range data.DataPoints {
					if p.Value != 0 || !data.IsMonotonic {
						values[key(p.Attributes)] = p.Value
					}
				}
			case metricdata.Gauge[int64]:
				for _, p := range data.DataPoints {
					values[key(p.Attributes)] = p.Value
				}
			case metricdata.Histogram[int64]:
				for _, p := range data.DataPoints {
					values[key(p.Attributes)] = int64(p.Count)
				}
			case metricdata.Histogram[float64]:
				for _, p := range data.DataPoints {
					values[key(p.Attributes)] = int64(p.Count)
				}
			default:
				t.Fatalf("%s has data of type %T", one.Name, one.Data)
			}
			found[one.Name] = values
		}
	}
	return found
}

func (p points) expect(t *testing.T, name string, want map[string]int64) {
	t.Helper()
	if fmt.Sprint(p[name]) != fmt.Sprint(want) {
		t.Errorf("%s:\ngot  %v\nwant %v", name, p[name], want)
	}
}

func TestMetricsOfPublishes(t *testing.T) {
	errs := map[string]error{"late": eventmesh.ErrUnconfirmed, "limited": eventmesh.ErrRateLimited, "odd": errors.New("odd"), "unauthorized": eventmesh.ErrUnauthorized}
	p := &fake{
		each:    func(_ context.Context, e event.Event) error { return errs[e.ID()] },
		request: func(context.Context, string) (*event.Event, error) { return nil, eventmesh.ErrNoReply },
	}
	reader := sdk.NewManualReader()
	_, server := serveMeasured(t, sdk.NewMeterProvider(sdk.WithReader(reader)), p)
	sendBatch(t, server.URL+"/topics/orders", batchOf("1", "late", "limited", "odd", "unauthorized"))
	sendBatch(t, server.URL+"/topics/orders", batchOf())
	post(t, server.URL+"/topics/stock-eu")
	post(t, server.URL+"/requests/orders")
	send(t, http.DefaultClient, http.MethodPost, server.URL, nil, strings.NewReader("no event"))

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
	got := collect(t, reader)
	got.expect(t, "messaging.client.sent.messages", want)
	got.expect(t, "messaging.client.operation.duration", want)
	got.expect(t, "eventmesh.sink.batch.events", map[string]int64{"": 2})
}

func TestMetricsOfState(t *testing.T) {
	began, goOn := make(chan struct{}, 1), make(chan struct{})
	connected := eventmesh.ErrNotConnected
	p := &fake{
		ready: func() error { return connected },
		each: func(_ context.Context, e event.Event) error {
			if e.ID() == "slow" {
				began <- struct{}{}
				<-goOn
			}
			return nil
		},
	}
	reader := sdk.NewManualReader()
	h, server := serveMeasured(t, sdk.NewMeterProvider(sdk.WithReader(reader)), p, "EVENTMESH_MAX_IN_FLIGHT=7")
	answered := make(chan struct{})
	go func() {
		defer close(answered)
		sendBatch(t, server.URL, batchOf("slow"))
	}()
	<-began
	expect := func(inFlight, connected, open int64) {
		t.Helper()
		got := collect(t, reader)
		got.expect(t, "eventmesh.sink.in_flight", map[string]int64{"": inFlight})
		got.expect(t, "eventmesh.sink.limit.in_flight", map[string]int64{"": 7})
		got.expect(t, "eventmesh.sink.connected", map[string]int64{"": connected})
		got.expect(t, "eventmesh.sink.circuit.open", map[string]int64{"": open})
	}
	expect(1, 0, 0)
	close(goOn)
	<-answered
	connected = nil
	eventually(t, func() string { // the answer is written before its place is free
		if n := len(h.inFlight); n > 0 {
			return "a request is in flight"
		}
		return ""
	})
	expect(0, 1, 0)
	for i := range tripAfter {
		now := time.Now()
		h.guard.circuit.end(h.guard.circuit.begin("orders", fmt.Sprint(i), now), eventmesh.ErrUnconfirmed, now)
	}
	expect(0, 1, 1)
}

// TestMetricsAreBounded: whoever can send a request cannot make new time series.
func TestMetricsAreBounded(t *testing.T) {
	reader := sdk.NewManualReader()
	_, server := serveMeasured(t, sdk.NewMeterProvider(sdk.WithReader(reader)), &fake{}, "EVENTMESH_TOPICS=*")
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
	send(t, http.DefaultClient, http.MethodGet, server.URL+"/health", nil, nil) // which does not count
	for i := range maxTopics + 50 {
		post(t, fmt.Sprintf("%s/topics/topic-%d", server.URL, i))
	}
	var durations map[string]int64
	eventually(t, func() string { // it is measured after the answer has been written
		durations = collect(t, reader)["http.server.request.duration"]
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
	if got := len(collect(t, reader)["messaging.client.sent.messages"]); got != maxTopics { // of which orders has got nothing, and the nameless one the rest
		t.Errorf("got %d topics, want %d", got, maxTopics)
	}
}

// refusingMeter is a meter that refuses one instrument.
type refusingMeter struct {
	noop.Meter
	name string
}

type refusingProvider struct {
	embedded.MeterProvider
	name string
}

func (p refusingProvider) Meter(string, ...metric.MeterOption) metric.Meter {
	return refusingMeter{name: p.name}
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
		h := newHandler(config(t, "EVENTMESH_URL=grpc://eventmesh", "EVENTMESH_TOPIC=orders"), &fake{}, zap.NewNop().Sugar())
		if _, err := h.measure(t.Context(), refusingProvider{name: name}); !errors.Is(err, errNoInstrument) {
			t.Errorf("%s: got %v, want an error", name, err)
		}
	}
}
