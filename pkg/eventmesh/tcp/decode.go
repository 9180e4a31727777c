package tcp

import (
	"bytes"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"strings"

	"github.com/cloudevents/sdk-go/v2/event"
	"github.com/cloudevents/sdk-go/v2/types"

	"github.com/eventing-eventmesh/eventing-eventmesh/internal/jsontext"
	"github.com/eventing-eventmesh/eventing-eventmesh/pkg/eventmesh"
)

// unmarshalEvent reads a JSON event. Where it is not to be whole, it is without the extensions that EventMesh has added, some 25 of
// 30, which [eventmesh.Decode] would leave out. It shares nothing with body.
func unmarshalEvent(body []byte, whole bool) (event.Event, error) {
	var out event.EventContextV1
	var version string
	var data, encoded []byte
	err := jsontext.Members(body, func(name, value []byte) (err error) {
		switch string(name) {
		case memberData:
			data = value
		case memberDataBase64:
			encoded = value
		case specVersion:
			version, err = text(value)
		default:
			if whole || !eventmesh.Reserved(string(name)) {
				err = setAttribute(&out, string(name), value)
			}
		}
		if err != nil {
			return fmt.Errorf("%s: %w", name, err)
		}
		return nil
	})
	if err != nil {
		return event.Event{}, err
	}
	if version != event.CloudEventsVersionV1 {
		return event.Event{}, fmt.Errorf("specversion %q is not supported", version)
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
	s, err := text(value)
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
			return fmt.Errorf("%q is not a URI reference", s)
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

// text returns a string, and an empty one for null.
func text(value []byte) (string, error) {
	s, ok := jsontext.String(value)
	if !ok && string(value) != "null" {
		return "", errNoString
	}
	return s, nil
}

// scalar returns the value of an extension: a string, a boolean, a number, or nil.
func scalar(value []byte) (v any, err error) {
	if s, ok := jsontext.String(value); ok {
		return s, nil
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
	mediaType := ""
	if contentType != nil {
		mediaType, _, _ = strings.Cut(*contentType, ";")
	}
	switch strings.TrimSpace(mediaType) {
	case "", event.ApplicationJSON, event.TextJSON, event.ApplicationCloudEventsJSON, event.ApplicationCloudEventsBatchJSON:
		return bytes.Clone(value), nil
	}
	s, err := text(value)
	if err != nil {
		return nil, fmt.Errorf("data of content type %s: %w", *contentType, err)
	}
	return []byte(s), nil
}

// withoutReserved returns a JSON object without the members that EventMesh has added; what is no object as it is.
func withoutReserved(body []byte) []byte {
	left := make([]byte, 0, len(body))
	left = append(left, '{')
	err := jsontext.Members(body, func(name, value []byte) error {
		if eventmesh.Reserved(string(name)) {
			return nil
		}
		if len(left) > 1 {
			left = append(left, ',')
		}
		left = append(append(jsontext.AppendString(left, name), ':'), value...)
		return nil
	})
	if err != nil {
		return body
	}
	return append(left, '}')
}
