package source

import (
	"context"
	"fmt"
	"io"
	"net/http"
	"strings"
	"sync"
	"testing"

	"github.com/cloudevents/sdk-go/v2/event"
	bolt "go.etcd.io/bbolt"
	"go.opentelemetry.io/otel/trace/noop"
	"go.uber.org/zap"

	"github.com/eventing-eventmesh/eventing-eventmesh/pkg/eventmesh"
)

// benchmarked is an event with 1 KB of data.
func benchmarked() event.Event {
	e := sample("benchmark")
	e.DataEncoded = []byte(`{"text":"` + strings.Repeat("x", 1000) + `"}`)
	return e
}

// benchmarkBuffer returns a buffer in memory or on disk, and what to call at the end.
func benchmarkBuffer(b *testing.B, kind string, maxEvents int64) (buffer *buffer, stop func()) {
	b.Helper()
	var s *spool
	var err error
	if kind == "spool" {
		if s, err = openSpool(b.TempDir()); err != nil {
			b.Fatal(err)
		}
	}
	buffer = newBuffer(maxEvents, 1<<30, Unordered, slow, s)
	ctx, cancel := context.WithCancel(context.Background())
	var writer sync.WaitGroup
	if s != nil {
		c := &committer{buffer: buffer, metrics: noMetrics(b), logger: zap.NewNop().Sugar()}
		writer.Go(func() { c.run(ctx) })
	}
	return buffer, func() {
		cancel()
		writer.Wait()
		if s != nil {
			if err := s.close(); err != nil {
				b.Error(err)
			}
		}
	}
}

// reportSyncs tells how many events shared a sync to disk.
func reportSyncs(b *testing.B, buffer *buffer) {
	b.Helper()
	if buffer.spool == nil {
		return
	}
	if err := buffer.spool.view(func(tx *bolt.Tx) error {
		b.ReportMetric(float64(b.N)/float64(tx.ID()), "events/sync")
		return nil
	}); err != nil {
		b.Error(err)
	}
}

// BenchmarkKeep is what keeping an event costs: put, sync to disk, hand out and forget. With one event in flight each has a sync of
// its own; with more they share it.
func BenchmarkKeep(b *testing.B) {
	for _, kind := range []string{"memory", "spool"} {
		for _, inFlight := range []int{1, 16, 256} {
			b.Run(fmt.Sprintf("%s/%d", kind, inFlight), func(b *testing.B) {
				buffer, stop := benchmarkBuffer(b, kind, int64(inFlight))
				defer stop()
				e := benchmarked()
				b.SetBytes(int64(len(e.DataEncoded)))
				b.ReportAllocs()
				b.ResetTimer()
				var left, workers sync.WaitGroup
				left.Add(b.N)
				for range min(inFlight, 16) {
					workers.Go(func() {
						for k := buffer.next(b.Context()); k != nil; k = buffer.next(b.Context()) {
							buffer.release(k, true)
							left.Done()
						}
					})
				}
				for range b.N {
					if err := buffer.put(b.Context(), &kept{event: e, topic: "orders", delivery: &eventmesh.Delivery{}}); err != nil {
						b.Fatal(err)
					}
				}
				left.Wait()
				b.StopTimer()
				reportSyncs(b, buffer)
				buffer.stop()
				workers.Wait()
			})
		}
	}
}

// BenchmarkDeliver is the way of an event from its reception to the sink's answer, over HTTP on loopback, with tracing off.
func BenchmarkDeliver(b *testing.B) {
	traceWith(b, noop.NewTracerProvider())
	sink := func(w http.ResponseWriter, r *http.Request) {
		_, _ = io.Copy(io.Discard, r.Body)
		w.WriteHeader(http.StatusAccepted)
	}
	url := answering(b, sink)
	for _, kind := range []string{"memory", "spool"} {
		for _, inFlight := range []int{1, 16, 128} {
			b.Run(fmt.Sprintf("%s/%d", kind, inFlight), func(b *testing.B) {
				buffer, stop := benchmarkBuffer(b, kind, 10000)
				defer stop()
				s := senderTo(b, url, func(c *Config) { c.MaxInFlight = inFlight })
				var left sync.WaitGroup
				left.Add(b.N)
				send := func(ctx context.Context, e event.Event) (answer, error) {
					defer left.Done()
					return s.send(ctx, e)
				}
				d := &deliverer{buffer: buffer, send: send, metrics: noMetrics(b), logger: zap.NewNop().Sugar(), refusals: zap.NewNop().Sugar(), retries: -1, backoff: slow}
				r := &receiver{buffer: buffer, metrics: d.metrics, logger: d.logger}
				e := benchmarked()
				b.SetBytes(int64(len(e.DataEncoded)))
				b.ReportAllocs()
				b.ResetTimer()
				ctx, cancel := context.WithCancel(b.Context())
				var delivering sync.WaitGroup
				delivering.Go(func() { d.run(ctx, inFlight) })
				for range b.N {
					if err := r.take(ctx, &eventmesh.Delivery{Event: e.Clone(), Topic: "orders"}); err != nil {
						b.Fatal(err)
					}
				}
				left.Wait()
				b.StopTimer()
				cancel()
				delivering.Wait()
				reportSyncs(b, buffer)
			})
		}
	}
}

// BenchmarkRequest is what it costs to make a request of an event, without sending it.
func BenchmarkRequest(b *testing.B) {
	s := senderTo(b, "http://sink.example")
	e := benchmarked()
	e.SetExtension("eventmeshtopic", "orders")
	b.ReportAllocs()
	for b.Loop() {
		if _, err := s.request(b.Context(), e); err != nil {
			b.Fatal(err)
		}
	}
}

// BenchmarkRecord is what a spool costs before the disk: writing the record of an event, and looking whether it can be read.
func BenchmarkRecord(b *testing.B) {
	k := &kept{event: benchmarked(), topic: "orders"}
	for name, write := range map[string]func(*kept) ([]byte, error){"written": encodeRecord, "and checked": writeRecord} {
		b.Run(name, func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				if _, err := write(k); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}
