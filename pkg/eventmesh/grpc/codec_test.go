package grpc

import (
	"bytes"
	"errors"
	"slices"
	"testing"

	"google.golang.org/grpc/mem"
	"google.golang.org/protobuf/encoding/protowire"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/known/anypb"

	pb "github.com/eventing-eventmesh/eventing-eventmesh/pkg/eventmesh/grpc/eventmeshpb"
)

// field encodes a field of bytes.
func field(number protowire.Number, value []byte) []byte {
	return protowire.AppendBytes(protowire.AppendTag(nil, number, protowire.BytesType), value)
}

// attribute encodes an entry of the map of attributes.
func attributeField(name, value string) []byte {
	return field(fieldAttributes, slices.Concat(field(fieldKey, []byte(name)), field(fieldValue, field(3, []byte(value)))))
}

func TestDeliveriesLeaveOut(t *testing.T) {
	valueFirst := field(fieldAttributes, slices.Concat(field(fieldValue, field(3, []byte("1"))), field(fieldKey, []byte("ip"))))
	for name, test := range map[string]struct {
		wire [][]byte
		want *pb.CloudEvent // nil: an error
	}{
		"what EventMesh adds": {
			[][]byte{field(1, []byte("7")), attributeField("ip", "1"), attributeField("own", "2"), attributeField("storehost", "3")},
			&pb.CloudEvent{Id: "7", Attributes: attributes{"own": text("2")}},
		},
		"nothing by which it talks to the client": {
			[][]byte{attributeField("statuscode", "0"), attributeField("responsemessage", "success"), attributeField("submessagetype", "x"), attributeField("protocoltype", "cloudevents")},
			&pb.CloudEvent{Attributes: attributes{
				"statuscode": text("0"), "responsemessage": text("success"), "submessagetype": text("x"), "protocoltype": text("cloudevents"),
			}},
		},
		"nothing of its own messages": {
			[][]byte{attributeField("ip", "1"), attributeField("protocoltype", "eventmeshmessage"), attributeField("ttl", "2")},
			&pb.CloudEvent{Attributes: attributes{"ip": text("1"), "protocoltype": text("eventmeshmessage"), "ttl": text("2")}},
		},
		"no entry that begins with its value": {[][]byte{valueFirst}, &pb.CloudEvent{Attributes: attributes{"ip": text("1")}}},
		"text, which comes as bytes": {
			[][]byte{field(fieldTextData, []byte("\xff, no UTF-8"))},
			&pb.CloudEvent{Data: &pb.CloudEvent_BinaryData{BinaryData: []byte("\xff, no UTF-8")}},
		},
		"no data but the last": {
			[][]byte{field(fieldTextData, []byte("text")), field(fieldBinaryData, []byte("bytes"))},
			&pb.CloudEvent{Data: &pb.CloudEvent_BinaryData{BinaryData: []byte("bytes")}},
		},
		"no data but the last, though it is a message": {
			[][]byte{field(fieldTextData, []byte("text")), field(fieldProtoData, field(1, []byte("type")))},
			&pb.CloudEvent{Data: &pb.CloudEvent_ProtoData{ProtoData: &anypb.Any{TypeUrl: "type"}}},
		},
		"no empty data": {
			[][]byte{field(fieldProtoData, field(1, []byte("type"))), field(fieldTextData, nil)},
			&pb.CloudEvent{Data: &pb.CloudEvent_BinaryData{BinaryData: []byte{}}},
		},
		"no unknown field": {
			[][]byte{field(99, []byte("x"))},
			func() *pb.CloudEvent {
				m := &pb.CloudEvent{}
				m.ProtoReflect().SetUnknown(field(99, []byte("x")))
				return m
			}(),
		},
		"a field that is cut off":      {[][]byte{attributeField("own", "1")[:5]}, nil},
		"a tag that is cut off":        {[][]byte{{0x80}}, nil},
		"a name that is not UTF-8":     {[][]byte{attributeField("\xff", "1")}, nil},
		"an attribute that is cut off": {[][]byte{field(fieldAttributes, []byte{0x0a, 0x7f})}, nil},
	} {
		t.Run(name, func(t *testing.T) {
			got := &pb.CloudEvent{}
			err := newDeliveries().Unmarshal(mem.BufferSlice{mem.SliceBuffer(slices.Concat(test.wire...))}, got)
			if test.want == nil {
				if err == nil {
					t.Errorf("got %v, want an error", got)
				}
				return
			}
			if err != nil || !proto.Equal(got, test.want) {
				t.Errorf("got %v, %v, want %v", got, err, test.want)
			}
		})
	}
}

// TestDeliveriesReuseTheirBuffer, unless it is large; what was decoded before stays as it is.
func TestDeliveriesReuseTheirBuffer(t *testing.T) {
	codec := newDeliveries()
	values := [][]byte{bytes.Repeat([]byte("a"), 10), bytes.Repeat([]byte("b"), 10), bytes.Repeat([]byte("c"), 2*maxKeptBuffer)}
	got := make([]pb.CloudEvent, len(values))
	for i, value := range values {
		wire := slices.Concat(field(fieldID, value), field(fieldBinaryData, value))
		if err := codec.Unmarshal(mem.BufferSlice{mem.SliceBuffer(wire)}, &got[i]); err != nil {
			t.Fatal(err)
		}
		clear(wire)
		if kept := codec.buffer != nil; kept != (len(value) < maxKeptBuffer) {
			t.Errorf("after an ID of %d bytes: a buffer of %d bytes is kept", len(value), cap(codec.buffer))
		}
	}
	for i, value := range values {
		if got[i].GetId() != string(value) || !bytes.Equal(got[i].GetBinaryData(), value) {
			t.Errorf("got %.20q and %.20q, want %.20q", got[i].GetId(), got[i].GetBinaryData(), value)
		}
	}
}

func TestUndecodableHasNoCredentials(t *testing.T) {
	const secret = "secret-4711"
	d := undecodable(&pb.CloudEvent{Id: "7", Attributes: attributes{
		"subject": text("orders"), "username": text(secret), "passwd": text(secret), "own": text("kept"),
	}}, errors.New("no event"))
	if d.Topic != "orders" || bytes.Contains(d.Raw, []byte(secret)) || !bytes.Contains(d.Raw, []byte("kept")) {
		t.Errorf("got topic %q and %q", d.Topic, d.Raw)
	}
}
