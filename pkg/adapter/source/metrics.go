package source

import (
	"context"

	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/metric"
	semconv "go.opentelemetry.io/otel/semconv/v1.41.0"
	"go.opentelemetry.io/otel/semconv/v1.41.0/messagingconv"

	"github.com/eventing-eventmesh/eventing-eventmesh/internal/telemetry"
	"github.com/eventing-eventmesh/eventing-eventmesh/pkg/dispatch"
)

// telemetryScope names this package to OpenTelemetry.
const telemetryScope = "github.com/eventing-eventmesh/eventing-eventmesh/pkg/adapter/source"

var systemEventMesh = semconv.MessagingSystemKey.String("eventmesh")

// metrics counts what comes from EventMesh, and what goes back. Its methods may be called by several goroutines.
type metrics struct {
	consumed, undecodables, sent metric.Int64Counter
	gauge                        metric.Registration

	topics  telemetry.Names
	events  *telemetry.Series[string]
	plain   *telemetry.Series[string]
	replies *telemetry.Series[bool]
}

// newTelemetry creates what measures a source: what its dispatcher does, and what EventMesh has to do with it. connected is asked
// whenever the metrics are collected, unless it is nil.
func newTelemetry(provider metric.MeterProvider, c *Config, connected func() bool) (*dispatch.Telemetry, *metrics, error) {
	group := semconv.MessagingConsumerGroupName(c.Group)
	t, err := dispatch.NewTelemetry(dispatch.TelemetryOptions{
		Provider: provider, Scope: telemetryScope, Prefix: "eventmesh.source", System: systemEventMesh,
		Attributes: []attribute.KeyValue{group}, Topics: c.Topics,
	})
	if err != nil {
		return nil, nil, err
	}
	m := &metrics{
		events: telemetry.NewSeries(func(topic string) []attribute.KeyValue {
			return []attribute.KeyValue{systemEventMesh, semconv.MessagingOperationName("receive"), semconv.MessagingDestinationName(topic), group}
		}),
		plain: telemetry.NewSeries(func(topic string) []attribute.KeyValue {
			return []attribute.KeyValue{semconv.MessagingDestinationName(topic), group}
		}),
		replies: telemetry.NewSeries(func(ok bool) []attribute.KeyValue {
			attributes := []attribute.KeyValue{systemEventMesh, semconv.MessagingOperationName("reply"), group}
			if !ok {
				attributes = append(attributes, semconv.ErrorTypeOther)
			}
			return attributes
		}),
	}
	in := &telemetry.Instruments{Meter: provider.Meter(telemetryScope)}
	m.consumed = in.Counter(messagingconv.ClientConsumedMessages{}.Name(), messagingconv.ClientConsumedMessages{}.Unit(), "Events received from EventMesh.")
	m.sent = in.Counter(messagingconv.ClientSentMessages{}.Name(), messagingconv.ClientSentMessages{}.Unit(), "Replies sent to EventMesh, those that it did not accept included.")
	m.undecodables = in.Counter("eventmesh.source.undecodable", "{message}", "Messages received from EventMesh that are not events.")
	session := in.Flag("eventmesh.source.connected", "{session}", "Whether the source is subscribed at EventMesh: 1, or 0.")
	in.BuildInfo("eventmesh.source", group)
	attributes := metric.WithAttributeSet(attribute.NewSet(group))
	m.gauge = in.Observe(func(_ context.Context, o metric.Observer) error {
		if connected != nil {
			o.ObserveInt64(session, telemetry.OK(connected()), attributes)
		}
		return nil
	}, session)
	if in.Err() != nil {
		return nil, nil, in.Err()
	}
	for _, topic := range append([]string{""}, c.Topics...) {
		m.bound(topic)
	}
	m.sent.Add(context.Background(), 0, m.replies.Of(false).Add...)
	m.sent.Add(context.Background(), 0, m.replies.Of(true).Add...)
	return t, m, nil
}

func (m *metrics) close() error { return m.gauge.Unregister() }

// received counts an event that came from EventMesh.
func (m *metrics) received(topic string) {
	m.consumed.Add(context.Background(), 1, m.events.Of(m.bound(topic)).Add...)
}

// undecodable counts a message that is not an event, which does not count as received.
func (m *metrics) undecodable(topic string) {
	m.undecodables.Add(context.Background(), 1, m.plain.Of(m.bound(topic)).Add...)
}

// replied counts a reply to a request of a sync subscription, and whether EventMesh accepted it.
func (m *metrics) replied(ok bool) {
	m.sent.Add(context.Background(), 1, m.replies.Of(ok).Add...)
}

// bound returns the name of a topic for metrics, whose counters start at 0.
func (m *metrics) bound(topic string) string {
	topic, first := m.topics.Bound(topic)
	if first {
		m.consumed.Add(context.Background(), 0, m.events.Of(topic).Add...)
		m.undecodables.Add(context.Background(), 0, m.plain.Of(topic).Add...)
	}
	return topic
}
