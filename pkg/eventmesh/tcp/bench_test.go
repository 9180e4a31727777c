package tcp

import (
	"strings"
	"testing"
	"time"

	"github.com/cloudevents/sdk-go/v2/event"

	"github.com/eventing-eventmesh/eventing-eventmesh/pkg/eventmesh"
	"github.com/eventing-eventmesh/eventing-eventmesh/pkg/eventmesh/grpc"
	"github.com/eventing-eventmesh/eventing-eventmesh/pkg/eventmesh/tcp/frame"
)

// BenchmarkEncode is what an event of 1 KB costs on its way to the bytes of a frame.
func BenchmarkEncode(b *testing.B) {
	e := event.New()
	e.SetID("1")
	e.SetSource("/shop")
	e.SetType("order.placed")
	e.SetSubject("order/4711")
	e.SetTime(time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC))
	e.SetDataContentType("application/json")
	e.SetExtension("traceparent", "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01")
	e.DataEncoded = []byte(`{"text":"` + strings.Repeat("x", 1000) + `"}`)
	for _, to := range []eventmesh.Transport{Transport{}, grpc.Transport{}} {
		b.Run("for "+to.Traits().Scheme, func(b *testing.B) {
			p := &publisher{form: to.Traits().Rendering.Form, properties: properties}
			var buffer []byte
			b.SetBytes(int64(len(e.DataEncoded)))
			b.ReportAllocs()
			for b.Loop() {
				body, _, err := p.encode(e, "orders", timeToLive)
				if err != nil {
					b.Fatal(err)
				}
				header := frame.Header{Command: frame.AsyncMessageToServer, Sequence: sequence(), Properties: p.properties}
				if buffer, err = frame.Append(buffer[:0], frame.Frame{Header: header, Body: body}); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}
