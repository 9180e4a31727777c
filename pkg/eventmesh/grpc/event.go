package grpc

import (
	"fmt"

	"github.com/cloudevents/sdk-go/v2/event"
	"github.com/cloudevents/sdk-go/v2/types"
	"google.golang.org/protobuf/proto"

	pb "github.com/eventing-eventmesh/eventing-eventmesh/pkg/eventmesh/grpc/eventmeshpb"
)

type attributes = map[string]*pb.CloudEvent_AttributeValue

// fromProto returns the event in a message as it is, with all that EventMesh has added.
func fromProto(m *pb.CloudEvent) (event.Event, error) {
	c := event.EventContextV1{ID: m.GetId(), Type: m.GetType()}
	e := event.Event{Context: &c}
	if err := c.SetSource(m.GetSource()); err != nil {
		return e, fmt.Errorf("source: %w", err)
	}
	for name, value := range m.GetAttributes() {
		if name == "" { // which EventMesh lets pass
			continue
		}
		if err := setAttribute(&c, name, fromValue(value)); err != nil {
			return e, fmt.Errorf("attribute %s: %w", name, err)
		}
	}
	switch data := m.GetData().(type) {
	case *pb.CloudEvent_BinaryData:
		e.DataEncoded = data.BinaryData
	case *pb.CloudEvent_TextData:
		e.DataEncoded = []byte(data.TextData)
	case *pb.CloudEvent_ProtoData:
		b, err := proto.Marshal(data.ProtoData)
		if err != nil {
			return e, fmt.Errorf("data: %w", err)
		}
		e.DataEncoded = b
	}
	return e, nil
}

func setAttribute(c *event.EventContextV1, name string, value any) error {
	switch name {
	case "time":
		t, err := types.ToTime(value)
		if err != nil {
			return err
		}
		return c.SetTime(t)
	case "subject", "datacontenttype", "dataschema":
		s, err := types.Format(value)
		if err != nil {
			return err
		}
		switch name {
		case "subject":
			return c.SetSubject(s)
		case "datacontenttype":
			return c.SetDataContentType(s)
		default:
			return c.SetDataSchema(s)
		}
	default:
		return c.SetExtension(name, value)
	}
}

// fromValue returns nil for a value of no known type.
func fromValue(v *pb.CloudEvent_AttributeValue) any {
	switch value := v.GetAttr().(type) {
	case *pb.CloudEvent_AttributeValue_CeBoolean:
		return value.CeBoolean
	case *pb.CloudEvent_AttributeValue_CeInteger:
		return value.CeInteger
	case *pb.CloudEvent_AttributeValue_CeString:
		return value.CeString
	case *pb.CloudEvent_AttributeValue_CeBytes:
		return value.CeBytes
	case *pb.CloudEvent_AttributeValue_CeUri:
		return types.ParseURI(value.CeUri)
	case *pb.CloudEvent_AttributeValue_CeUriRef:
		return types.ParseURIRef(value.CeUriRef)
	case *pb.CloudEvent_AttributeValue_CeTimestamp:
		return value.CeTimestamp.AsTime()
	default:
		return nil
	}
}

func text(s string) *pb.CloudEvent_AttributeValue {
	return &pb.CloudEvent_AttributeValue{Attr: &pb.CloudEvent_AttributeValue_CeString{CeString: s}}
}

func integer(i int32) *pb.CloudEvent_AttributeValue {
	return &pb.CloudEvent_AttributeValue{Attr: &pb.CloudEvent_AttributeValue_CeInteger{CeInteger: i}}
}
