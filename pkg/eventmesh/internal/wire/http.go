package wire

import (
	"fmt"
	"regexp"

	"github.com/cloudevents/sdk-go/v2/event"

	"github.com/eventing-eventmesh/eventing-eventmesh/internal/mediatype"
)

// MaxAttribute is how many bytes the value of an attribute may have over HTTP. Memory storage accepts an event with a longer one, and loses
// it with all that it was about to deliver.
const MaxAttribute = 4096

// jsonOverHTTP tells the content types whose data EventMesh parses and writes again over HTTP: those that the SDK of CloudEvents for Java
// takes for JSON.
var jsonOverHTTP = regexp.MustCompile(`^(application|text)/([a-zA-Z]+\+)?json(;.*)*$`)

// encodeHTTP returns an event with its data in the way that comes back byte for byte: base64 for all but JSON, which EventMesh would write
// anew. JSON that it would change travels with its text beside it, and what it could not write at all, or has no content type, as one of
// bytes: it accepts that too, and then fails at every delivery.
func encodeHTTP(c *event.EventContextV1, data []byte) event.Event {
	contentType := deref(c.DataContentType)
	isJSON := jsonOverHTTP.MatchString(contentType) && !mediatype.IsCloudEvents(contentType)
	mark, carrier := "", octetStream
	switch {
	case data == nil && mediatype.IsCloudEvents(contentType):
		mark = dataNone
	case data == nil:
	case len(data) == 0:
		mark, data = dataEmpty, []byte(placeholder)
	case isJSON && survivesParsing(data):
		return event.Event{Context: c, DataEncoded: data}
	case isJSON && keepText(c, data, MaxAttribute):
		c.Extensions[markContentType], c.Extensions[markData] = contentType, dataJSON
		return event.Event{Context: c, DataEncoded: data}
	case contentType == "", isJSON, mediatype.IsJSON(contentType), mediatype.IsCloudEvents(contentType):
		mark = dataBinary
	}
	if mark != "" {
		if c.DataContentType != nil {
			c.Extensions[markContentType] = contentType
		}
		c.Extensions[markData], c.DataContentType = mark, &carrier
	}
	return event.Event{Context: c, DataEncoded: data, DataBase64: true}
}

// DecodeHTTP undoes Encode for an event that came over HTTP, and removes what EventMesh has added; Decode tells what cannot be decoded.
func DecodeHTTP(wire event.Event) (event.Event, error) {
	in, ok := wire.Context.(*event.EventContextV1)
	if !ok {
		return event.Event{}, fmt.Errorf("decoding event: specversion %s is not supported", wire.SpecVersion())
	}
	out := *in
	return decode(&out, wire.DataEncoded, reservedByHTTP)
}

// DecodeReplyHTTP does what DecodeReply does, for a reply that came over HTTP.
func DecodeReplyHTTP(wire event.Event, err error) (*event.Event, error) {
	var reply event.Event
	if err == nil {
		reply, err = DecodeHTTP(wire)
	}
	return usable(reply, err)
}
