package source

import (
	"errors"
	"testing"
	"time"

	"go.opentelemetry.io/otel/metric"

	"github.com/eventing-eventmesh/eventing-eventmesh/internal/monitoring"
)

func TestMonitoring(t *testing.T) {
	t.Parallel()
	monitoring.Check(t, "source", func(provider metric.MeterProvider) {
		m, err := newMetrics(provider, "billing", func() state { return state{} })
		if err != nil {
			t.Fatal(err)
		}
		m.requested(503, time.Second)
		m.committed(1, time.Second, nil)
		m.committed(1, time.Second, errors.New("no space left on device"))
	})
}
