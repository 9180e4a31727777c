package tcp

import (
	"encoding/base64"
	"fmt"
	"strconv"

	"github.com/cloudevents/sdk-go/v2/event"
	"github.com/cloudevents/sdk-go/v2/types"

	"github.com/eventing-eventmesh/eventing-eventmesh/internal/jsontext"
	"github.com/eventing-eventmesh/eventing-eventmesh/pkg/eventmesh"
)

// The members of a JSON event that are no attributes.
const (
	memberData       = "data"
	memberDataBase64 = "data_base64"
	specVersion      = "specversion"
)

// marshalEvent returns an event of [eventmesh.Encode] as JSON. Its data is JSON, or goes in base64.
func marshalEvent(wire event.Event) ([]byte, error) {
	in, ok := wire.Context.(*event.EventContextV1)
	if !ok {
		return nil, fmt.Errorf("%w: specversion %s is not supported", eventmesh.ErrInvalidEvent, wire.SpecVersion())
	}
	const attributes = 512 // bytes, more than most events have
	size := len(wire.DataEncoded)
	if wire.DataBase64 {
		size = base64.StdEncoding.EncodedLen(size)
	}
	b := make([]byte, 0, attributes+size)
	b = append(b, `{"specversion":"1.0","id":`...)
	b = jsontext.AppendString(b, in.ID)
	b = appendMember(b, "source", in.Source.String())
	b = appendMember(b, "type", in.Type)
	if in.Subject != nil {
		b = appendMember(b, "subject", *in.Subject)
	}
	if in.DataContentType != nil {
		b = appendMember(b, "datacontenttype", *in.DataContentType)
	}
	if in.DataSchema != nil {
		b = appendMember(b, "dataschema", in.DataSchema.String())
	}
	if in.Time != nil {
		b = appendMember(b, "time", in.Time.String())
	}
	for name, value := range in.Extensions {
		switch value := value.(type) {
		case bool:
			b = strconv.AppendBool(appendName(b, name), value)
		case int32:
			b = strconv.AppendInt(appendName(b, name), int64(value), 10)
		default:
			text, err := types.Format(value)
			if err != nil {
				return nil, fmt.Errorf("%w: extension %s: %w", eventmesh.ErrInvalidEvent, name, err)
			}
			b = appendMember(b, name, text)
		}
	}
	switch {
	case wire.DataEncoded == nil:
	case wire.DataBase64:
		b = append(appendName(b, memberDataBase64), '"')
		b = append(base64.StdEncoding.AppendEncode(b, wire.DataEncoded), '"')
	default:
		b = append(appendName(b, memberData), wire.DataEncoded...)
	}
	return append(b, '}'), nil
}

func appendMember(b []byte, name, value string) []byte {
	return jsontext.AppendString(appendName(b, name), value)
}

func appendName(b []byte, name string) []byte {
	b = append(b, ',')
	return append(jsontext.AppendString(b, name), ':')
}
