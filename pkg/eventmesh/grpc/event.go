package grpc

import (
	"fmt"
	"maps"

	"github.com/cloudevents/sdk-go/v2/event"
	"github.com/cloudevents/sdk-go/v2/types"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/known/timestamppb"

	"github.com/eventing-eventmesh/eventing-eventmesh/pkg/eventmesh"
	pb "github.com/eventing-eventmesh/eventing-eventmesh/pkg/eventmesh/grpc/eventmeshpb"
)

type attributes = map[string]*pb.CloudEvent_AttributeValue

// toProto puts an encoded event and the client's attributes into one message. None of the event's own extensions has the name of
// an attribute of the client: Encode has renamed those.
func toProto(e event.Event, client attributes) (*pb.CloudEvent, error) {
	c, ok := e.Context.(*event.EventContextV1)
	if !ok {
		return nil, fmt.Errorf("%w: specversion %s is not supported, only 1.0", eventmesh.ErrInvalidEvent, e.SpecVersion())
	}
	m := &pb.CloudEvent{
		Id: c.ID, Source: c.Source.String(), SpecVersion: event.CloudEventsVersionV1, Type: c.Type,
		Attributes: make(attributes, len(client)+len(c.Extensions)+4),
	}
	for name, value := range c.Extensions {
		v, err := toValue(value)
		if err != nil {
			return nil, fmt.Errorf("%w: extension %s: %w", eventmesh.ErrInvalidEvent, name, err)
		}
		m.Attributes[name] = v
	}
	if c.Subject != nil {
		m.Attributes["subject"] = text(*c.Subject)
	}
	if c.Time != nil {
		m.Attributes["time"] = &pb.CloudEvent_AttributeValue{
			Attr: &pb.CloudEvent_AttributeValue_CeTimestamp{CeTimestamp: timestamppb.New(c.Time.Time)},
		}
	}
	if c.DataSchema != nil {
		m.Attributes["dataschema"] = &pb.CloudEvent_AttributeValue{
			Attr: &pb.CloudEvent_AttributeValue_CeUri{CeUri: c.DataSchema.String()},
		}
	}
	maps.Copy(m.Attributes, client)
	contentType := ""
	if c.DataContentType != nil {
		contentType = *c.DataContentType
		m.Attributes["datacontenttype"] = text(contentType)
	}
	if eventmesh.IsText(contentType) {
		m.Data = &pb.CloudEvent_TextData{TextData: string(e.DataEncoded)}
	} else {
		m.Data = &pb.CloudEvent_BinaryData{BinaryData: e.DataEncoded}
	}
	return m, nil
}

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

func toValue(value any) (*pb.CloudEvent_AttributeValue, error) {
	value, err := types.Validate(value)
	if err != nil {
		return nil, err
	}
	v := &pb.CloudEvent_AttributeValue{}
	switch value := value.(type) {
	case bool:
		v.Attr = &pb.CloudEvent_AttributeValue_CeBoolean{CeBoolean: value}
	case int32:
		v.Attr = &pb.CloudEvent_AttributeValue_CeInteger{CeInteger: value}
	case string:
		v.Attr = &pb.CloudEvent_AttributeValue_CeString{CeString: value}
	case []byte:
		v.Attr = &pb.CloudEvent_AttributeValue_CeBytes{CeBytes: value}
	case types.URI:
		v.Attr = &pb.CloudEvent_AttributeValue_CeUri{CeUri: value.String()}
	case types.URIRef:
		v.Attr = &pb.CloudEvent_AttributeValue_CeUriRef{CeUriRef: value.String()}
	case types.Timestamp:
		v.Attr = &pb.CloudEvent_AttributeValue_CeTimestamp{CeTimestamp: timestamppb.New(value.Time)}
	}
	return v, nil
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
