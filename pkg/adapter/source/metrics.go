package source

import (
	"context"
	"net/http"
	"time"

	"github.com/cloudevents/sdk-go/v2/event"
	"go.opentelemetry.io/otel/metric"
	"go.opentelemetry.io/otel/trace"
)

type metrics struct{}
type state struct {
	events, bytes, maxEvents, maxBytes      int64
	oldest                                  time.Time
	inFlight                                int64
	connected, sinkAvailable, spoolWritable bool
}

func newMetrics(metric.MeterProvider, string, func() state) (*metrics, error) { return &metrics{}, nil }
func (m *metrics) close() error                                               { return nil }
func (m *metrics) received(string)                                            {}
func (m *metrics) undecodable(string)                                         {}
func (m *metrics) requested(int, time.Duration)                               {}
func (m *metrics) redelivered(string)                                         {}
func (m *metrics) delivered(string)                                           {}
func (m *metrics) deadLettered(string, string)                                {}
func (m *metrics) dropped(string, string)                                     {}
func (m *metrics) replied(bool)                                               {}
func (m *metrics) committed(int, time.Duration, error)                        {}

func startSpan(ctx context.Context, _ *event.Event, _ string, _ int) (context.Context, trace.Span) {
	return ctx, trace.SpanFromContext(ctx)
}
func endSpan(trace.Span, error)           {}
func inject(context.Context, http.Header) {}
