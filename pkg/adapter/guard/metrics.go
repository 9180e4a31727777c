package guard

import (
	"context"
	"fmt"
	"time"

	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/metric"
	semconv "go.opentelemetry.io/otel/semconv/v1.41.0"
	"go.opentelemetry.io/otel/semconv/v1.41.0/messagingconv"

	"github.com/eventing-eventmesh/eventing-eventmesh/internal/telemetry"
	"github.com/eventing-eventmesh/eventing-eventmesh/pkg/eventmesh"
)

const (
	operationPublish = "publish"
	operationRequest = "request"
)

var (
	// operationBounds in seconds are those that the conventions recommend.
	operationBounds = []float64{0.005, 0.01, 0.025, 0.05, 0.075, 0.1, 0.25, 0.5, 0.75, 1, 2.5, 5, 7.5, 10}

	systemEventMesh = semconv.MessagingSystemKey.String("eventmesh")
)

// errorOther is the value of error.type that the conventions have for all else.
var errorOther = semconv.ErrorTypeOther.Value.AsString()

// metrics counts and measures calls of EventMesh. Its methods may be called by several goroutines.
type metrics struct {
	sent     metric.Int64Counter
	duration metric.Float64Histogram
	gauges   metric.Registration
	topics   telemetry.Names // it may be senders that name topics
	calls    *telemetry.Series[call]
}

// call is what tells one time series of calls from another. errorType is empty for those that succeeded.
type call struct{ topic, operation, errorType string }

func (c call) attributes() []attribute.KeyValue {
	attributes := []attribute.KeyValue{systemEventMesh, semconv.MessagingOperationName(c.operation), semconv.MessagingDestinationName(c.topic)}
	if c.errorType != "" {
		attributes = append(attributes, semconv.ErrorTypeKey.String(c.errorType))
	}
	return attributes
}

// newMetrics creates the instruments. state, which is called whenever the metrics are collected, tells whether there is a session with
// EventMesh, and whether publishes are held back all the same.
func newMetrics(o Options, state func() (connected, open bool)) (*metrics, error) {
	in := telemetry.Instruments{Meter: o.Meter}
	m := &metrics{calls: telemetry.NewSeries(func(c call) []attribute.KeyValue { return append(c.attributes(), o.Attributes...) })}
	m.sent = in.Counter(messagingconv.ClientSentMessages{}.Name(), messagingconv.ClientSentMessages{}.Unit(),
		"Events sent to EventMesh, those that it did not accept included.")
	m.duration = in.Seconds(messagingconv.ClientOperationDuration{}.Name(),
		"Duration until EventMesh has confirmed an event, replied to a request, or failed to.", operationBounds...)
	connected := in.Flag(o.Name+".connected", "{session}", "Whether there is a session with EventMesh: 1, or 0.")
	open := in.Flag(o.Name+".circuit.open", "{circuit}", "Whether events are held back since EventMesh confirms none in time: 1, or 0.")
	of := metric.WithAttributes(o.Attributes...)
	m.gauges = in.Observe(func(_ context.Context, o metric.Observer) error {
		isConnected, isOpen := state()
		o.ObserveInt64(connected, telemetry.OK(isConnected), of)
		o.ObserveInt64(open, telemetry.OK(isOpen), of)
		return nil
	}, connected, open)
	if err := in.Err(); err != nil {
		return nil, err
	}
	for _, topic := range o.Topics {
		m.expect(topic)
	}
	return m, nil
}

// expect counts the publishes of a topic from 0 on.
func (m *metrics) expect(topic string) {
	m.sent.Add(context.Background(), 0, m.of(call{topic, operationPublish, ""}).Add...)
	m.sent.Add(context.Background(), 0, m.of(call{topic, operationPublish, outcomeOf(eventmesh.ErrUnauthorized).errorType}).Add...) // which is alerted on
}

// close unregisters what newMetrics has registered.
func (m *metrics) close() error {
	if err := m.gauges.Unregister(); err != nil {
		return fmt.Errorf("unregistering metrics: %w", err)
	}
	return nil
}

// published counts and measures one call of EventMesh.
func (m *metrics) published(ctx context.Context, c call, took time.Duration) {
	of := m.of(c)
	m.sent.Add(ctx, 1, of.Add...)
	m.duration.Record(ctx, took.Seconds(), of.Record...)
}

// of returns the time series of a call.
func (m *metrics) of(c call) *telemetry.Options {
	c.topic, _ = m.topics.Bound(c.topic)
	return m.calls.Of(c)
}
