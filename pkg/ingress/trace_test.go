package ingress

import (
	"net/http"
	"strings"
	"testing"

	"go.opentelemetry.io/otel"
	metricnoop "go.opentelemetry.io/otel/metric/noop"
	tracenoop "go.opentelemetry.io/otel/trace/noop"

	"github.com/eventing-eventmesh/eventing-eventmesh/internal/ingresstest"
)

func TestTraceGoesOn(t *testing.T) { testTraces(t) }

func TestTraceGoesOnWithoutTelemetry(t *testing.T) {
	meters, tracers := otel.GetMeterProvider(), otel.GetTracerProvider()
	otel.SetMeterProvider(metricnoop.NewMeterProvider())
	otel.SetTracerProvider(tracenoop.NewTracerProvider())
	t.Cleanup(func() {
		otel.SetMeterProvider(meters)
		otel.SetTracerProvider(tracers)
	})
	testTraces(t)
}

func testTraces(t *testing.T) {
	t.Helper()
	const (
		request = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"
		own     = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01"
	)
	for _, c := range []struct {
		name          string
		header        http.Header
		parent, state any
	}{
		{"no trace", ingresstest.Binary(), nil, nil},
		{"request's", ingresstest.Binary("Traceparent="+request, "Tracestate=a=1,b=2"), request, "a=1,b=2"},
		{"event's", ingresstest.Binary("Ce-Traceparent="+own, "Ce-Tracestate=c=3"), own, "c=3"},
		{"event's before the request's", ingresstest.Binary("Traceparent="+request, "Tracestate=a=1", "Ce-Traceparent="+own), own, nil},
		{"state of the event", ingresstest.Binary("Traceparent="+request, "Tracestate=a=1", "Ce-Tracestate=c=3"), request, "c=3"},
		{"invalid", ingresstest.Binary("Traceparent=00-xyz"), nil, nil},
		{"request's, in a batch", http.Header{"Content-Type": {ingresstest.BatchType}, "Traceparent": {request}, "Tracestate": {"a=1,b=2"}}, request, "a=1,b=2"},
	} {
		t.Run(c.name, func(t *testing.T) {
			p := &fake{}
			server, _ := serve(t, p)
			body := "{}"
			if c.header.Get("Content-Type") == ingresstest.BatchType {
				body = ingresstest.BatchOf("1")
			}
			if got := ingresstest.Send(t, server.Client(), http.MethodPost, server.URL, c.header, strings.NewReader(body)); got.Status != http.StatusAccepted {
				t.Fatalf("got %d %q", got.Status, got.Body)
			}
			events, _ := p.taken()
			extensions := events[0].Extensions()
			if extensions["traceparent"] != c.parent || extensions["tracestate"] != c.state {
				t.Errorf("got %v %v, want %v %v", extensions["traceparent"], extensions["tracestate"], c.parent, c.state)
			}
		})
	}
}
