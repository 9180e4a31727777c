package sink

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/cloudevents/sdk-go/v2/event"
	"go.opentelemetry.io/otel"
	sdk "go.opentelemetry.io/otel/sdk/metric"
	"go.opentelemetry.io/otel/trace/noop"
	"go.uber.org/zap"

	"github.com/eventing-eventmesh/eventing-eventmesh/internal/ingresstest"
)

// confirming is a publisher that confirms everything at once.
type confirming struct{}

func (confirming) Publish(context.Context, string, event.Event) error { return nil }

func (confirming) Request(_ context.Context, _ string, e event.Event) (*event.Event, error) {
	return &e, nil
}

func (confirming) Ready() error { return nil }

// BenchmarkHandle is what a request costs between the HTTP server and EventMesh's client, with metrics and without traces, as the
// manifests have it. The events have 1 KB of data; a batch has ten of them.
func BenchmarkHandle(b *testing.B) {
	const attributes = `"specversion":"1.0","id":"1","type":"order.placed","source":"/shop","subject":"order/4711","time":"2026-01-02T03:04:05Z","datacontenttype":"application/json"`
	data := `{"text":"` + strings.Repeat("x", 1000) + `"}`
	structuredEvent := fmt.Sprintf(`{%s,"data":%s}`, attributes, data)
	for _, c := range []struct {
		name   string
		header http.Header
		body   string
	}{
		{"binary", ingresstest.Binary("Ce-Subject=order/4711", "Ce-Time=2026-01-02T03:04:05Z"), data},
		{"structured", ingresstest.Structured(), structuredEvent},
		{"batch", ingresstest.Batched(), "[" + strings.Repeat(structuredEvent+",", 9) + structuredEvent + "]"},
	} {
		b.Run(c.name, func(b *testing.B) {
			handler := benchmarked(b)
			template := httptest.NewRequestWithContext(b.Context(), http.MethodPost, "/topics/orders", http.NoBody)
			template.Header, template.ContentLength = c.header, int64(len(c.body))
			b.SetBytes(int64(len(c.body)))
			b.ReportAllocs()
			for b.Loop() {
				r, w := *template, httptest.NewRecorder()
				r.Body = io.NopCloser(bytes.NewReader([]byte(c.body)))
				if handler.ServeHTTP(w, &r); w.Code != http.StatusAccepted {
					b.Fatalf("got %d %q", w.Code, w.Body)
				}
			}
		})
	}
}

// benchmarked returns all that handles requests in a sink.
func benchmarked(b *testing.B) http.Handler {
	b.Helper()
	before := otel.GetMeterProvider()
	provider := sdk.NewMeterProvider(sdk.WithReader(sdk.NewManualReader()))
	otel.SetMeterProvider(provider)
	b.Cleanup(func() { otel.SetMeterProvider(before) })
	tracers := otel.GetTracerProvider()
	otel.SetTracerProvider(noop.NewTracerProvider())
	b.Cleanup(func() { otel.SetTracerProvider(tracers) })
	c := NewConfig()
	c.Topic, c.MaxEventBytes, c.MaxBatchEvents, c.BufferBytes, c.MaxInFlight = "orders", 1<<20, 1000, 64<<20, 1000
	c.PublishTimeout, c.RequestTimeout = patience, patience
	f, err := newFace(c, confirming{}, nil, nil, provider.Meter(telemetryScope), zap.NewNop().Sugar())
	if err != nil {
		b.Fatal(err)
	}
	return f
}
