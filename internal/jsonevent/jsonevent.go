// Package jsonevent reads and writes CloudEvents 1.0 in the JSON format, in one pass: as the SDK does, without its detours, and
// without its panics at events that are malformed.
package jsonevent

import (
	"encoding/base64"
	"errors"
	"fmt"
	"strconv"

	"github.com/cloudevents/sdk-go/v2/event"
	"github.com/cloudevents/sdk-go/v2/types"

	"github.com/eventing-eventmesh/eventing-eventmesh/internal/attribute"
	"github.com/eventing-eventmesh/eventing-eventmesh/internal/jsontext"
)

// The members of a JSON event that are no attributes.
const (
	memberData       = "data"
	memberDataBase64 = "data_base64"
	specVersion      = "specversion"
)

// ErrVersion says of an event that it is of another version of CloudEvents than 1.0.
var ErrVersion = errors.New("not supported")

// Append appends an event. Its data has to be JSON, unless DataBase64 is set. The error is a version other than 1.0, or an extension
// of none of the types of CloudEvents. What Check refuses, and bytes that are not UTF-8, cannot be read again.
func Append(b []byte, e event.Event) ([]byte, error) {
	in, ok := e.Context.(*event.EventContextV1)
	if !ok {
		return b, fmt.Errorf("specversion %s is %w", e.SpecVersion(), ErrVersion)
	}
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
				return b, fmt.Errorf("extension %s: %w", name, err)
			}
			b = appendMember(b, name, text)
		}
	}
	switch {
	case e.DataEncoded == nil:
	case e.DataBase64:
		b = append(appendName(b, memberDataBase64), '"')
		b = append(base64.StdEncoding.AppendEncode(b, e.DataEncoded), '"')
	default:
		b = append(appendName(b, memberData), e.DataEncoded...)
	}
	return append(b, '}'), nil
}

// Check refuses attributes that can be written and not be read again: times outside the years 1 to 9999, and extensions with names that
// none can have.
func Check(in *event.EventContextV1) error {
	if in.Time != nil {
		if err := attribute.CheckTime(in.Time.Time); err != nil {
			return fmt.Errorf("time: %w", err)
		}
	}
	for name, value := range in.Extensions {
		if !attribute.IsExtension(name) {
			return fmt.Errorf("%.100q: %w", name, errNoExtension)
		}
		if t, ok := value.(types.Timestamp); ok {
			if err := attribute.CheckTime(t.Time); err != nil {
				return fmt.Errorf("extension %s: %w", name, err)
			}
		}
	}
	return nil
}

func appendMember(b []byte, name, value string) []byte {
	return jsontext.AppendString(appendName(b, name), value)
}

func appendName(b []byte, name string) []byte {
	b = append(b, ',')
	return append(jsontext.AppendString(b, name), ':')
}
