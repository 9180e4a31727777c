package sink

import (
	"context"
	"net/http/httptest"
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

func TestMonitoring(t *testing.T) {
	monitoring.Check(t, "sink", func(provider metric.MeterProvider) {
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
