package grpc

import (
	"fmt"
	"strings"

	"github.com/cloudevents/sdk-go/v2/event"
	"github.com/cloudevents/sdk-go/v2/types"
	"google.golang.org/protobuf/proto"

	"github.com/eventing-eventmesh/eventing-eventmesh/internal/attribute"
	pb "github.com/eventing-eventmesh/eventing-eventmesh/pkg/eventmesh/grpc/eventmeshpb"
)

type attributes = map[string]*pb.CloudEvent_AttributeValue

// fromProto returns the event in a message as it is, with all that EventMesh has added.
func fromProto(m *pb.CloudEvent) (event.Event, error) {
	source, _ := attribute.URI(m.GetSource())
	c := event.EventContextV1{ID: m.GetId(), Source: types.URIRef{URL: source}, Type: m.GetType()}
	e := event.Event{Context: &c}
	bridged := isBridged(m)
	for name, value := range m.GetAttributes() {
		v, err := fromValue(value)
		if name == "" || v == nil { // which EventMesh lets pass
			continue
		}
		if bridged {
			if isBridges(name) {
				continue
			}
			v = withSeconds(name, v)
		}
		if err == nil {
			err = setAttribute(&c, name, v)
		}
		if err != nil {
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

// setAttribute sets an attribute of any type, as it is: the SDK's own setters change some texts, and leave out the year 1.
func setAttribute(c *event.EventContextV1, name string, value any) error {
	switch name {
	case "time":
		t, err := types.ToTime(value)
		if err != nil {
			return err
		}
		c.Time = &types.Timestamp{Time: t}
		return nil
	case keySubject, "datacontenttype", "dataschema":
		s, err := types.Format(value)
		if err != nil {
			return err
		}
		if strings.TrimSpace(s) == "" { // which no event has
			return nil
		}
		switch name {
		case keySubject:
			c.Subject = &s
		case "datacontenttype":
			c.DataContentType = &s
		default:
			schema, _ := attribute.URI(s)
			c.DataSchema = &types.URI{URL: schema}
		}
		return nil
	default:
		return c.SetExtension(name, value)
	}
}

// fromValue returns nil for a value of no known type. The error is a time that Protobuf does not have, though its bytes do.
func fromValue(v *pb.CloudEvent_AttributeValue) (any, error) {
	switch value := v.GetAttr().(type) {
	case *pb.CloudEvent_AttributeValue_CeBoolean:
		return value.CeBoolean, nil
	case *pb.CloudEvent_AttributeValue_CeInteger:
		return value.CeInteger, nil
	case *pb.CloudEvent_AttributeValue_CeString:
		return value.CeString, nil
	case *pb.CloudEvent_AttributeValue_CeBytes:
		return value.CeBytes, nil
	case *pb.CloudEvent_AttributeValue_CeUri:
		uri, _ := attribute.URI(value.CeUri)
		return types.URI{URL: uri}, nil
	case *pb.CloudEvent_AttributeValue_CeUriRef:
		uri, _ := attribute.URI(value.CeUriRef)
		return types.URIRef{URL: uri}, nil
	case *pb.CloudEvent_AttributeValue_CeTimestamp:
		return value.CeTimestamp.AsTime(), value.CeTimestamp.CheckValid()
	default:
		return nil, nil
	}
}

func text(s string) *pb.CloudEvent_AttributeValue {
	return &pb.CloudEvent_AttributeValue{Attr: &pb.CloudEvent_AttributeValue_CeString{CeString: s}}
}

func integer(i int32) *pb.CloudEvent_AttributeValue {
	return &pb.CloudEvent_AttributeValue{Attr: &pb.CloudEvent_AttributeValue_CeInteger{CeInteger: i}}
}
