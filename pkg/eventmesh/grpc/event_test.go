package grpc

import (
	"maps"
	"strings"
	"testing"
	"time"

	"google.golang.org/grpc/encoding"
	"google.golang.org/grpc/mem"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/known/timestamppb"

	"github.com/eventing-eventmesh/eventing-eventmesh/pkg/eventmesh"
	"github.com/eventing-eventmesh/eventing-eventmesh/pkg/eventmesh/eventmeshtest/contract"
	pb "github.com/eventing-eventmesh/eventing-eventmesh/pkg/eventmesh/grpc/eventmeshpb"
)

// delivered is a message with 1 KB of data, as EventMesh delivers it.
func delivered(b *testing.B) []byte {
	b.Helper()
	m := &pb.CloudEvent{
		Id: "17", Source: "https://shop.example/orders?x=1", SpecVersion: "1.0", Type: "order.placed",
		Attributes: attributes{
			"subject": text("orders"), "emxsubject": text("order/17"), "datacontenttype": text("application/json"),
			"time":   {Attr: &pb.CloudEvent_AttributeValue_CeTimestamp{CeTimestamp: timestamppb.New(time.Unix(1767323045, 678_000_000))}},
			"region": text("eu"), "partitionkey": text("customer-4711"),
		},
		Data: &pb.CloudEvent_TextData{TextData: `{"text":"` + strings.Repeat("x", 1000) + `"}`},
	}
	maps.Copy(m.Attributes, added())
	wire, err := proto.Marshal(m)
	if err != nil {
		b.Fatal(err)
	}
	return wire
}

// TestWhatDecodeLeavesOutIsNotMissed compares with the events of whole messages.
func TestWhatDecodeLeavesOutIsNotMissed(t *testing.T) {
	messages := map[string]*pb.CloudEvent{}
	for _, c := range contract.Events() {
		wire, err := eventmesh.Encode(c.Event, "orders", eventmesh.NativeForm)
		if err != nil {
			t.Fatal(err)
		}
		encoded, err := encode(wire, 0)
		if err != nil {
			t.Fatal(err)
		}
		messages[c.Name] = &pb.CloudEvent{}
		if err := proto.Unmarshal(encoded, messages[c.Name]); err != nil {
			t.Fatal(err)
		}
		maps.Copy(messages[c.Name].Attributes, added())
	}
	for name, id := range map[string]string{"a message with an id": "7", "a message without one": ""} {
		all := added()
		all["protocoltype"], all["uniqueid"] = text(eventmesh.MessageProtocol), text(id)
		all["subject"], all["Property"] = text("orders"), text("value")
		messages[name] = &pb.CloudEvent{
			Id: "1", Source: "/", SpecVersion: "1.0", Type: "t", Attributes: all, Data: &pb.CloudEvent_TextData{TextData: "content"},
		}
	}
	for name, m := range messages {
		t.Run(name, func(t *testing.T) {
			whole, err := fromProto(m)
			if err != nil {
				t.Fatal(err)
			}
			want, _, err := eventmesh.Decode(whole)
			if err != nil {
				t.Fatal(err)
			}
			encoded, err := proto.Marshal(m)
			if err != nil {
				t.Fatal(err)
			}
			needed := &pb.CloudEvent{}
			if err := newDeliveries().Unmarshal(mem.BufferSlice{mem.SliceBuffer(encoded)}, needed); err != nil {
				t.Fatal(err)
			}
			wire, err := fromProto(needed)
			if err != nil {
				t.Fatal(err)
			}
			got, topic, err := eventmesh.Decode(wire)
			if err != nil || topic != "orders" {
				t.Fatalf("got topic %q, %v", topic, err)
			}
			if diff := contract.Difference(got, want); diff != "" {
				t.Error(diff)
			}
		})
	}
}

// added is what EventMesh and the publisher's client add to an event.
func added() attributes {
	all := attributes{}
	for _, name := range []string{
		"env", "idc", "ip", "pid", "sys", "username", "passwd", "language", "producergroup", "ttl", "uniqueid", "seqnum",
		"protocoltype", "protocolversion", "protocoldesc", "reqmq2eventmeshtimestamp", "reqeventmesh2ctimestamp",
		"reqc2eventmeshtimestamp", "reqeventmesh2mqtimestamp", "reqsendeventmeship",
	} {
		all[name] = text("EventMesh's own")
	}
	return all
}

// BenchmarkDecode is what an event costs between the stream and the receiver, beside the message whole, as any client would take it.
func BenchmarkDecode(b *testing.B) {
	encoded := mem.BufferSlice{mem.SliceBuffer(delivered(b))}
	b.Run("whole message", func(b *testing.B) {
		b.ReportAllocs()
		for b.Loop() {
			if err := encoding.GetCodecV2("proto").Unmarshal(encoded, &pb.CloudEvent{}); err != nil {
				b.Fatal(err)
			}
		}
	})
	b.Run("event", func(b *testing.B) {
		codec := newDeliveries()
		b.ReportAllocs()
		for b.Loop() {
			m := &pb.CloudEvent{}
			if err := codec.Unmarshal(encoded, m); err != nil {
				b.Fatal(err)
			}
			wire, err := fromProto(m)
			if err != nil {
				b.Fatal(err)
			}
			if d := eventmesh.NewDelivery(wire, nil, nil); d.Err != nil {
				b.Fatal(d.Err)
			}
		}
	})
}
