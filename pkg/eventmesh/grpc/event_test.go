package grpc

import (
	"maps"
	"math"
	"strings"
	"testing"
	"time"

	"github.com/cloudevents/sdk-go/v2/event"
	"github.com/cloudevents/sdk-go/v2/types"
	"google.golang.org/grpc/mem"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/known/timestamppb"

	"github.com/eventing-eventmesh/eventing-eventmesh/pkg/eventmesh/eventmeshtest/contract"
	pb "github.com/eventing-eventmesh/eventing-eventmesh/pkg/eventmesh/grpc/eventmeshpb"
	"github.com/eventing-eventmesh/eventing-eventmesh/pkg/eventmesh/internal/wire"
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
	carried, err := proto.Marshal(m)
	if err != nil {
		b.Fatal(err)
	}
	return carried
}

// TestWhatDecodeLeavesOutIsNotMissed compares with the events of whole messages.
func TestWhatDecodeLeavesOutIsNotMissed(t *testing.T) {
	messages := map[string]*pb.CloudEvent{}
	for _, c := range contract.Events() {
		carried, err := wire.Encode(c.Event, "orders", wire.NativeForm)
		if err != nil {
			t.Fatal(err)
		}
		encoded, err := encode(carried, 0)
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
		all["protocoltype"], all["uniqueid"] = text(wire.MessageProtocol), text(id)
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
			want, _, err := wire.Decode(whole)
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
			carried, err := fromProto(needed)
			if err != nil {
				t.Fatal(err)
			}
			got, topic, err := wire.Decode(carried)
			if err != nil || topic != "orders" {
				t.Fatalf("got topic %q, %v", topic, err)
			}
			if diff := contract.Difference(got, want); diff != "" {
				t.Error(diff)
			}
		})
	}
}

// TestDeliveriesOfOthers: events of other publishers come whole, or as a delivery without an event; never as one that nobody could write.
func TestDeliveriesOfOthers(t *testing.T) {
	uri := func(s string) *pb.CloudEvent_AttributeValue {
		return &pb.CloudEvent_AttributeValue{Attr: &pb.CloudEvent_AttributeValue_CeUri{CeUri: s}}
	}
	at := func(seconds int64) *pb.CloudEvent_AttributeValue {
		return &pb.CloudEvent_AttributeValue{Attr: &pb.CloudEvent_AttributeValue_CeTimestamp{CeTimestamp: &timestamppb.Timestamp{Seconds: seconds}}}
	}
	const first, last = -62135596800, 253402300799 // of the years 1 to 9999
	for name, c := range map[string]struct {
		attribute string
		value     *pb.CloudEvent_AttributeValue
		want      string // its text, where there is an event
	}{
		"no URI":               {"link", uri("http://[bad"), "http://[bad"},
		"URI that is empty":    {"link", uri(""), ""},
		"URI in upper case":    {"link", uri("HTTP://A#"), "HTTP://A#"},
		"line break":           {"note", text("a\nb"), "a\nb"},
		"no value":             {"note", &pb.CloudEvent_AttributeValue{}, ""},
		"subject of no value":  {"subject", &pb.CloudEvent_AttributeValue{}, ""},
		"first time":           {"due", at(first), "0001-01-01T00:00:00Z"},
		"last time":            {"due", at(last), "9999-12-31T23:59:59Z"},
		"year 0":               {"due", at(first - 1), "none"},
		"year 10000":           {"due", at(last + 1), "none"},
		"no year":              {"due", at(math.MaxInt64), "none"},
		"time in year 10000":   {"time", at(last + 1), "none"},
		"time of text":         {"time", text("9999-12-31T23:59:59-05:00"), "none"},
		"integer called data":  {"data", integer(5), "none"},
		"text called data":     {"data", text("x"), "none"},
		"text called id":       {"id", text("x"), "none"},
		"text called version":  {"specversion", text("1.0"), "none"},
		"text called DATA":     {"DATA", text("x"), "none"},
		"name with underscore": {"data_base64", text("AA=="), "none"},
	} {
		t.Run(name, func(t *testing.T) {
			m := &pb.CloudEvent{
				Id: "1", Source: "HTTP://ä#", SpecVersion: "1.0", Type: "t", Data: &pb.CloudEvent_TextData{TextData: "x"},
				Attributes: attributes{"datacontenttype": text("text/plain"), c.attribute: c.value},
			}
			carried, err := fromProto(m)
			var e event.Event
			if err == nil {
				e, _, err = wire.Decode(carried)
			}
			if c.want == "none" {
				if err == nil {
					t.Errorf("got %s, want none", e)
				}
				return
			}
			if err != nil {
				t.Fatal(err)
			}
			var got string
			if value, ok := e.Extensions()[c.attribute]; ok {
				got, err = types.Format(value)
			}
			if err != nil || got != c.want || e.Source() != "HTTP://ä#" {
				t.Errorf("got %q, %v, of source %s; want %q", got, err, e.Source(), c.want)
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
