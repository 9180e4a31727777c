package sink

import (
	"cmp"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"slices"
	"strings"
	"time"

	"github.com/cloudevents/sdk-go/v2/binding/format"
	"github.com/cloudevents/sdk-go/v2/event"
	cehttp "github.com/cloudevents/sdk-go/v2/protocol/http"

	"github.com/eventing-eventmesh/eventing-eventmesh/internal/jsonevent"
	"github.com/eventing-eventmesh/eventing-eventmesh/internal/jsontext"
)

const (
	// headerPrefix starts the names of the headers that hold attributes, in the form that net/http gives to all names.
	headerPrefix  = "Ce-"
	headerVersion = headerPrefix + "Specversion"
)

// parse returns the CloudEvent of a request, in binary or structured mode. The error says what is wrong with it, and holds
// nothing of its data. The event may share the body.
func parse(header http.Header, body []byte) (*event.Event, error) {
	if err := checkCoding(header); err != nil {
		return nil, err
	}
	version := header.Get(headerVersion)
	switch f := format.Lookup(header.Get(cehttp.ContentType)); {
	case f == format.JSON:
		return parseJSON(body)
	case version == event.CloudEventsVersionV1:
		return check(parseBinary(header, body))
	case version != "":
		return nil, notAnEvent("specversion %q is not supported, only %s", version, event.CloudEventsVersionV1)
	default:
		return nil, notAnEvent("want a header Ce-Specversion, or Content-Type %s or %s",
			event.ApplicationCloudEventsJSON, event.ApplicationCloudEventsBatchJSON)
	}
}

// parseBinary takes and refuses what the SDK does, without its builders for every encoding and version.
func parseBinary(header http.Header, body []byte) (*event.Event, error) {
	c := &event.EventContextV1{}
	for name, values := range header {
		if err := setAttribute(c, name, values[0]); err != nil {
			return nil, err
		}
	}
	e := &event.Event{Context: c}
	if len(body) > 0 {
		e.DataEncoded = body
	}
	return e, nil
}

// setAttribute sets the attribute that a header holds, if it holds one.
func setAttribute(c *event.EventContextV1, header, value string) error {
	switch header {
	case cehttp.ContentType:
		return c.SetDataContentType(value)
	case headerVersion:
		return nil
	case headerPrefix + "Id":
		return c.SetID(value)
	case headerPrefix + "Source":
		return c.SetSource(value)
	case headerPrefix + "Type":
		return c.SetType(value)
	case headerPrefix + "Subject":
		return c.SetSubject(value)
	case headerPrefix + "Dataschema":
		return c.SetDataSchema(value)
	case headerPrefix + "Time":
		t, err := time.Parse(time.RFC3339Nano, value)
		if err != nil {
			return fmt.Errorf("invalid value for time: %q", value)
		}
		return c.SetTime(t)
	}
	name, isExtension := strings.CutPrefix(header, headerPrefix)
	switch {
	case !isExtension:
		return nil
	case name == "":
		return errNoName
	default:
		return c.SetExtension(strings.ToLower(name), value)
	}
}

// parseJSON returns the CloudEvent in a JSON text. The error is as that of parse.
func parseJSON(text []byte) (*event.Event, error) {
	e, err := jsonevent.Unmarshal(text, nil)
	if errors.Is(err, jsontext.ErrNoObject) {
		err = cmp.Or(json.Unmarshal(text, &json.RawMessage{}), err) // which says where
	}
	if err == nil {
		imply(&e)
	}
	return check(&e, err)
}

var errNoName = errors.New("a header has no attribute's name")

// imply sets the content type that data has in the JSON format when there is none. In EventMesh it would imply nothing, which is
// why CloudEvents wants it set by whoever takes an event from one format to another.
func imply(e *event.Event) {
	if e.Context != nil && e.DataContentType() == "" && e.Data() != nil && !e.DataBase64 {
		e.SetDataContentType(event.ApplicationJSON)
	}
}

// check refuses what could not be parsed, or is no event that this package takes.
func check(e *event.Event, err error) (*event.Event, error) {
	if err == nil {
		err = e.Validate()
	}
	if err != nil {
		return nil, notAnEvent("%s", oneLineOf(err))
	}
	if e.SpecVersion() != event.CloudEventsVersionV1 {
		return nil, notAnEvent("specversion %q is not supported, only %s", e.SpecVersion(), event.CloudEventsVersionV1)
	}
	return e, nil
}

// checkCoding refuses bodies that would have to be unpacked.
func checkCoding(header http.Header) error {
	if coding := header.Get("Content-Encoding"); coding != "" && !strings.EqualFold(coding, "identity") {
		return notAnEvent("Content-Encoding %q is not supported", coding)
	}
	return nil
}

func notAnEvent(format string, args ...any) error {
	return refusef(http.StatusBadRequest, "not a CloudEvent: "+format, args...)
}

// oneLineOf makes one line of the SDK's errors, which have one for each attribute.
func oneLineOf(err error) string {
	var validation event.ValidationError
	if !errors.As(err, &validation) {
		return err.Error()
	}
	lines := strings.Split(strings.TrimSpace(validation.Error()), "\n")
	slices.Sort(lines)
	return strings.Join(lines, "; ")
}
