package source

import (
	"maps"
	"testing"

	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/metric/noop"
	sdk "go.opentelemetry.io/otel/sdk/metric"
	"go.opentelemetry.io/otel/sdk/metric/metricdata"
)

// metered returns metrics, and a function that collects the points of one by their attributes.
func metered(t *testing.T, topics ...string) (*metrics, func(string) map[string]int64) {
	t.Helper()
	reader := sdk.NewManualReader()
	_, m, err := newTelemetry(sdk.NewMeterProvider(sdk.WithReader(reader)), &Config{Group: "billing", Topics: topics}, func() bool { return true })
	if err != nil {
		t.Fatal(err)
	}
	return m, func(name string) map[string]int64 {
		t.Helper()
		var all metricdata.ResourceMetrics
		if err := reader.Collect(t.Context(), &all); err != nil {
			t.Fatal(err)
		}
		points := map[string]int64{}
		for _, scope := range all.ScopeMetrics {
			if scope.Scope.Name != telemetryScope {
				t.Errorf("got scope %q, want %q", scope.Scope.Name, telemetryScope)
			}
			for _, one := range scope.Metrics {
				if one.Name != name {
					continue
				}
				var data []metricdata.DataPoint[int64]
				switch of := one.Data.(type) {
				case metricdata.Sum[int64]:
					data = of.DataPoints
				case metricdata.Gauge[int64]:
					data = of.DataPoints
				}
				for _, p := range data {
					points[p.Attributes.Encoded(attribute.DefaultEncoder())] = p.Value
				}
			}
		}
		return points
	}
}

func TestMetrics(t *testing.T) {
	t.Parallel()
	const (
		group    = "messaging.consumer.group.name=billing"
		topic    = group + ",messaging.destination.name="
		received = ",messaging.operation.name=receive,messaging.system=eventmesh"
		replied  = group + ",messaging.operation.name=reply,messaging.system=eventmesh"
	)
	m, collect := metered(t, "payments")
	m.received("orders")
	m.received("orders")
	m.received("")
	m.undecodable("orders")
	m.replied(true)
	m.replied(true)
	m.replied(false)
	for name, want := range map[string]map[string]int64{ // a counter that appears with its first event has no increase that an alert could see
		"messaging.client.consumed.messages": {topic + "orders" + received: 2, topic + received: 1, topic + "payments" + received: 0},
		"messaging.client.sent.messages":     {replied: 2, "error.type=_OTHER," + replied: 1},
		"eventmesh.source.undecodable":       {topic + "orders": 1, topic: 0, topic + "payments": 0},
		"eventmesh.source.connected":         {group: 1},
	} {
		if got := collect(name); !maps.Equal(got, want) {
			t.Errorf("%s: got %v, want %v", name, got, want)
		}
	}
}

func TestMetricsAllocateNothing(t *testing.T) {
	m, _ := metered(t)
	for name, do := range map[string]func(){
		"received": func() { m.received("orders") }, "undecodable": func() { m.undecodable("orders") }, "replied": func() { m.replied(true) },
	} {
		do()
		if got := testing.AllocsPerRun(100, do); got != 0 {
			t.Errorf("%s: got %g allocations, want none", name, got)
		}
	}
}

func TestClosedMetricsAskForNoState(t *testing.T) {
	t.Parallel()
	m, collect := metered(t)
	if err := m.close(); err != nil {
		t.Fatal(err)
	}
	if got := collect("eventmesh.source.connected"); len(got) > 0 {
		t.Errorf("got %v after close, want nothing", got)
	}
	if err := m.close(); err != nil {
		t.Errorf("closing again: %v", err)
	}
}

func TestMetricsThatAreOff(t *testing.T) {
	t.Parallel()
	_, m, err := newTelemetry(noop.NewMeterProvider(), &Config{}, func() bool { panic("asked for the state") })
	if err != nil {
		t.Fatal(err)
	}
	m.received("orders")
	if err := m.close(); err != nil {
		t.Error(err)
	}
}
