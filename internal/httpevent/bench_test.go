package httpevent_test

import (
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/cloudevents/sdk-go/v2/binding"
	"github.com/cloudevents/sdk-go/v2/event"
	cehttp "github.com/cloudevents/sdk-go/v2/protocol/http"

	"github.com/eventing-eventmesh/eventing-eventmesh/internal/httpevent"
)

// BenchmarkWrite is what putting an event of 1 KB into a request costs, beside the SDK, which makes headers of what does not fit in them.
func BenchmarkWrite(b *testing.B) {
	e := event.New()
	e.SetID("1")
	e.SetSource("/shop")
	e.SetType("order.placed")
	e.SetSubject("order/4711")
	e.SetTime(time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC))
	e.SetDataContentType("application/json")
	e.SetExtension("eventmeshtopic", "orders")
	e.SetExtension("traceparent", "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01")
	e.DataEncoded = []byte(`{"text":"` + strings.Repeat("x", 1000) + `"}`)
	b.Run("ours", func(b *testing.B) {
		b.ReportAllocs()
		for b.Loop() {
			if _, err := httpevent.Write(http.Header{}, e, httpevent.Auto); err != nil {
				b.Fatal(err)
			}
		}
	})
	b.Run("library", func(b *testing.B) {
		b.ReportAllocs()
		for b.Loop() {
			request := &http.Request{Header: http.Header{}}
			if err := cehttp.WriteRequest(b.Context(), (*binding.EventMessage)(&e), request); err != nil {
				b.Fatal(err)
			}
		}
	})
}
