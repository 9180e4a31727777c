package grpc

import (
	"fmt"

	"github.com/cloudevents/sdk-go/v2/event"
	"github.com/cloudevents/sdk-go/v2/types"
	"google.golang.org/protobuf/encoding/protowire"
	"google.golang.org/protobuf/proto"

	"github.com/eventing-eventmesh/eventing-eventmesh/pkg/eventmesh"
	pb "github.com/eventing-eventmesh/eventing-eventmesh/pkg/eventmesh/grpc/eventmeshpb"
	"github.com/eventing-eventmesh/eventing-eventmesh/pkg/eventmesh/internal/wire"
)

// encoded is a message as it stands on the wire. The generated code would make a map of an event's attributes, of which it makes
// the same bytes. Of two attributes of one name the last is what a receiver gets.
type encoded []byte

// encode returns an event of [wire.Encode] as a message, with room for more attributes.
func encode(e event.Event, more int) (encoded, error) {
	c, ok := e.Context.(*event.EventContextV1)
	if !ok {
		return nil, fmt.Errorf("%w: specversion %s is not supported, only 1.0", eventmesh.ErrInvalidEvent, e.SpecVersion())
	}
	const attributes = 512 // bytes, more than most events have
	m := make(encoded, 0, attributes+more+len(e.DataEncoded))
	m = m.text(fieldID, c.ID).text(fieldSource, c.Source.String()).text(fieldSpecVersion, event.CloudEventsVersionV1).text(fieldType, c.Type)
	for name, value := range c.Extensions {
		var err error
		if m, err = m.value(name, value); err != nil {
			return nil, fmt.Errorf("%w: extension %s: %w", eventmesh.ErrInvalidEvent, name, err)
		}
	}
	if c.Subject != nil {
		m = m.attribute(keySubject, *c.Subject)
	}
	if c.Time != nil {
		m = m.timestamp("time", *c.Time)
	}
	if c.DataSchema != nil {
		m = m.string("dataschema", valueURI, c.DataSchema.String())
	}
	data, contentType := protowire.Number(fieldBinaryData), ""
	if c.DataContentType != nil {
		contentType = *c.DataContentType
		m = m.attribute(keyContentType, contentType)
	}
	if wire.IsText(contentType) && !e.DataBase64 {
		data = fieldTextData
	}
	return protowire.AppendBytes(m.tag(data), e.DataEncoded), nil
}

// encodeAttributes returns attributes that are the same in every message of a client.
func encodeAttributes(a attributes) (encoded, error) {
	m, err := proto.Marshal(&pb.CloudEvent{Attributes: a})
	if err != nil {
		return nil, fmt.Errorf("encoding the client's attributes: %w", err)
	}
	return m, nil
}

func (m encoded) tag(field protowire.Number) encoded {
	return protowire.AppendTag(m, field, protowire.BytesType)
}

func (m encoded) text(field protowire.Number, s string) encoded {
	return protowire.AppendString(m.tag(field), s)
}

// attribute appends a text.
func (m encoded) attribute(name, value string) encoded { return m.string(name, valueString, value) }

// string appends an attribute of one of the types that are text.
func (m encoded) string(name string, kind protowire.Number, value string) encoded {
	m = m.entry(name, 1+protowire.SizeBytes(len(value)))
	return m.text(kind, value)
}

// entry appends an attribute up to its value, which has so many bytes. The fields' tags have one byte each.
func (m encoded) entry(name string, size int) encoded {
	m = protowire.AppendVarint(m.tag(fieldAttributes), uint64(1+protowire.SizeBytes(len(name))+1+protowire.SizeBytes(size))) //nolint:gosec // no size is negative
	m = m.text(fieldKey, name)
	return protowire.AppendVarint(m.tag(fieldValue), uint64(size)) //nolint:gosec // no size is negative
}

// value appends an attribute of any type.
func (m encoded) value(name string, value any) (encoded, error) {
	value, err := types.Validate(value)
	if err != nil {
		return nil, err
	}
	switch value := value.(type) {
	case string:
		return m.attribute(name, value), nil
	case bool:
		return m.number(name, valueBoolean, protowire.EncodeBool(value)), nil
	case int32:
		return m.number(name, valueInteger, uint64(value)), nil //nolint:gosec // which is how a negative one is encoded
	case []byte:
		return protowire.AppendBytes(m.entry(name, 1+protowire.SizeBytes(len(value))).tag(valueBytes), value), nil
	case types.URI:
		return m.string(name, valueURI, value.String()), nil
	case types.URIRef:
		return m.string(name, valueURIRef, value.String()), nil
	case types.Timestamp:
		return m.timestamp(name, value), nil
	default:
		return nil, fmt.Errorf("a %T is none of the types of CloudEvents", value)
	}
}

func (m encoded) number(name string, kind protowire.Number, value uint64) encoded {
	m = m.entry(name, 1+protowire.SizeVarint(value))
	return protowire.AppendVarint(protowire.AppendTag(m, kind, protowire.VarintType), value)
}

func (m encoded) timestamp(name string, t types.Timestamp) encoded {
	seconds, nanos := uint64(t.Unix()), uint64(t.Nanosecond()) //nolint:gosec // which is how negative ones are encoded
	size := 2 + protowire.SizeVarint(seconds) + protowire.SizeVarint(nanos)
	m = m.entry(name, 1+protowire.SizeBytes(size))
	m = protowire.AppendVarint(m.tag(valueTimestamp), uint64(size)) //nolint:gosec // no size is negative
	m = protowire.AppendVarint(protowire.AppendTag(m, fieldSeconds, protowire.VarintType), seconds)
	return protowire.AppendVarint(protowire.AppendTag(m, fieldNanos, protowire.VarintType), nanos)
}
