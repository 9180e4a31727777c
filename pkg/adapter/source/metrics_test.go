package source

import (
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/metric"
	"go.opentelemetry.io/otel/metric/embedded"
	"go.opentelemetry.io/otel/metric/noop"
	sdk "go.opentelemetry.io/otel/sdk/metric"
	"go.opentelemetry.io/otel/sdk/metric/metricdata"
)

// metered returns metrics, and a function that collects them by name.
func metered(t *testing.T, current state) (*metrics, func() map[string]metricdata.Metrics) {
	t.Helper()
	reader := sdk.NewManualReader()
	m, err := newMetrics(sdk.NewMeterProvider(sdk.WithReader(reader)), "billing", func() state { return current })
	if err != nil {
		t.Fatal(err)
	}
	return m, func() map[string]metricdata.Metrics {
		t.Helper()
		var all metricdata.ResourceMetrics
		if err := reader.Collect(t.Context(), &all); err != nil {
			t.Fatal(err)
		}
		byName := map[string]metricdata.Metrics{}
		for _, scope := range all.ScopeMetrics {
			if scope.Scope.Name != telemetryScope {
				t.Errorf("got scope %q, want %q", scope.Scope.Name, telemetryScope)
			}
			for _, one := range scope.Metrics {
				byName[one.Name] = one
			}
		}
		return byName
	}
}

const (
	kindCounter   = "counter"
	kindLevel     = "up-down counter"
	kindGauge     = "gauge"
	kindHistogram = "histogram"
)

// describeMetric returns the kind of a metric and its points, by their attributes: the value, or how many were measured and
// their sum. Points at 0 are left out for counters.
func describeMetric(t *testing.T, one metricdata.Metrics) (kind string, points map[string]string) {
	t.Helper()
	points = map[string]string{}
	key := func(set attribute.Set) string { return set.Encoded(attribute.DefaultEncoder()) }
	switch data := one.Data.(type) {
	case metricdata.Sum[int64]:
		kind = kindLevel
		if data.IsMonotonic {
			kind = kindCounter
		}
		for _, p := range data.DataPoints {
			if p.Value != 0 || kind == kindLevel {
				points[key(p.Attributes)] = fmt.Sprint(p.Value)
			}
		}
	case metricdata.Gauge[int64]:
		kind = kindGauge
		for _, p := range data.DataPoints {
			points[key(p.Attributes)] = fmt.Sprint(p.Value)
		}
	case metricdata.Gauge[float64]:
		kind = kindGauge
		for _, p := range data.DataPoints {
			points[key(p.Attributes)] = fmt.Sprint(p.Value)
		}
	case metricdata.Histogram[int64]:
		kind = kindHistogram
		for _, p := range data.DataPoints {
			points[key(p.Attributes)] = fmt.Sprintf("%d, sum %d", p.Count, p.Sum)
		}
	case metricdata.Histogram[float64]:
		kind = kindHistogram
		for _, p := range data.DataPoints {
			points[key(p.Attributes)] = fmt.Sprintf("%d, sum %g", p.Count, p.Sum)
		}
	default:
		t.Fatalf("%s has data of type %T", one.Name, one.Data)
	}
	return kind, points
}

func TestMetrics(t *testing.T) {
	t.Parallel()
	const (
		group   = "messaging.consumer.group.name=billing"
		orders  = "messaging.consumer.group.name=billing,messaging.destination.name=orders"
		unknown = "messaging.consumer.group.name=billing,messaging.destination.name="
	)
	reason := func(reason, attributes string) string { return "eventmesh.reason=" + reason + "," + attributes }
	status := func(errorType, code string) string {
		return "error.type=" + errorType + ",http.response.status_code=" + code + "," + group
	}
	tests := []struct {
		name, kind, unit string
		do               func(*metrics)
		want             map[string]string
	}{
		{"messaging.client.consumed.messages", kindCounter, "{message}", func(m *metrics) {
			m.received("orders")
			m.received("orders")
			m.received("")
		}, map[string]string{
			orders + ",messaging.operation.name=receive,messaging.system=eventmesh":  "2",
			unknown + ",messaging.operation.name=receive,messaging.system=eventmesh": "1",
		}},
		{"messaging.client.sent.messages", kindCounter, "{message}", func(m *metrics) {
			m.replied(true)
			m.replied(true)
			m.replied(false)
		}, map[string]string{
			group + ",messaging.operation.name=reply,messaging.system=eventmesh":                        "2",
			"error.type=_OTHER," + group + ",messaging.operation.name=reply,messaging.system=eventmesh": "1",
		}},
		{"eventmesh.source.undecodable", kindCounter, "{message}", func(m *metrics) {
			m.undecodable("orders")
		}, map[string]string{orders: "1"}},
		{"eventmesh.source.delivered", kindCounter, "{event}", func(m *metrics) {
			m.delivered("orders")
			m.delivered("")
		}, map[string]string{orders: "1", unknown: "1"}},
		{"eventmesh.source.redelivered", kindCounter, "{request}", func(m *metrics) {
			m.redelivered("orders")
			m.redelivered("orders")
		}, map[string]string{orders: "2"}},
		{"eventmesh.source.dead_lettered", kindCounter, "{event}", func(m *metrics) {
			m.deadLettered("orders", "rejected")
			m.deadLettered("orders", "retries")
			m.deadLettered("", "undecodable")
		}, map[string]string{reason("rejected", orders): "1", reason("retries", orders): "1", reason("undecodable", unknown): "1"}},
		{"eventmesh.source.dropped", kindCounter, "{event}", func(m *metrics) {
			m.dropped("orders", "rejected")
			m.dropped("orders", "retries")
			m.dropped("", "undecodable")
			m.dropped("orders", "no reason that is known")
		}, map[string]string{
			reason("rejected", orders): "1", reason("retries", orders): "1", reason("undecodable", unknown): "1", orders: "1",
		}},
		{"kn.eventing.dispatch.duration", kindHistogram, "s", func(m *metrics) {
			m.requested(202, 500*time.Millisecond)
			m.requested(202, 250*time.Millisecond)
			m.requested(302, time.Second)
			m.requested(503, 2*time.Second)
			m.requested(0, 30*time.Second)
			m.requested(-1, time.Second)
			m.requested(999, time.Second)
		}, map[string]string{
			"http.response.status_code=202," + group: "2, sum 0.75",
			status("302", "302"):                     "1, sum 1",
			status("503", "503"):                     "1, sum 2",
			"error.type=no_answer," + group:          "3, sum 32",
		}},
		{"eventmesh.source.spool.commit.duration", kindHistogram, "s", func(m *metrics) {
			m.committed(3, 500*time.Millisecond, nil)
			m.committed(1, 2*time.Second, errors.New("no space left on device"))
		}, map[string]string{group: "1, sum 0.5", "error.type=_OTHER," + group: "1, sum 2"}},
		{"eventmesh.source.spool.commit.events", kindHistogram, "{event}", func(m *metrics) {
			m.committed(3, time.Millisecond, nil)
			m.committed(4, time.Millisecond, nil)
			m.committed(5, time.Millisecond, errors.New("no space left on device"))
		}, map[string]string{group: "2, sum 7"}},
		{"eventmesh.source.buffer.events", kindLevel, "{event}", nil, map[string]string{group: "7"}},
		{"eventmesh.source.buffer.bytes", kindLevel, "By", nil, map[string]string{group: "700"}},
		{"eventmesh.source.buffer.limit.events", kindLevel, "{event}", nil, map[string]string{group: "10"}},
		{"eventmesh.source.buffer.limit.bytes", kindLevel, "By", nil, map[string]string{group: "1000"}},
		{"eventmesh.source.buffer.oldest.age", kindGauge, "s", nil, map[string]string{group: "90"}},
		{"eventmesh.source.in_flight", kindLevel, "{request}", nil, map[string]string{group: "3"}},
		{"eventmesh.source.connected", kindGauge, "{session}", nil, map[string]string{group: "1"}},
		{"eventmesh.source.sink.available", kindGauge, "{sink}", nil, map[string]string{group: "0"}},
		{"eventmesh.source.spool.writable", kindGauge, "{spool}", nil, map[string]string{group: "1"}},
		{"eventmesh.source.spool.unreadable", kindLevel, "{record}", nil, map[string]string{group: "2"}},
	}
	tested := map[string]bool{}
	for _, test := range tests {
		tested[test.name] = true
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) { // time stands still
				m, collect := metered(t, state{
					events: 7, bytes: 700, maxEvents: 10, maxBytes: 1000, oldest: time.Now().Add(-90 * time.Second),
					inFlight: 3, connected: true, spoolWritable: true, unreadable: 2,
				})
				if test.do != nil {
					test.do(m)
				}
				got, ok := collect()[test.name]
				if !ok {
					t.Fatal("it does not exist")
				}
				if got.Unit != test.unit || got.Description == "" {
					t.Errorf("got unit %q and description %q, want unit %q and a description", got.Unit, got.Description, test.unit)
				}
				kind, points := describeMetric(t, got)
				if kind != test.kind || !maps.Equal(points, test.want) {
					t.Errorf("got %s %v\nwant %s %v", kind, points, test.kind, test.want)
				}
			})
		})
	}

	m, collect := metered(t, state{})
	m.requested(202, time.Second)
	m.committed(1, time.Second, nil)
	for name := range collect() {
		if !tested[name] {
			t.Errorf("%s has no test", name)
		}
	}
}

func TestHistogramsHaveTheBucketsOfKnative(t *testing.T) {
	t.Parallel()
	m, collect := metered(t, state{})
	m.requested(202, time.Second)
	data, ok := collect()["kn.eventing.dispatch.duration"].Data.(metricdata.Histogram[float64])
	if !ok || len(data.DataPoints) != 1 {
		t.Fatalf("got %+v, want a histogram with one point", data)
	}
	want := []float64{0.005, 0.01, 0.025, 0.05, 0.075, 0.1, 0.25, 0.5, 0.75, 1, 2.5, 5, 7.5, 10}
	if got := data.DataPoints[0].Bounds; !slices.Equal(got, want) {
		t.Errorf("got %v, want %v", got, want)
	}
}

func TestAgeOfTheOldestEvent(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		for _, test := range []struct {
			name   string
			oldest time.Time
			want   time.Duration
		}{
			{"empty", time.Time{}, 0},
			{"old", time.Now().Add(-time.Minute), time.Minute},
			{"of a clock set back", time.Now().Add(time.Minute), 0},
			{"kept by another process", time.Unix(0, time.Now().Add(-time.Hour).UnixNano()), time.Hour},
		} {
			if got := (state{oldest: test.oldest}).age(); got != test.want {
				t.Errorf("%s: got %s, want %s", test.name, got, test.want)
			}
		}
	})
}

// A counter that appears with its first event has no increase that an alert could see.
func TestCountersOfATopicStartAtZero(t *testing.T) {
	t.Parallel()
	m, collect := metered(t, state{})
	m.expect("orders", "payments")
	got := collect()
	for name, want := range map[string]int{
		"messaging.client.consumed.messages": 1, "messaging.client.sent.messages": 0, "eventmesh.source.undecodable": 1,
		"eventmesh.source.delivered": 1, "eventmesh.source.redelivered": 1, "eventmesh.source.dead_lettered": 3, "eventmesh.source.dropped": 3,
	} {
		data, ok := got[name].Data.(metricdata.Sum[int64])
		if !ok {
			t.Errorf("%s: got %T, want a sum", name, got[name].Data)
			continue
		}
		of := map[string]int{}
		for _, p := range data.DataPoints {
			if p.Value != 0 {
				t.Errorf("%s: got %d for %v, want 0", name, p.Value, p.Attributes)
			}
			topic, _ := p.Attributes.Value("messaging.destination.name")
			of[topic.AsString()]++
		}
		for _, topic := range []string{"orders", "payments"} {
			if of[topic] != want {
				t.Errorf("%s: got %d for topic %s, want %d", name, of[topic], topic, want)
			}
		}
	}
}

func TestTopicsAreBounded(t *testing.T) {
	t.Parallel()
	m, collect := metered(t, state{})
	for i := range maxTopics + 5 {
		m.delivered(fmt.Sprintf("topic-%d", i))
	}
	_, points := describeMetric(t, collect()["eventmesh.source.delivered"])
	if got := len(points); got != maxTopics {
		t.Errorf("got %d topics, want %d", got, maxTopics)
	}
	if got, want := points["messaging.consumer.group.name=billing,messaging.destination.name="], "6"; got != want {
		t.Errorf("got %s of no topic, want %s", got, want)
	}
}

func TestMetricsConcurrently(t *testing.T) {
	t.Parallel()
	m, collect := metered(t, state{})
	const goroutines, events = 8, 200
	var all sync.WaitGroup
	for range goroutines {
		all.Go(func() {
			for i := range events {
				topic := fmt.Sprintf("topic-%d", i%20)
				m.received(topic)
				m.requested(200+i%300, time.Millisecond)
				m.dropped(topic, "retries")
				if i%50 == 0 {
					collect()
				}
			}
		})
	}
	all.Wait()
	var got int64
	for _, p := range collect()["messaging.client.consumed.messages"].Data.(metricdata.Sum[int64]).DataPoints {
		got += p.Value
	}
	if want := int64(goroutines * events); got != want {
		t.Errorf("got %d events, want %d", got, want)
	}
}

func TestMetricsAllocateNothing(t *testing.T) {
	m, _ := metered(t, state{})
	failure := errors.New("no space left on device")
	for name, do := range map[string]func(){
		"received": func() { m.received("orders") }, "undecodable": func() { m.undecodable("orders") },
		"requested": func() { m.requested(202, time.Millisecond) }, "no answer": func() { m.requested(0, time.Millisecond) },
		"redelivered": func() { m.redelivered("orders") }, "delivered": func() { m.delivered("orders") },
		"deadLettered": func() { m.deadLettered("orders", "retries") }, "dropped": func() { m.dropped("orders", "rejected") },
		"replied": func() { m.replied(true) }, "committed": func() { m.committed(8, time.Millisecond, nil) },
		"not committed": func() { m.committed(8, time.Millisecond, failure) },
	} {
		do()
		if got := testing.AllocsPerRun(100, do); got != 0 {
			t.Errorf("%s: got %g allocations, want none", name, got)
		}
	}
}

func TestClosedMetricsAskForNoState(t *testing.T) {
	t.Parallel()
	m, collect := metered(t, state{})
	if err := m.close(); err != nil {
		t.Fatal(err)
	}
	if got, ok := collect()["eventmesh.source.buffer.events"]; ok {
		t.Errorf("got %+v after close, want nothing", got)
	}
	if err := m.close(); err != nil {
		t.Errorf("closing again: %v", err)
	}
}

func TestMetricsThatAreOff(t *testing.T) {
	t.Parallel()
	m, err := newMetrics(noop.NewMeterProvider(), "shipping", func() state { panic("asked for the state") })
	if err != nil {
		t.Fatal(err)
	}
	m.received("orders")
	m.requested(202, time.Second)
	if err := m.close(); err != nil {
		t.Error(err)
	}
}

// refusingMeter is a meter that refuses one instrument.
type refusingMeter struct {
	noop.Meter
	name string
}

// oneMeter provides one meter.
type oneMeter struct {
	embedded.MeterProvider
	meter metric.Meter
}

func (p oneMeter) Meter(string, ...metric.MeterOption) metric.Meter { return p.meter }

var errNoInstrument = errors.New("refused")

func (r refusingMeter) refuse(name string) error {
	if name == r.name {
		return errNoInstrument
	}
	return nil
}

func (r refusingMeter) Int64Counter(name string, _ ...metric.Int64CounterOption) (metric.Int64Counter, error) {
	return noop.Int64Counter{}, r.refuse(name)
}

func (r refusingMeter) Float64ObservableGauge(name string, _ ...metric.Float64ObservableGaugeOption) (metric.Float64ObservableGauge, error) {
	return noop.Float64ObservableGauge{}, r.refuse(name)
}

func TestMetricThatCannotBeCreated(t *testing.T) {
	t.Parallel()
	for _, name := range []string{"eventmesh.source.dropped", "eventmesh.source.buffer.oldest.age"} {
		m, err := newMetrics(oneMeter{meter: refusingMeter{name: name}}, "billing", func() state { return state{} })
		if !errors.Is(err, errNoInstrument) || !strings.Contains(fmt.Sprint(err), name) || m != nil {
			t.Errorf("%s: got %v and %v, want no metrics and an error that names it", name, m, err)
		}
	}
}

func BenchmarkMetrics(b *testing.B) {
	m, err := newMetrics(sdk.NewMeterProvider(sdk.WithReader(sdk.NewManualReader())), "billing", func() state { return state{} })
	if err != nil {
		b.Fatal(err)
	}
	b.ReportAllocs()
	for b.Loop() {
		m.received("orders")
		m.requested(202, time.Millisecond)
		m.delivered("orders")
	}
}
