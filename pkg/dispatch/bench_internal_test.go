package dispatch

import (
	"net/url"
	"strings"
	"testing"

	"github.com/cloudevents/sdk-go/v2/event"
)

// benchmarkedEvent has 1 KB of data.
func benchmarkedEvent(b *testing.B) event.Event {
	b.Helper()
	e := event.New()
	e.SetID("benchmark")
	e.SetSource("https://shop.example/orders?x=1")
	e.SetType("order.placed")
	e.SetSubject("order/1")
	e.SetExtension("region", "eu")
	e.SetExtension("eventmeshtopic", "orders")
	if err := e.SetData("text/plain", strings.Repeat("x", 1000)); err != nil {
		b.Fatal(err)
	}
	return e
}

// BenchmarkRequest is what it costs to make a request of an event, without sending it.
func BenchmarkRequest(b *testing.B) {
	d, e := NewHTTP(HTTPOptions{URL: &url.URL{Scheme: "http", Host: "sink.example"}}), benchmarkedEvent(b)
	b.ReportAllocs()
	for b.Loop() {
		if _, err := d.request(b.Context(), e); err != nil {
			b.Fatal(err)
		}
	}
}

// BenchmarkRecord is what a spool costs before the disk: writing the record of an event.
func BenchmarkRecord(b *testing.B) {
	m := &Message{Event: benchmarkedEvent(b), Topic: "orders"}
	b.ReportAllocs()
	for b.Loop() {
		if _, err := encodeRecord(m); err != nil {
			b.Fatal(err)
		}
	}
}
