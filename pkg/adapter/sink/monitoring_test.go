package sink

import (
	"context"
	"testing"

	"github.com/cloudevents/sdk-go/v2/event"
	"go.opentelemetry.io/otel/metric"

	"github.com/eventing-eventmesh/eventing-eventmesh/internal/ingresstest"
	"github.com/eventing-eventmesh/eventing-eventmesh/internal/monitoring"
	"github.com/eventing-eventmesh/eventing-eventmesh/pkg/eventmesh"
)

func TestMonitoring(t *testing.T) {
	monitoring.Check(t, "sink", func(provider metric.MeterProvider) {
		p := &fake{each: func(_ context.Context, e event.Event) error {
			if e.ID() == "refused" {
				return eventmesh.ErrRefused
			}
			return nil
		}}
		server, _ := serveMeasured(t, provider, p)
		ingresstest.SendBatch(t, server.URL+"/topics/orders", ingresstest.BatchOf("1", "refused"))
	})
}
