package jsonevent_test

import (
	"encoding/json"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/cloudevents/sdk-go/v2/event"

	"github.com/eventing-eventmesh/eventing-eventmesh/internal/jsonevent"
)

// benchmarked is an event with so many bytes of data, and the extensions that EventMesh adds.
func benchmarked(size int) event.Event {
	e := event.New()
	e.SetID("17")
	e.SetSource("https://shop.example/orders?x=1")
	e.SetType("order.placed")
	e.SetSubject("orders")
	e.SetTime(time.Date(2026, 1, 2, 3, 4, 5, 678_000_000, time.UTC))
	e.SetDataContentType("application/json")
	for i := range 20 {
		e.SetExtension(fmt.Sprintf("extension%d", i), "a value of EventMesh's own")
	}
	e.DataEncoded = []byte(`{"text":"` + strings.Repeat("x", size) + `"}`)
	return e
}

// BenchmarkUnmarshal is what reading an event costs, beside the SDK, which panics at some that are malformed, and tells of less.
func BenchmarkUnmarshal(b *testing.B) {
	strict := func(text []byte, e *event.Event) (err error) {
		*e, err = jsonevent.UnmarshalStrict(text)
		return err
	}
	kept := func(text []byte, e *event.Event) (err error) {
		*e, err = jsonevent.Unmarshal(text, nil)
		return err
	}
	library := func(text []byte, e *event.Event) error { return json.Unmarshal(text, e) }
	for _, size := range []int{1 << 10, 64 << 10} {
		text, err := jsonevent.Append(nil, benchmarked(size))
		if err != nil {
			b.Fatal(err)
		}
		for name, read := range map[string]func([]byte, *event.Event) error{"ours": kept, "ours strictly": strict, "library": library} {
			b.Run(fmt.Sprintf("%s/%d", name, size), func(b *testing.B) {
				b.SetBytes(int64(len(text)))
				b.ReportAllocs()
				for b.Loop() {
					var e event.Event
					if err := read(text, &e); err != nil {
						b.Fatal(err)
					}
				}
			})
		}
	}
}

// BenchmarkAppend is what writing an event costs, beside the SDK.
func BenchmarkAppend(b *testing.B) {
	for _, size := range []int{1 << 10, 64 << 10} {
		e := benchmarked(size)
		var buffer []byte
		ours := func() (err error) {
			buffer, err = jsonevent.Append(buffer[:0], e)
			return err
		}
		library := func() (err error) {
			buffer, err = json.Marshal(e)
			return err
		}
		for name, write := range map[string]func() error{"ours": ours, "library": library} {
			b.Run(fmt.Sprintf("%s/%d", name, size), func(b *testing.B) {
				b.SetBytes(int64(size))
				b.ReportAllocs()
				for b.Loop() {
					if err := write(); err != nil {
						b.Fatal(err)
					}
				}
			})
		}
	}
}
