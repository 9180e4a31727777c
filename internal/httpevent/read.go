package httpevent

import (
	"cmp"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"strings"

	"github.com/cloudevents/sdk-go/v2/binding/format"
	"github.com/cloudevents/sdk-go/v2/event"
	"github.com/cloudevents/sdk-go/v2/types"

	"github.com/eventing-eventmesh/eventing-eventmesh/internal/attribute"
	"github.com/eventing-eventmesh/eventing-eventmesh/internal/jsonevent"
	"github.com/eventing-eventmesh/eventing-eventmesh/internal/jsontext"
	"github.com/eventing-eventmesh/eventing-eventmesh/internal/mediatype"
)

// IsEvent tells whether a body with these headers means to be an event, or several: by a header for an attribute, or by the content type.
func IsEvent(header http.Header) bool {
	if mediatype.IsCloudEvents(header.Get(headerContentType)) {
		return true
	}
	for name := range header {
		if strings.HasPrefix(name, headerPrefix) {
			return true
		}
	}
	return false
}

// Read returns the event of a request or a response, in binary or structured mode. It changes nothing: what it could not keep it
// refuses. The event may lack what an event must have, or hold what CloudEvents forbids; it may share the body. The error says what is
// wrong, and holds nothing of the data.
func Read(header http.Header, body []byte) (*event.Event, error) {
	if err := CheckHeader(header); err != nil {
		return nil, err
	}
	version := header.Get(headerVersion)
	switch f := format.Lookup(header.Get(headerContentType)); {
	case f == format.JSON:
		return ReadJSON(body)
	case f == format.JSONBatch:
		return nil, errors.New("want one event, not a batch")
	case version == event.CloudEventsVersionV1:
		return readBinary(header, body)
	case version != "":
		return nil, fmt.Errorf("specversion %.100q is %w, only %s", version, ErrVersion, event.CloudEventsVersionV1)
	default:
		return nil, fmt.Errorf("want a header %s, or %s %s or %s",
			headerVersion, headerContentType, event.ApplicationCloudEventsJSON, event.ApplicationCloudEventsBatchJSON)
	}
}

// readBinary reads headers as the SDK does, without its builders for every encoding and version. Like it, and like all of Knative, it
// does not undo percent-encoding; unlike it, it changes nothing in a value.
func readBinary(header http.Header, body []byte) (*event.Event, error) {
	c := &event.EventContextV1{}
	var budget attribute.Budget
	for name, values := range header {
		if name != headerContentType && !strings.HasPrefix(name, headerPrefix) {
			continue
		}
		value := strings.Trim(values[0], " \t") // which are no part of it
		err := sameValues(values)
		if err == nil {
			err = budget.Take(len(name), len(value))
		}
		if err == nil {
			err = setAttribute(c, name, value)
		}
		if err != nil {
			return nil, fmt.Errorf("%.100s: %w", name, err)
		}
	}
	e := &event.Event{Context: c}
	if len(body) > 0 {
		e.DataEncoded = body
	}
	return e, nil
}

// sameValues refuses a header of which nobody could say what it means.
func sameValues(values []string) error {
	for _, other := range values[1:] {
		if other != values[0] {
			return errOtherValue
		}
	}
	return nil
}

var errOtherValue = errors.New("the header is there twice, with different values")

// setAttribute sets the attribute that a header holds. One that is empty is absent, unless it is an extension or the time.
func setAttribute(c *event.EventContextV1, header, value string) error {
	switch header {
	case headerContentType:
		c.DataContentType = present(value)
		return nil
	case headerVersion:
		return nil
	case headerID:
		c.ID = value
		return nil
	case headerSource:
		source, ok := attribute.URI(value)
		if !ok {
			return errNoURI
		}
		c.Source = types.URIRef{URL: source}
		return nil
	case headerType:
		c.Type = value
		return nil
	case headerSubject:
		c.Subject = present(value)
		return nil
	case headerDataSchema:
		schema, ok := attribute.URI(value)
		if !ok {
			return errNoURI
		}
		if value != "" {
			c.DataSchema = &types.URI{URL: schema}
		}
		return nil
	case headerTime:
		t, err := attribute.ParseTime(value)
		c.Time = &types.Timestamp{Time: t}
		return err
	}
	return c.SetExtension(strings.ToLower(header[len(headerPrefix):]), value)
}

func present(value string) *string {
	if value == "" {
		return nil
	}
	return &value
}

var errNoURI = errors.New("it is no URI reference")

// ReadJSON returns the event in a JSON text, as Read does.
func ReadJSON(text []byte) (*event.Event, error) {
	e, err := jsonevent.UnmarshalStrict(text)
	if errors.Is(err, jsontext.ErrNoObject) {
		err = cmp.Or(json.Unmarshal(text, &json.RawMessage{}), err) // which says where
	}
	if err != nil {
		return nil, err
	}
	imply(&e)
	return &e, nil
}

// imply sets the content type that data has in the JSON format when there is none. In EventMesh it would imply nothing, which is
// why CloudEvents wants it set by whoever moves an event from one format to another.
func imply(e *event.Event) {
	if e.Context != nil && e.DataContentType() == "" && e.Data() != nil && !e.DataBase64 {
		e.SetDataContentType(event.ApplicationJSON)
	}
}

// CheckHeader refuses bodies that would have to be unpacked, or of which nobody could say what they are.
func CheckHeader(header http.Header) error {
	if coding := header.Get("Content-Encoding"); coding != "" && !strings.EqualFold(coding, "identity") {
		return fmt.Errorf("Content-Encoding %.100q is not supported", coding)
	}
	if types := header[headerContentType]; len(types) > 1 {
		if err := sameValues(types); err != nil {
			return fmt.Errorf("%s: %w", headerContentType, err)
		}
	}
	return nil
}
