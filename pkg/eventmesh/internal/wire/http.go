package wire

import (
	"fmt"
	"regexp"

	"github.com/cloudevents/sdk-go/v2/event"

	"github.com/eventing-eventmesh/eventing-eventmesh/internal/mediatype"
)

// Over HTTP an event may have so many attributes, and the value of one so many bytes. Memory storage accepts an event with more, and loses it
// with all that it was about to deliver.
const (
	MaxAttributes    = 64
	MaxAttributeSize = 4096
)

// CheckAttributes refuses an event of [Encode] that EventMesh would accept, and lose. The error is an ErrTooLarge or ErrInvalidEvent.
func CheckAttributes(carried event.Event) error {
	c, ok := carried.Context.(*event.EventContextV1)
	if !ok {
		return fmt.Errorf("%w: specversion %s is not supported", ErrInvalidEvent, carried.SpecVersion())
	}
	count := 1 + len(c.Extensions) // with specversion
	if c.Time != nil {
		count++
	}
	for _, a := range texts(c) {
		if a.value != "" {
			count++
		}
		if err := checkSize(a.name, a.value); err != nil {
			return err
		}
	}
	if count > MaxAttributes {
		return fmt.Errorf("%w: %d attributes, EventMesh carries at most %d over HTTP", ErrTooLarge, count, MaxAttributes)
	}
	for name, value := range c.Extensions {
		if s, ok := value.(string); ok { // as all are
			if err := checkSize(name, s); err != nil {
				return err
			}
		}
	}
	return nil
}

func checkSize(name, value string) error {
	if len(value) > MaxAttributeSize {
		return fmt.Errorf("%w: attribute %s has %d bytes, EventMesh carries at most %d over HTTP", ErrTooLarge, name, len(value), MaxAttributeSize)
	}
	return nil
}

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
	case isJSON && keepText(c, data, MaxAttributeSize):
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
