package sink

import (
	"context"
	"maps"
	"net/http/httptest"
	"slices"
	"testing"

	"github.com/cloudevents/sdk-go/v2/event"
	"go.opentelemetry.io/otel"
	"go.opentelemetry.io/otel/metric"
	"go.uber.org/zap"

	"github.com/eventing-eventmesh/eventing-eventmesh/internal/monitoring"
	"github.com/eventing-eventmesh/eventing-eventmesh/pkg/eventmesh"
)

// serveMeasured serves a handler that is measured, as Start does.
func serveMeasured(t *testing.T, provider metric.MeterProvider, p publisher, environment ...string) (*handler, *httptest.Server) {
	t.Helper()
	before := otel.GetMeterProvider()
	otel.SetMeterProvider(provider)
	t.Cleanup(func() { otel.SetMeterProvider(before) })
	c := config(t, append([]string{"EVENTMESH_URL=grpc://eventmesh", "EVENTMESH_TOPIC=orders", "EVENTMESH_TOPICS=orders,stock-*"}, environment...)...)
	h := newHandler(c, p, zap.NewNop().Sugar())
	stop, err := h.measure(t.Context(), provider)
	if err != nil {
		t.Fatal(err)
	}
	server := httptest.NewUnstartedServer(nil)
	server.Config = newServer(c, h, h.logger)
	server.Start()
	t.Cleanup(func() {
		server.Close()
		if err := stop(); err != nil {
			t.Error(err)
		}
	})
	return h, server
}

// export makes a metric of each kind, and exports it.
func export(t *testing.T) monitoring.Exported {
	t.Helper()
	return monitoring.Export(t, func(provider metric.MeterProvider) {
		p := &fake{each: func(_ context.Context, e event.Event) error {
			if e.ID() == "refused" {
				return eventmesh.ErrRefused
			}
			return nil
		}}
		_, server := serveMeasured(t, provider, p)
		sendBatch(t, server.URL+"/topics/orders", batchOf("1", "refused"))
	})
}

func TestExportedNames(t *testing.T) {
	got := slices.Sorted(maps.Keys(export(t).Families))
	want := []string{
		"eventmesh_sink_batch_events",
		"eventmesh_sink_circuit_open",
		"eventmesh_sink_connected",
		"eventmesh_sink_in_flight",
		"eventmesh_sink_limit_in_flight",
		"eventmesh_sink_unreadable_requests_total",
		"http_server_request_body_size_bytes",
		"http_server_request_duration_seconds",
		"http_server_response_body_size_bytes",
		"messaging_client_operation_duration_seconds",
		"messaging_client_sent_messages_total",
	}
	if !slices.Equal(got, want) {
		t.Errorf("got  %v\nwant %v", got, want)
	}
}

func TestMonitoring(t *testing.T) {
	all := export(t)
	monitoring.CheckAlerts(t, all, "eventmesh-sink")
	monitoring.CheckDashboard(t, all, "Sink", "namespace")
	monitoring.CheckDocumentation(t, all, "sink")
}
