package dispatcher

import (
	"errors"
	"fmt"
	"testing"

	"go.opentelemetry.io/otel/metric/noop"
	sdk "go.opentelemetry.io/otel/sdk/metric"
	"go.uber.org/zap"

	"github.com/eventing-eventmesh/eventing-eventmesh/internal/ingresstest"
	"github.com/eventing-eventmesh/eventing-eventmesh/internal/telemetry"
	"github.com/eventing-eventmesh/eventing-eventmesh/pkg/broker/table"
	"github.com/eventing-eventmesh/eventing-eventmesh/pkg/dispatch"
	"github.com/eventing-eventmesh/eventing-eventmesh/pkg/eventmesh"
)

// measured returns a dispatcher that is measured, and its metrics.
func measured(t *testing.T) (*dispatcher, func() ingresstest.Points) {
	t.Helper()
	reader, logger := sdk.NewManualReader(), zap.NewNop().Sugar()
	d := &dispatcher{config: NewConfig(), logger: logger, sampled: logger}
	if err := d.measure(sdk.NewMeterProvider(sdk.WithReader(reader))); err != nil {
		t.Fatal(err)
	}
	d.engine = dispatch.New(dispatch.Options{Telemetry: d.telemetry})
	return d, func() ingresstest.Points {
		t.Helper()
		return ingresstest.Collect(t, reader)
	}
}

// A message that is no event is lost, and of no Trigger.
func TestWhatIsNoEventIsCounted(t *testing.T) {
	d, collect := measured(t)
	if err := d.keep(t.Context(), nil, &eventmesh.Delivery{Topic: "shop", Err: errors.New("no JSON")}); err != nil {
		t.Fatal(err)
	}
	collect().Expect(t, "eventmesh.broker.dispatcher.dropped", map[string]int64{
		"eventmesh.reason=undecodable,kn.trigger.name=,kn.trigger.namespace=,messaging.destination.name=shop,messaging.system=eventmesh": 1,
	})
}

// However many Brokers there are, metrics show whether one of them is not connected.
func TestBrokersAreConnected(t *testing.T) {
	d, collect := measured(t)
	d.brokers = map[string]*served{}
	add := func(name string, m *member) {
		d.brokers[name] = &served{of: &table.Broker{Namespace: "shop", Name: name}, member: m}
	}
	const label = "kn.broker.name=%s,kn.broker.namespace=shop"
	add("waits", &member{err: errConnecting})
	add("is nowhere", nil)
	collect().Expect(t, "eventmesh.broker.dispatcher.connected", map[string]int64{fmt.Sprintf(label, "waits"): 0})
	for i := range telemetry.MaxNames + 50 {
		add(fmt.Sprint(i), &member{err: errConnecting})
	}
	got := collect()["eventmesh.broker.dispatcher.connected"]
	if len(got) != telemetry.MaxNames+1 {
		t.Errorf("got %d time series, want %d, and one for all others", len(got), telemetry.MaxNames)
	}
	if connected, found := got["kn.broker.name=,kn.broker.namespace="]; connected != 0 || !found {
		t.Errorf("the others are connected: %d, %t", connected, found)
	}
}

func TestMetricsThatAreOff(t *testing.T) {
	d := &dispatcher{config: NewConfig()}
	if err := d.measure(noop.NewMeterProvider()); err != nil {
		t.Fatal(err)
	}
	d.telemetry.Expect("shop/orders", "shop")
	if err := errors.Join(d.telemetry.Close(), d.gauges.Unregister()); err != nil {
		t.Error(err)
	}
}
