package source

import (
	"context"
	"os"
	"path/filepath"
	"testing"

	"github.com/cloudevents/sdk-go/v2/event"
	"go.opentelemetry.io/otel/metric"

	"github.com/eventing-eventmesh/eventing-eventmesh/internal/monitoring"
	"github.com/eventing-eventmesh/eventing-eventmesh/pkg/dispatch"
)

// away is a destination that is asked, and does not accept anything.
type away chan struct{}

func (a away) Send(ctx context.Context, _ event.Event) (dispatch.Answer, error) {
	select {
	case a <- struct{}{}:
	case <-ctx.Done():
	}
	return dispatch.Answer{Status: 503}, &dispatch.Rejection{Status: 503}
}

func (away) String() string { return "http://away" }

func TestMonitoring(t *testing.T) {
	t.Parallel()
	monitoring.Check(t, "source", func(provider metric.MeterProvider) {
		telemetry, _, err := newTelemetry(provider, &Config{Group: "billing"}, func() bool { return false })
		if err != nil {
			t.Fatal(err)
		}
		dir := filepath.Join(t.TempDir(), "spool")
		disk, err := dispatch.OpenDisk(dispatch.DiskOptions{Dir: dir})
		if err != nil {
			t.Fatal(err)
		}
		d, sink := dispatch.New(dispatch.Options{Disk: disk, MaxEvents: 10, MaxBytes: 1 << 20, Telemetry: telemetry}), make(away)
		lane := d.Lane(dispatch.LaneOptions{Name: laneName, Destination: sink, Retries: -1})
		d.Start()
		if err := d.Put(t.Context(), &dispatch.Message{Event: sample("a")}, lane); err != nil {
			t.Fatal(err)
		}
		<-sink // after a commit
		if err := os.Rename(dir, dir+" elsewhere"); err != nil {
			t.Fatal(err)
		}
		if err := d.Put(t.Context(), &dispatch.Message{Event: sample("b")}, lane); err != nil {
			t.Fatal(err)
		}
		ctx, cancel := context.WithCancel(t.Context())
		cancel()
		d.Drain(ctx) // after a commit that fails
	})
}
