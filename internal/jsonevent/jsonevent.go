// Package jsonevent reads and writes CloudEvents 1.0 in the JSON format, in one pass: as the SDK does, without its detours, and
// without its panics at events that are malformed.
package jsonevent

import (
	"bytes"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"strconv"

	"github.com/cloudevents/sdk-go/v2/event"
	"github.com/cloudevents/sdk-go/v2/types"

	"github.com/eventing-eventmesh/eventing-eventmesh/internal/jsontext"
	"github.com/eventing-eventmesh/eventing-eventmesh/internal/mediatype"
)

// The members of a JSON event that are no attributes.
const (
	memberData       = "data"
	memberDataBase64 = "data_base64"
	specVersion      = "specversion"
)

// Append appends an event. Its data has to be JSON, unless DataBase64 is set. The error is a version other than 1.0, or an extension
// of none of the types of CloudEvents.
func Append(b []byte, e event.Event) ([]byte, error) {
	in, ok := e.Context.(*event.EventContextV1)
	if !ok {
		return b, fmt.Errorf("specversion %s is not supported", e.SpecVersion())
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

func appendMember(b []byte, name, value string) []byte {
	return jsontext.AppendString(appendName(b, name), value)
}

func appendName(b []byte, name string) []byte {
	b = append(b, ',')
	return append(jsontext.AppendString(b, name), ':')
}

// Unmarshal reads an event, without the extensions that are to be left out, of which nothing is read; nil leaves out none. The event
// shares nothing with text. It may lack what an event must have: that is for its Validate.
func Unmarshal(text []byte, leaveOut func(name []byte) bool) (event.Event, error) {
	var out event.EventContextV1
	var version string
	var data, encoded []byte
	err := jsontext.Members(text, func(name, value []byte) (err error) {
		switch string(name) {
		case memberData:
			data = value
		case memberDataBase64:
			encoded = value
		case specVersion:
			version, err = stringOf(value)
		default:
			if leaveOut == nil || !leaveOut(name) {
				err = setAttribute(&out, string(name), value)
			}
		}
		if err != nil {
			return fmt.Errorf("%.100s: %w", name, err)
		}
		return nil
	})
	if err != nil {
		return event.Event{}, err
	}
	if version != event.CloudEventsVersionV1 {
		return event.Event{}, fmt.Errorf("specversion %.100q is not supported, only %s", version, event.CloudEventsVersionV1)
	}
	e := event.Event{Context: &out}
	if encoded != nil {
		e.DataBase64 = true
		e.DataEncoded, err = decodeBase64(encoded)
	} else if data != nil {
		e.DataEncoded, err = decodeData(out.DataContentType, data)
	}
	return e, err
}

func setAttribute(out *event.EventContextV1, name string, value []byte) error {
	if !isAttribute(name) {
		extension, err := scalar(value)
		if err != nil {
			return err
		}
		return out.SetExtension(name, extension)
	}
	s, err := stringOf(value)
	if err != nil {
		return err
	}
	switch name {
	case "id":
		out.ID = s
	case "type":
		out.Type = s
	case "source":
		source := types.ParseURIRef(s)
		if source == nil {
			return fmt.Errorf("%.100q is not a URI reference", s)
		}
		out.Source = *source
	case "dataschema":
		out.DataSchema = types.ParseURI(s)
	case "time":
		if out.Time, err = types.ParseTimestamp(s); err != nil {
			return err
		}
	case "subject":
		out.Subject = present(s)
	case "datacontenttype":
		out.DataContentType = present(s)
	}
	return nil
}

func isAttribute(name string) bool {
	switch name {
	case "id", "type", "source", "dataschema", "time", "subject", "datacontenttype":
		return true
	default:
		return false
	}
}

func present(s string) *string {
	if s == "" {
		return nil
	}
	return &s
}

var errNoString = errors.New("want a string")

// stringOf returns a string, and an empty one for null.
func stringOf(value []byte) (string, error) {
	s, ok := jsontext.String(value)
	if !ok && string(value) != "null" {
		return "", errNoString
	}
	return s, nil
}

var errNoScalar = errors.New("want a string, a boolean or a number")

// scalar returns the value of an extension: a string, a boolean, a number, or nil.
func scalar(value []byte) (v any, err error) {
	if s, ok := jsontext.String(value); ok {
		return s, nil
	}
	if value[0] == '{' || value[0] == '[' {
		return nil, errNoScalar
	}
	if err := json.Unmarshal(value, &v); err != nil {
		return nil, err
	}
	return v, nil
}

func decodeBase64(value []byte) ([]byte, error) {
	s, ok := jsontext.String(value)
	if !ok {
		return nil, fmt.Errorf("%s: %w", memberDataBase64, errNoString)
	}
	data, err := base64.StdEncoding.DecodeString(s)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", memberDataBase64, err)
	}
	return data, nil
}

// decodeData returns JSON as it is, and data of any other content type from the string that it has become.
func decodeData(contentType *string, value []byte) ([]byte, error) {
	if contentType == nil || mediatype.IsJSON(*contentType) {
		return bytes.Clone(value), nil
	}
	s, err := stringOf(value)
	if err != nil {
		return nil, fmt.Errorf("data of content type %s: %w", *contentType, err)
	}
	return []byte(s), nil
}
