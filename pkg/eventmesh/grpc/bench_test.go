package grpc

import (
	"strings"
	"testing"
	"time"

	"github.com/cloudevents/sdk-go/v2/event"

	"github.com/eventing-eventmesh/eventing-eventmesh/pkg/eventmesh"
	"github.com/eventing-eventmesh/eventing-eventmesh/pkg/eventmesh/tcp"
)

// BenchmarkEncode is what an event of 1 KB costs on its way to the bytes of a gRPC message.
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
	for _, to := range []eventmesh.Transport{Transport{}, tcp.Transport{}} {
		rendering := to.Traits().Rendering
		b.Run("for "+to.Traits().Scheme, func(b *testing.B) {
			encoded, err := encodeAttributes(publisherAttributes(eventmesh.Client{
				IP: "10.1.2.3", PID: 4711, Group: "eventmesh-sink", Env: "PRD", IDC: "DEFAULT", Subsystem: "0000",
				Credentials: eventmesh.Credentials{Username: "anonymous", Password: "anonymous"}, Rendering: rendering,
			}))
			if err != nil {
				b.Fatal(err)
			}
			codec := newMessages()
			p := &publisher{form: rendering.Form, encoded: encoded}
			b.SetBytes(int64(len(e.DataEncoded)))
			b.ReportAllocs()
			for b.Loop() {
				m, err := p.message(e, "orders", published)
				if err != nil {
					b.Fatal(err)
				}
				if _, err := codec.Marshal(m); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}
