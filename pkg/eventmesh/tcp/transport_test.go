package tcp

import (
	"bufio"
	"bytes"
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/cloudevents/sdk-go/v2/event"

	"github.com/eventing-eventmesh/eventing-eventmesh/pkg/eventmesh"
	"github.com/eventing-eventmesh/eventing-eventmesh/pkg/eventmesh/internal/wire"
	"github.com/eventing-eventmesh/eventing-eventmesh/pkg/eventmesh/tcp/frame"
)

func TestKindOf(t *testing.T) {
	for description, want := range map[string]error{
		"java.lang.Exception: event size exceeds the limit: 1000": eventmesh.ErrTooLarge,
		"Tps overload, global flow control":                       eventmesh.ErrRateLimited,
		"java.lang.Exception: SEND_TOO_FAST":                      eventmesh.ErrRateLimited,
		"org.apache.eventmesh.api.exception.AclException: no":     eventmesh.ErrUnauthorized,
		"java.lang.NullPointerException":                          eventmesh.ErrRefused,
		"":                                                        eventmesh.ErrRefused,

		"StorageRuntimeException: Send message error, topic: permissions":        eventmesh.ErrNoSubscriber,
		"StorageRuntimeException: Send message error, topic: Acl-overload":       eventmesh.ErrNoSubscriber,
		"StorageRuntimeException: Send message error, topic: SEND_TOO_FAST-size": eventmesh.ErrNoSubscriber,
	} {
		if got := kindOf(description); !errors.Is(got, want) {
			t.Errorf("%q: got %v, want %v", description, got, want)
		}
	}
}

// delivered is a frame with 1 KB of data, as EventMesh delivers it.
func delivered(b *testing.B) []byte {
	b.Helper()
	e := event.New()
	e.SetID("17")
	e.SetSource("https://shop.example/orders?x=1")
	e.SetType("order.placed")
	e.SetSubject("order/17")
	e.SetTime(time.Date(2026, 1, 2, 3, 4, 5, 678_000_000, time.UTC))
	e.SetExtension("region", "eu")
	e.SetExtension("partitionkey", "customer-4711")
	e.SetDataContentType("application/json")
	e.DataEncoded = []byte(`{"text":"` + strings.Repeat("x", 1000) + `"}`)
	carried, err := wire.Encode(e, "orders", wire.JSONForm)
	if err != nil {
		b.Fatal(err)
	}
	for _, name := range []string{
		"ttl", "protocoltype", "protocolversion", "protocoldesc", "reqc2eventmeshtimestamp", "reqeventmesh2mqtimestamp",
		"reqmq2eventmeshtimestamp", "reqeventmesh2ctimestamp", "reqreceiveeventmeship", "rsp0sys", "rsp0group", "rsp0idc", "rsp0ip",
	} {
		carried.SetExtension(name, "EventMesh's own")
	}
	body, err := marshalEvent(carried)
	if err != nil {
		b.Fatal(err)
	}
	header := frame.Header{Command: frame.AsyncMessageToClient, Sequence: "17", Properties: map[string]any{"protocoltype": "cloudevents"}}
	encoded, err := frame.Append(nil, frame.Frame{Header: header, Body: body})
	if err != nil {
		b.Fatal(err)
	}
	return encoded
}

// BenchmarkDecode is what an event costs between the connection and the receiver: the frame, and what it means.
func BenchmarkDecode(b *testing.B) {
	encoded := delivered(b)
	for _, part := range []string{"frame", "frame and event"} {
		b.Run(part, func(b *testing.B) {
			b.ReportAllocs()
			source := bytes.NewReader(nil)
			reader := bufio.NewReaderSize(source, 64<<10)
			for b.Loop() {
				source.Reset(encoded)
				reader.Reset(source)
				f, err := frame.Read(reader)
				if err != nil {
					b.Fatal(err)
				}
				if part == "frame" {
					continue
				}
				carried, err := decode(f)
				if err != nil {
					b.Fatal(err)
				}
				if _, _, err := wire.Decode(carried); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}
