package ingress

import (
	"context"
	"fmt"
	"net"
	"net/http"
	"strconv"

	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/metric"
	semconv "go.opentelemetry.io/otel/semconv/v1.41.0"

	"github.com/eventing-eventmesh/eventing-eventmesh/internal/telemetry"
)

// telemetryScope names this package to OpenTelemetry.
const telemetryScope = "github.com/eventing-eventmesh/eventing-eventmesh/pkg/ingress"

// metrics counts and measures what the server does, besides what OpenTelemetry measures of each request.
type metrics struct {
	batches metric.Int64Histogram
	unread  metric.Int64Counter
	gauges  metric.Registration
}

// newMetrics creates instruments whose names begin with a prefix. inFlight holds one for each event that is being delivered.
func newMetrics(meter metric.Meter, prefix string, inFlight chan struct{}) (m metrics, err error) {
	in := telemetry.Instruments{Meter: meter}
	m.batches = in.Histogram(prefix+".batch.events", "{event}", "Events in a batch.", 1, 2, 5, 10, 20, 50, 100, 200, 500, 1000)
	m.unread = in.Counter(prefix+".unreadable.requests", "{request}", "Requests that the HTTP server could not read, and answered by itself or not at all.")
	in.BuildInfo(prefix)
	current := in.Level(prefix+".in_flight", "{request}", "Requests that are being answered, and events of batches that are published beside.")
	limit := in.Level(prefix+".limit.in_flight", "{request}", "Requests that are answered at once.")
	m.gauges = in.Observe(func(_ context.Context, o metric.Observer) error {
		o.ObserveInt64(current, int64(len(inFlight)))
		o.ObserveInt64(limit, int64(cap(inFlight)))
		return nil
	}, current, limit)
	if err := in.Err(); err != nil {
		return m, err
	}
	for _, name := range []string{headerLate, strconv.Itoa(http.StatusBadRequest)} { // of a counter that starts at 1 Prometheus sees no increase
		m.unread.Add(context.Background(), 0, metric.WithAttributes(errorTypeOf(name)))
	}
	return m, nil
}

// close unregisters what newMetrics has registered.
func (m *metrics) close() error {
	if err := m.gauges.Unregister(); err != nil {
		return fmt.Errorf("unregistering metrics: %w", err)
	}
	return nil
}

// unreadable counts and logs a request that no handler has seen.
func (s *Server) unreadable(errorType string, from net.Addr) {
	s.metrics.unread.Add(context.Background(), 1, metric.WithAttributes(errorTypeOf(errorType)))
	const message = "a request could not be read: "
	switch errorType {
	case headerLate:
		s.options.Logger.Warnw(message+"its header did not come in time, no answer", "sender", from.String())
	case semconv.ErrorTypeOther.Value.AsString():
		s.options.Logger.Warnw(message+"answered by the HTTP server, over TLS", "sender", from.String())
	default:
		s.options.Logger.Warnw(message+"answered "+errorType, "sender", from.String())
	}
}

func errorTypeOf(name string) attribute.KeyValue { return semconv.ErrorTypeKey.String(name) }
