package dispatch_test

import (
	"context"
	"fmt"
	"io"
	"net/http"
	"strings"
	"sync"
	"sync/atomic"
	"testing"

	"github.com/cloudevents/sdk-go/v2/event"
	"go.opentelemetry.io/otel/trace/noop"

	"github.com/eventing-eventmesh/eventing-eventmesh/pkg/dispatch"
)

// benchmarked is an event with 1 KB of data.
func benchmarked() event.Event {
	e := order("benchmark")
	e.SetExtension("eventmeshtopic", "orders")
	e.DataEncoded = []byte(`{"text":"` + strings.Repeat("x", 1000) + `"}`)
	return e
}

// told is a destination that tells of each event.
type told struct {
	dispatch.Destination
	accepted sync.WaitGroup
}

func (d *told) Send(ctx context.Context, e event.Event) (answer dispatch.Answer, err error) {
	defer d.accepted.Done()
	if d.Destination == nil {
		return dispatch.Answer{Status: http.StatusAccepted}, nil
	}
	return d.Destination.Send(ctx, e)
}

func (*told) String() string { return "told" }

// benchmark puts an event again and again, in memory or on disk, and reports how many events shared a sync.
func benchmark(b *testing.B, kind string, o dispatch.Options, to dispatch.Destination) {
	b.Helper()
	var syncs atomic.Int64
	if kind == "spool" {
		var err error
		if o.Disk, err = dispatch.OpenDisk(dispatch.DiskOptions{Dir: b.TempDir()}); err != nil {
			b.Fatal(err)
		}
		o.Acknowledge = func([]*dispatch.Message) { syncs.Add(1) }
	}
	d, destination := dispatch.New(o), &told{Destination: to}
	lane := d.Lane(dispatch.LaneOptions{Name: "told", Destination: destination, Retries: -1})
	d.Start()
	e := benchmarked()
	b.SetBytes(int64(len(e.DataEncoded)))
	b.ReportAllocs()
	b.ResetTimer()
	destination.accepted.Add(b.N)
	for range b.N {
		if err := d.Put(b.Context(), &dispatch.Message{Event: e.Clone(), Topic: "orders"}, lane); err != nil {
			b.Fatal(err)
		}
	}
	destination.accepted.Wait()
	b.StopTimer()
	d.Drain(context.Background())
	if n := syncs.Load(); n > 0 {
		b.ReportMetric(float64(b.N)/float64(n), "events/sync")
	}
}

// BenchmarkKeep is what keeping an event costs: put, sync to disk, hand out and forget. With one event in flight each has a sync of
// its own; with more they share it.
func BenchmarkKeep(b *testing.B) {
	for _, kind := range []string{"memory", "spool"} {
		for _, inFlight := range []int{1, 16, 256} {
			b.Run(fmt.Sprintf("%s/%d", kind, inFlight), func(b *testing.B) {
				benchmark(b, kind, dispatch.Options{Workers: min(inFlight, 16), MaxEvents: int64(inFlight)}, nil)
			})
		}
	}
}

// BenchmarkDeliver is the way of an event from its reception to the sink's answer, over HTTP on loopback, with tracing off.
func BenchmarkDeliver(b *testing.B) {
	traceWith(b, noop.NewTracerProvider())
	url := httpServer(b, func(w http.ResponseWriter, r *http.Request) {
		_, _ = io.Copy(io.Discard, r.Body)
		w.WriteHeader(http.StatusAccepted)
	})
	for _, kind := range []string{"memory", "spool"} {
		for _, inFlight := range []int{1, 16, 128} {
			b.Run(fmt.Sprintf("%s/%d", kind, inFlight), func(b *testing.B) {
				sink := httpTo(b, url, func(o *dispatch.HTTPOptions) { o.MaxConnections = inFlight })
				benchmark(b, kind, dispatch.Options{Workers: inFlight, MaxEvents: 10_000}, sink)
			})
		}
	}
}
