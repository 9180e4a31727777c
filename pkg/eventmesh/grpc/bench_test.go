package grpc

import (
	"maps"
	"strings"
	"testing"
	"time"

	"github.com/cloudevents/sdk-go/v2/event"
	"github.com/cloudevents/sdk-go/v2/types"
	"google.golang.org/grpc/encoding"
	"google.golang.org/grpc/mem"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/known/timestamppb"

	"github.com/eventing-eventmesh/eventing-eventmesh/pkg/eventmesh"
	pb "github.com/eventing-eventmesh/eventing-eventmesh/pkg/eventmesh/grpc/eventmeshpb"
	"github.com/eventing-eventmesh/eventing-eventmesh/pkg/eventmesh/internal/wire"
	"github.com/eventing-eventmesh/eventing-eventmesh/pkg/eventmesh/tcp"
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

// BenchmarkEncode is what an event costs on its way to the bytes of a gRPC message, beside the same with the generated code.
func BenchmarkEncode(b *testing.B) {
	e := benchmarked()
	for _, to := range []eventmesh.Transport{Transport{}, tcp.Transport{}} {
		rendering := to.Traits().Rendering
		client := publisherAttributes(eventmesh.Client{
			IP: "10.1.2.3", PID: 4711, Group: "eventmesh-sink", Env: "PRD", IDC: "DEFAULT", Subsystem: "0000",
			Credentials: eventmesh.Credentials{Username: "anonymous", Password: "anonymous"}, Rendering: rendering,
		})
		encoded, err := encodeAttributes(client)
		if err != nil {
			b.Fatal(err)
		}
		p := &publisher{form: rendering.Form, client: client, encoded: encoded}
		measure(b, "ours/for "+to.Traits().Scheme, func() error {
			m, err := p.message(e, "orders", 0)
			if err == nil {
				_, err = newMessages().Marshal(m)
			}
			return err
		})
		measure(b, "library/for "+to.Traits().Scheme, func() error {
			m, err := generated(p, e, "orders", published)
			if err == nil {
				_, err = encoding.GetCodecV2("proto").Marshal(m)
			}
			return err
		})
	}
}

// measure runs a function that costs what is to be compared.
func measure(b *testing.B, name string, f func() error) {
	b.Helper()
	b.Run(name, func(b *testing.B) {
		b.ReportAllocs()
		for b.Loop() {
			if err := f(); err != nil {
				b.Fatal(err)
			}
		}
	})
}

// generated is publisher.message with the generated code.
func generated(p *publisher, e event.Event, topic, ttl string) (*pb.CloudEvent, error) {
	carried, err := wire.Encode(e, topic, p.form)
	if err != nil {
		return nil, err
	}
	c := carried.Context.(*event.EventContextV1)
	id := text(unique())
	m := &pb.CloudEvent{
		Id: c.ID, Source: c.Source.String(), SpecVersion: event.CloudEventsVersionV1, Type: c.Type,
		Attributes: attributes{
			"subject": text(*c.Subject), keyContentType: text(*c.DataContentType), "uniqueid": id, "seqnum": id, "ttl": text(ttl),
			"time": {Attr: &pb.CloudEvent_AttributeValue_CeTimestamp{CeTimestamp: timestamppb.New(c.Time.Time)}},
		},
		Data: &pb.CloudEvent_TextData{TextData: string(carried.DataEncoded)},
	}
	for name, value := range c.Extensions {
		s, err := types.Format(value)
		if err != nil {
			return nil, err
		}
		m.Attributes[name] = text(s)
	}
	maps.Copy(m.Attributes, p.client)
	return m, nil
}

// BenchmarkAnswer is what reading the confirmation of an event costs, beside the generated code.
func BenchmarkAnswer(b *testing.B) {
	answer := control(clientAttributes(eventmesh.Client{IP: "10.1.2.3", Group: "g"}), "", attributes{keyStatus: text("0"), keyMessage: text("success")})
	wire, err := proto.Marshal(answer)
	if err != nil {
		b.Fatal(err)
	}
	encoded := mem.BufferSlice{mem.SliceBuffer(wire)}
	measure(b, "ours", func() error {
		var o outcome
		err := newMessages().Unmarshal(encoded, &o)
		return check(o, err)
	})
	measure(b, "library", func() error {
		m := &pb.CloudEvent{}
		err := encoding.GetCodecV2("proto").Unmarshal(encoded, m)
		return check(outcomeOf(m), err)
	})
}

// BenchmarkDecode is what an event costs between the stream and the receiver, beside the same with the generated code.
func BenchmarkDecode(b *testing.B) {
	encoded := mem.BufferSlice{mem.SliceBuffer(delivered(b))}
	for name, codec := range map[string]encoding.CodecV2{"ours": newDeliveries(), "library": encoding.GetCodecV2("proto")} {
		measure(b, name, func() error {
			m := &pb.CloudEvent{}
			if err := codec.Unmarshal(encoded, m); err != nil {
				return err
			}
			carried, err := fromProto(m)
			if err == nil {
				_, _, err = wire.Decode(carried)
			}
			return err
		})
	}
}
