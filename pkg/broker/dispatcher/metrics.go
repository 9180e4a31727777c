package dispatcher

import (
	"context"
	"strings"

	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/metric"
	semconv "go.opentelemetry.io/otel/semconv/v1.41.0"

	"github.com/eventing-eventmesh/eventing-eventmesh/internal/telemetry"
	"github.com/eventing-eventmesh/eventing-eventmesh/pkg/dispatch"
)

const (
	// telemetryScope names this package to OpenTelemetry.
	telemetryScope = "github.com/eventing-eventmesh/eventing-eventmesh/pkg/broker/dispatcher"
	// name begins the names of the dispatcher's own instruments.
	name = "eventmesh.broker.dispatcher"
)

// measure makes all that measures the dispatcher.
func (d *dispatcher) measure(provider metric.MeterProvider) (err error) {
	system := semconv.MessagingSystemKey.String("eventmesh")
	d.telemetry, err = dispatch.NewTelemetry(dispatch.TelemetryOptions{
		Provider: provider, Scope: telemetryScope, Prefix: name, System: system,
		Attributes: []attribute.KeyValue{system}, // by which requests are told from those of Knative's own dispatchers
		Lane:       attributesOf("trigger"),
	})
	if err != nil {
		return err
	}
	in := telemetry.Instruments{Meter: provider.Meter(telemetryScope)}
	connected := in.Flag(name+".connected", "{session}", "Whether the events of a Broker are received from EventMesh: 1, or 0.")
	in.BuildInfo(name)
	brokers := telemetry.NewSeries(attributesOf("broker"))
	d.gauges = in.Observe(func(_ context.Context, o metric.Observer) error {
		for label, ok := range d.connected() {
			o.ObserveInt64(connected, telemetry.OK(ok), brokers.Of(label).Observe...)
		}
		return nil
	}, connected)
	return in.Err()
}

// attributesOf returns those of objects of a kind in metrics, by their labels, in the way of Knative's own.
func attributesOf(kind string) func(label string) []attribute.KeyValue {
	return func(label string) []attribute.KeyValue {
		namespace, name, _ := strings.Cut(label, "/")
		return []attribute.KeyValue{attribute.String("kn."+kind+".namespace", namespace), attribute.String("kn."+kind+".name", name)}
	}
}

// connected tells of each Broker, by its label, whether its events are received, where it is known from which EventMesh they come. Beyond the
// first of them all together have no label.
func (d *dispatcher) connected() map[string]bool {
	d.mu.Lock()
	defer d.mu.Unlock()
	connected := make(map[string]bool, len(d.brokers))
	for _, s := range d.brokers {
		if s.member == nil {
			continue
		}
		label, _ := d.gauged.Bound(s.of.Namespace + "/" + s.of.Name)
		others, known := connected[label]
		connected[label] = s.member.ready() == nil && (others || !known)
	}
	return connected
}
