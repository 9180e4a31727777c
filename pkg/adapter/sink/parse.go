package sink

import (
	"cmp"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"strings"

	"github.com/cloudevents/sdk-go/v2/binding/format"
	"github.com/cloudevents/sdk-go/v2/event"
	cehttp "github.com/cloudevents/sdk-go/v2/protocol/http"
	"github.com/cloudevents/sdk-go/v2/types"

	"github.com/eventing-eventmesh/eventing-eventmesh/internal/attribute"
	"github.com/eventing-eventmesh/eventing-eventmesh/internal/jsonevent"
	"github.com/eventing-eventmesh/eventing-eventmesh/internal/jsontext"
	"github.com/eventing-eventmesh/eventing-eventmesh/pkg/eventmesh"
)

const (
	// headerPrefix starts the names of the headers that hold attributes, in the form that net/http gives to all names.
	headerPrefix  = "Ce-"
	headerVersion = headerPrefix + "Specversion"
)

// parse returns the CloudEvent of a request, in binary or structured mode. The error says what is wrong with it, and holds
// nothing of its data. The event may share the body.
func parse(header http.Header, body []byte) (*event.Event, error) {
	if err := checkHeader(header); err != nil {
		return nil, err
	}
	version := header.Get(headerVersion)
	switch f := format.Lookup(header.Get(cehttp.ContentType)); {
	case f == format.JSON:
		return parseJSON(body)
	case version == event.CloudEventsVersionV1:
		return check(parseBinary(header, body))
	case version != "":
		return nil, notAnEvent("specversion %.100q is not supported, only %s", version, event.CloudEventsVersionV1)
	default:
		return nil, notAnEvent("want a header Ce-Specversion, or Content-Type %s or %s",
			event.ApplicationCloudEventsJSON, event.ApplicationCloudEventsBatchJSON)
	}
}

// parseBinary reads headers as the SDK does, without its builders for every encoding and version. Like it, and like all of Knative, it
// does not undo percent-encoding; unlike it, it changes nothing in a value.
func parseBinary(header http.Header, body []byte) (*event.Event, error) {
	c := &event.EventContextV1{}
	var budget attribute.Budget
	for name, values := range header {
		if name != cehttp.ContentType && !strings.HasPrefix(name, headerPrefix) {
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

// setAttribute sets the attribute that a header holds. One that is empty is absent, unless it is an extension.
func setAttribute(c *event.EventContextV1, header, value string) error {
	switch header {
	case cehttp.ContentType:
		c.DataContentType = present(value)
		return nil
	case headerVersion:
		return nil
	case headerPrefix + "Id":
		c.ID = value
		return nil
	case headerPrefix + "Source":
		source, ok := attribute.URI(value)
		if !ok {
			return errNoURI
		}
		c.Source = types.URIRef{URL: source}
		return nil
	case headerPrefix + "Type":
		c.Type = value
		return nil
	case headerPrefix + "Subject":
		c.Subject = present(value)
		return nil
	case headerPrefix + "Dataschema":
		schema, ok := attribute.URI(value)
		if !ok {
			return errNoURI
		}
		if value != "" {
			c.DataSchema = &types.URI{URL: schema}
		}
		return nil
	case headerPrefix + "Time":
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

// parseJSON returns the CloudEvent in a JSON text. The error is as that of parse.
func parseJSON(text []byte) (*event.Event, error) {
	e, err := jsonevent.UnmarshalStrict(text)
	if errors.Is(err, jsontext.ErrNoObject) {
		err = cmp.Or(json.Unmarshal(text, &json.RawMessage{}), err) // which says where
	}
	if err == nil {
		imply(&e)
	}
	return check(&e, err)
}

// imply sets the content type that data has in the JSON format when there is none. In EventMesh it would imply nothing, which is
// why CloudEvents wants it set by whoever takes an event from one format to another.
func imply(e *event.Event) {
	if e.Context != nil && e.DataContentType() == "" && e.Data() != nil && !e.DataBase64 {
		e.SetDataContentType(event.ApplicationJSON)
	}
}

// check refuses what could not be parsed, or is no event that EventMesh carries.
func check(e *event.Event, err error) (*event.Event, error) {
	if err != nil {
		return nil, notAnEvent("%w", err)
	}
	if err := eventmesh.Validate(*e); err != nil {
		return nil, err
	}
	return e, nil
}

// checkHeader refuses bodies that would have to be unpacked, or of which nobody could say what they are.
func checkHeader(header http.Header) error {
	if coding := header.Get("Content-Encoding"); coding != "" && !strings.EqualFold(coding, "identity") {
		return notAnEvent("Content-Encoding %.100q is not supported", coding)
	}
	if types := header[cehttp.ContentType]; len(types) > 1 {
		if err := sameValues(types); err != nil {
			return notAnEvent("%s: %w", cehttp.ContentType, err)
		}
	}
	return nil
}

func notAnEvent(format string, args ...any) error {
	return refusef(http.StatusBadRequest, "not a CloudEvent: "+format, args...)
}
