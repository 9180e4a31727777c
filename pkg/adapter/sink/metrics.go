package sink

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"strconv"
	"sync"
	"time"

	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/metric"
	semconv "go.opentelemetry.io/otel/semconv/v1.41.0"
	"go.opentelemetry.io/otel/semconv/v1.41.0/messagingconv"

	"github.com/eventing-eventmesh/eventing-eventmesh/pkg/eventmesh"
)

const (
	// telemetryScope names this package to OpenTelemetry.
	telemetryScope = "github.com/eventing-eventmesh/eventing-eventmesh/pkg/adapter/sink"

	// maxTopics bounds the values of messaging.destination.name: where EVENTMESH_TOPICS has a *, it is senders that name topics.
	maxTopics = 1000

	operationPublish = "publish"
	operationRequest = "request"
)

var (
	// operationBounds in seconds are those that the conventions recommend.
	operationBounds = []float64{0.005, 0.01, 0.025, 0.05, 0.075, 0.1, 0.25, 0.5, 0.75, 1, 2.5, 5, 7.5, 10}
	batchBounds     = []float64{1, 2, 5, 10, 20, 50, 100, 200, 500, 1000}

	systemEventMesh = semconv.MessagingSystemKey.String("eventmesh")
)

// errorTypes are the values of error.type, besides the conventions' own for all else. The first that fits counts.
var errorTypes = []struct {
	kind error
	name string
}{
	{eventmesh.ErrNoReply, "no_reply"},
	{eventmesh.ErrInvalidReply, "invalid_reply"},
	{eventmesh.ErrUnconfirmed, "unconfirmed"},
	{eventmesh.ErrNotConnected, "not_connected"},
	{eventmesh.ErrRateLimited, "rate_limited"},
	{eventmesh.ErrNoSubscriber, "no_subscriber"},
	{eventmesh.ErrRefused, "refused"},
	{eventmesh.ErrUnauthorized, "unauthorized"},
	{eventmesh.ErrInvalidEvent, "invalid_event"},
	{eventmesh.ErrTooLarge, "too_large"},
}

func errorType(err error) string {
	if err == nil {
		return ""
	}
	for _, t := range errorTypes {
		if errors.Is(err, t.kind) {
			return t.name
		}
	}
	return semconv.ErrorTypeOther.Value.AsString()
}

// state is what the gauges show.
type state struct {
	// inFlight counts requests that are being answered, and events of batches, of at most maxInFlight.
	inFlight, maxInFlight int64
	// connected tells whether there is a session with EventMesh, open whether publishes are held back all the same.
	connected, open bool
}

// metrics counts and measures what the sink does. Its methods may be called by several goroutines.
type metrics struct {
	sent     metric.Int64Counter
	duration metric.Float64Histogram
	batches  metric.Int64Histogram
	unread   metric.Int64Counter
	gauges   metric.Registration

	mu     sync.Mutex
	topics map[string]bool
	series map[call]series
}

// call is what tells one time series of calls from another. errorType is empty for those that succeeded.
type call struct{ topic, operation, errorType string }

// series are the attributes of a time series, made once: every event needs them.
type series struct {
	add    []metric.AddOption
	record []metric.RecordOption
}

// newMetrics creates the instruments. state is called whenever the metrics are collected. The counters of the topics start at 0: of
// one that starts at 1 Prometheus sees no increase.
func newMetrics(ctx context.Context, provider metric.MeterProvider, topics []string, state func() state) (*metrics, error) {
	meter := provider.Meter(telemetryScope)
	m := &metrics{topics: map[string]bool{}, series: map[call]series{}}
	var errs [5]error
	m.sent, errs[0] = meter.Int64Counter(messagingconv.ClientSentMessages{}.Name(),
		metric.WithUnit(messagingconv.ClientSentMessages{}.Unit()), metric.WithDescription("Events sent to EventMesh, those that it did not take included."))
	m.duration, errs[1] = meter.Float64Histogram(messagingconv.ClientOperationDuration{}.Name(), metric.WithUnit("s"),
		metric.WithDescription("Duration until EventMesh has confirmed an event, replied to a request, or failed to."), metric.WithExplicitBucketBoundaries(operationBounds...))
	m.batches, errs[2] = meter.Int64Histogram("eventmesh.sink.batch.events", metric.WithUnit("{event}"),
		metric.WithDescription("Events in a batch."), metric.WithExplicitBucketBoundaries(batchBounds...))
	m.unread, errs[3] = meter.Int64Counter("eventmesh.sink.unreadable.requests", metric.WithUnit("{request}"),
		metric.WithDescription("Requests that the HTTP server could not read, and answered by itself or not at all."))
	m.gauges, errs[4] = observe(meter, state)
	if err := errors.Join(errs[:]...); err != nil {
		return nil, fmt.Errorf("creating metrics: %w", err)
	}
	for _, topic := range topics {
		m.sent.Add(ctx, 0, m.of(topic, operationPublish, nil).add...)
		m.sent.Add(ctx, 0, m.of(topic, operationPublish, eventmesh.ErrUnauthorized).add...) // which is alerted on
	}
	for _, name := range []string{headerLate, strconv.Itoa(http.StatusBadRequest)} {
		m.unread.Add(ctx, 0, metric.WithAttributes(errorTypeOf(name)))
	}
	return m, nil
}

// observe creates the instruments that show the state, and registers the one callback that asks for it.
func observe(meter metric.Meter, current func() state) (metric.Registration, error) {
	inFlight, err1 := meter.Int64ObservableUpDownCounter("eventmesh.sink.in_flight", metric.WithUnit("{request}"),
		metric.WithDescription("Requests that are being answered, and events of batches that are published beside."))
	limit, err2 := meter.Int64ObservableUpDownCounter("eventmesh.sink.limit.in_flight", metric.WithUnit("{request}"),
		metric.WithDescription("Requests that are answered at once."))
	connected, err3 := meter.Int64ObservableGauge("eventmesh.sink.connected", metric.WithUnit("{session}"),
		metric.WithDescription("Whether the sink is connected to EventMesh: 1, or 0."))
	open, err4 := meter.Int64ObservableGauge("eventmesh.sink.circuit.open", metric.WithUnit("{circuit}"),
		metric.WithDescription("Whether events are held back since EventMesh confirms none in time: 1, or 0."))
	if err := errors.Join(err1, err2, err3, err4); err != nil {
		return nil, err
	}
	return meter.RegisterCallback(func(_ context.Context, o metric.Observer) error {
		s := current()
		o.ObserveInt64(inFlight, s.inFlight)
		o.ObserveInt64(limit, s.maxInFlight)
		o.ObserveInt64(connected, flag(s.connected))
		o.ObserveInt64(open, flag(s.open))
		return nil
	}, inFlight, limit, connected, open)
}

func flag(b bool) int64 {
	if b {
		return 1
	}
	return 0
}

// close unregisters what newMetrics has registered.
func (m *metrics) close() error {
	if err := m.gauges.Unregister(); err != nil {
		return fmt.Errorf("unregistering metrics: %w", err)
	}
	return nil
}

// published counts and measures one call of EventMesh.
func (m *metrics) published(ctx context.Context, topic, operation string, took time.Duration, err error) {
	of := m.of(topic, operation, err)
	m.sent.Add(ctx, 1, of.add...)
	m.duration.Record(ctx, took.Seconds(), of.record...)
}

// of returns the time series of a call; past maxTopics the name of a topic is left empty.
func (m *metrics) of(topic, operation string, err error) series {
	m.mu.Lock()
	defer m.mu.Unlock()
	if !m.topics[topic] {
		if len(m.topics) < maxTopics {
			m.topics[topic] = true
		} else {
			topic = ""
		}
	}
	key := call{topic: topic, operation: operation, errorType: errorType(err)}
	found, ok := m.series[key]
	if !ok {
		attributes := []attribute.KeyValue{systemEventMesh, semconv.MessagingOperationName(operation), semconv.MessagingDestinationName(topic)}
		if key.errorType != "" {
			attributes = append(attributes, semconv.ErrorTypeKey.String(key.errorType))
		}
		set := metric.WithAttributeSet(attribute.NewSet(attributes...))
		found = series{add: []metric.AddOption{set}, record: []metric.RecordOption{set}}
		m.series[key] = found
	}
	return found
}
