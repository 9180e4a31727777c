package sink

import (
	"context"
	"time"

	"github.com/cloudevents/sdk-go/v2/event"
	"go.opentelemetry.io/otel/metric"
)

// measured is a publisher whose calls are counted and measured.
type measured struct {
	publisher
	metrics *metrics
}

func (m *measured) Publish(ctx context.Context, topic string, e event.Event) error {
	began := time.Now()
	err := m.publisher.Publish(ctx, topic, e)
	m.metrics.published(ctx, topic, operationPublish, time.Since(began), err)
	return err
}

func (m *measured) Request(ctx context.Context, topic string, e event.Event) (*event.Event, error) {
	began := time.Now()
	reply, err := m.publisher.Request(ctx, topic, e)
	m.metrics.published(ctx, topic, operationRequest, time.Since(began), err)
	return reply, err
}

// measure starts to count and measure what the handler does; the returned function ends the part of it that costs something. It is
// called before the first request.
func (h *handler) measure(ctx context.Context, provider metric.MeterProvider) (stop func() error, err error) {
	m, err := newMetrics(ctx, provider, h.config.named(), h.state)
	if err != nil {
		return nil, err
	}
	h.batches, h.unread = m.batches, m.unread
	h.guard.publisher = &measured{publisher: h.guard.publisher, metrics: m}
	return m.close, nil
}

func (h *handler) state() state {
	return state{
		inFlight: int64(len(h.inFlight)), maxInFlight: int64(cap(h.inFlight)),
		connected: h.guard.publisher.Ready() == nil, open: h.guard.circuit.open(),
	}
}
