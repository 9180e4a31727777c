package grpc

import (
	"errors"
	"net/url"
	"strings"
	"testing"
	"time"

	"github.com/cloudevents/sdk-go/v2/event"
	"github.com/cloudevents/sdk-go/v2/types"
	"google.golang.org/grpc/mem"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/known/timestamppb"

	"github.com/eventing-eventmesh/eventing-eventmesh/pkg/eventmesh"
	pb "github.com/eventing-eventmesh/eventing-eventmesh/pkg/eventmesh/grpc/eventmeshpb"
)

// TestEncode compares with what the generated code makes of it.
func TestEncode(t *testing.T) {
	long := strings.Repeat("x", 300) // whose length takes two bytes
	at := time.Date(2026, 1, 2, 3, 4, 5, 678, time.UTC)
	early := time.Date(1, 1, 1, 0, 0, 0, 0, time.UTC)
	uri := url.URL{Scheme: "https", Host: "x", Path: "/" + long}
	stamp := func(t time.Time) *pb.CloudEvent_AttributeValue {
		return &pb.CloudEvent_AttributeValue{Attr: &pb.CloudEvent_AttributeValue_CeTimestamp{CeTimestamp: timestamppb.New(t)}}
	}
	ofURI := &pb.CloudEvent_AttributeValue{Attr: &pb.CloudEvent_AttributeValue_CeUri{CeUri: uri.String()}}
	one, empty := "one", ""
	for name, test := range map[string]struct {
		context event.EventContextV1
		data    []byte
		want    *pb.CloudEvent
	}{
		"the least": {
			event.EventContextV1{}, nil,
			&pb.CloudEvent{Data: &pb.CloudEvent_BinaryData{}},
		},
		"all attributes": {
			event.EventContextV1{
				ID: "1", Source: types.URIRef{URL: uri}, Type: long, Subject: &one, DataContentType: &empty,
				Time: &types.Timestamp{Time: at}, DataSchema: &types.URI{URL: uri},
			},
			[]byte(long),
			&pb.CloudEvent{
				Id: "1", Source: uri.String(), Type: long,
				Attributes: attributes{"subject": text(one), "datacontenttype": text(""), "time": stamp(at), "dataschema": ofURI},
				Data:       &pb.CloudEvent_BinaryData{BinaryData: []byte(long)},
			},
		},
		"text": {
			event.EventContextV1{DataContentType: event.StringOfApplicationJSON()}, []byte("{}"),
			&pb.CloudEvent{Attributes: attributes{"datacontenttype": text("application/json")}, Data: &pb.CloudEvent_TextData{TextData: "{}"}},
		},
		"extensions of all types": {
			event.EventContextV1{Extensions: map[string]any{
				"s": "x", "none": "", "long": long, "yes": true, "no": false, "zero": int32(0), "most": int32(1<<31 - 1), "least": int32(-1 << 31),
				"bytes": []byte(long), "uri": types.URI{URL: uri}, "ref": types.URIRef{URL: uri}, "time": types.Timestamp{Time: early}, "int": 5,
			}}, nil,
			&pb.CloudEvent{
				Attributes: attributes{
					"s": text("x"), "none": text(""), "long": text(long), "zero": integer(0), "most": integer(1<<31 - 1), "least": integer(-1 << 31),
					"yes":   {Attr: &pb.CloudEvent_AttributeValue_CeBoolean{CeBoolean: true}},
					"no":    {Attr: &pb.CloudEvent_AttributeValue_CeBoolean{}},
					"bytes": {Attr: &pb.CloudEvent_AttributeValue_CeBytes{CeBytes: []byte(long)}},
					"uri":   ofURI,
					"ref":   {Attr: &pb.CloudEvent_AttributeValue_CeUriRef{CeUriRef: uri.String()}},
					"time":  stamp(early), "int": integer(5),
				},
				Data: &pb.CloudEvent_BinaryData{},
			},
		},
	} {
		t.Run(name, func(t *testing.T) {
			test.want.SpecVersion = "1.0"
			m, err := encode(event.Event{Context: &test.context, DataEncoded: test.data}, 0)
			if err != nil {
				t.Fatal(err)
			}
			got := &pb.CloudEvent{}
			if err := proto.Unmarshal(m, got); err != nil || !proto.Equal(got, test.want) {
				t.Errorf("got %v, %v, want %v", got, err, test.want)
			}
		})
	}
}

func TestEncodeRefuses(t *testing.T) {
	for name, c := range map[string]event.EventContext{
		"another version":                &event.EventContextV03{},
		"a value of no CloudEvents type": &event.EventContextV1{Extensions: map[string]any{"x": []string{}}},
	} {
		if _, err := encode(event.Event{Context: c}, 0); !errors.Is(err, eventmesh.ErrInvalidEvent) {
			t.Errorf("%s: got %v, want %v", name, err, eventmesh.ErrInvalidEvent)
		}
	}
}

// FuzzOutcome compares with what the generated code reads of an answer.
func FuzzOutcome(f *testing.F) {
	for _, m := range []*pb.CloudEvent{
		{},
		{Id: "1", SpecVersion: "1.0", Attributes: attributes{"statuscode": text("0"), "responsemessage": text("success")}},
		{Attributes: attributes{"statuscode": text("14"), "responsemessage": text("no"), "time": {}}, Data: &pb.CloudEvent_TextData{TextData: "x"}},
		{Attributes: attributes{"statuscode": integer(5), "": text("x")}, Data: &pb.CloudEvent_BinaryData{}},
	} {
		wire, err := proto.Marshal(m)
		if err != nil {
			f.Fatal(err)
		}
		f.Add(wire)
	}
	f.Fuzz(func(t *testing.T, wire []byte) {
		var got outcome
		_ = newMessages().Unmarshal(mem.BufferSlice{mem.SliceBuffer(wire)}, &got) // must not panic
		m := &pb.CloudEvent{}
		if proto.Unmarshal(wire, m) != nil {
			return
		}
		wire, err := proto.Marshal(m) // as an encoder writes it: no field twice
		if err != nil {
			t.Fatal(err)
		}
		got = outcome{}
		err = newMessages().Unmarshal(mem.BufferSlice{mem.SliceBuffer(wire)}, &got)
		if want := outcomeOf(m); err != nil || got != want {
			t.Errorf("of %x got %+v, %v, want %+v", wire, got, err, want)
		}
	})
}
