package wire_test

import (
	"strings"
	"testing"
	"time"

	"github.com/cloudevents/sdk-go/v2/event"

	"github.com/eventing-eventmesh/eventing-eventmesh/pkg/eventmesh/internal/wire"
)

// benchmarked is an event with 1 KB of data.
func benchmarked() event.Event {
	e := event.New()
	e.SetID("1")
	e.SetSource("/shop")
	e.SetType("order.placed")
	e.SetSubject("order/4711")
	e.SetTime(time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC))
	e.SetDataContentType("application/json")
	e.SetExtension("traceparent", "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01")
	e.DataEncoded = []byte(`{"text":"` + strings.Repeat("x", 1000) + `"}`)
	return e
}

// BenchmarkEncode is what encoding costs before a transport makes bytes of it; see the benchmarks of the transports.
func BenchmarkEncode(b *testing.B) {
	for name, form := range forms {
		b.Run(name, func(b *testing.B) {
			e := benchmarked()
			b.SetBytes(int64(len(e.DataEncoded)))
			b.ReportAllocs()
			for b.Loop() {
				if _, err := wire.Encode(e, "orders", form); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}
