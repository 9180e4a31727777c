// Package httpevent reads and writes CloudEvents 1.0 over HTTP, requests and responses alike: in the binary mode, as the SDK does at
// several times the cost, or in the structured one, in which the SDK cannot write data without a content type. Unlike the SDK it changes
// no value.
package httpevent

import (
	"errors"
	"fmt"
	"net/http"
	"strings"
	"unicode/utf8"

	"github.com/cloudevents/sdk-go/v2/event"
	"github.com/cloudevents/sdk-go/v2/types"

	"github.com/eventing-eventmesh/eventing-eventmesh/internal/jsonevent"
	"github.com/eventing-eventmesh/eventing-eventmesh/internal/jsontext"
	"github.com/eventing-eventmesh/eventing-eventmesh/internal/mediatype"
)

// Mode is how an event becomes headers and a body.
type Mode string

const (
	// Auto is Binary wherever that brings each attribute to each receiver as it is, and else Structured.
	Auto Mode = "auto"
	// Binary has attributes in headers, and the data as the body.
	Binary Mode = "binary"
	// Structured has all of an event in the body, as JSON.
	Structured Mode = "structured"
)

const (
	// mostHeaders and mostHeaderBytes are what Auto gives attributes: many receivers accept 100 headers of 8 KiB in all, in which a
	// token has to find room, and what proxies on the way add.
	mostHeaders     = 48
	mostHeaderBytes = 4 << 10
	// attributeHeaders is how many headers the attributes need that are no extensions.
	attributeHeaders = 8
	// jsonOverhead is a guess of what an event needs besides its data, in bytes.
	jsonOverhead = 1 << 10

	headerContentType = "Content-Type"
	// headerPrefix starts the names of the headers that hold attributes, in the form that net/http gives to all names.
	headerPrefix     = "Ce-"
	headerVersion    = headerPrefix + "Specversion"
	headerID         = headerPrefix + "Id"
	headerSource     = headerPrefix + "Source"
	headerType       = headerPrefix + "Type"
	headerSubject    = headerPrefix + "Subject"
	headerDataSchema = headerPrefix + "Dataschema"
	headerTime       = headerPrefix + "Time"
)

// Write sets the headers of an event, beside those that are there, and returns its body, which may be the event's data. The error says
// what of the event the mode cannot carry; then the headers are as they were. It holds no value.
func Write(header http.Header, e event.Event, mode Mode) (body []byte, err error) {
	c, ok := e.Context.(*event.EventContextV1)
	if !ok {
		return nil, fmt.Errorf("specversion %s is not supported", e.SpecVersion())
	}
	if err := jsonevent.Check(c); err != nil { // which no mode can carry
		return nil, err
	}
	switch mode {
	case Structured:
	case Binary:
		return e.DataEncoded, writeBinary(header, c, false)
	default:
		if writeBinary(header, c, true) == nil {
			return e.DataEncoded, nil
		}
	}
	body, err = structured(c, e)
	if err == nil {
		header[headerContentType] = []string{event.ApplicationCloudEventsJSON}
	}
	return body, err
}

var errUnfit = errors.New("it would not arrive in a header as it is")

// writeBinary sets the headers of the binary mode, or none. When it is wary it refuses as well what some receivers would not accept, or
// not keep.
func writeBinary(header http.Header, c *event.EventContextV1, wary bool) error {
	if mediatype.IsCloudEvents(c.GetDataContentType()) {
		return errors.New("datacontenttype is that of an event")
	}
	var few [16]string
	names, values, size := few[:0], make([]string, 0, attributeHeaders+len(c.Extensions)), 0
	add := func(header, value string) error {
		if !fitsHeader(value) || wary && value == "" {
			return errUnfit
		}
		names, values, size = append(names, header), append(values, value), size+len(header)+len(value)+len(": \r\n")
		return nil
	}
	for _, a := range [...]struct{ name, header, value string }{
		{"specversion", headerVersion, event.CloudEventsVersionV1},
		{"id", headerID, c.ID},
		{"source", headerSource, c.Source.String()},
		{"type", headerType, c.Type},
		{"subject", headerSubject, c.GetSubject()},
		{"dataschema", headerDataSchema, c.DataSchema.String()},
		{"datacontenttype", headerContentType, c.GetDataContentType()},
	} {
		if a.value == "" {
			continue
		}
		if err := add(a.header, a.value); err != nil {
			return fmt.Errorf("%s: %w", a.name, err)
		}
	}
	if c.Time != nil {
		if wary && c.Time.IsZero() {
			return errors.New("the SDK reads this time as none")
		}
		_ = add(headerTime, types.FormatTime(c.Time.Time)) // which always fits
	}
	for name, value := range c.Extensions {
		text, err := types.Format(value)
		if err == nil {
			err = add(headerPrefix+strings.ToUpper(name[:1])+name[1:], text)
		}
		if err != nil {
			return fmt.Errorf("extension %s: %w", name, err)
		}
	}
	if wary && (len(names) > mostHeaders || size > mostHeaderBytes) {
		return errors.New("the attributes are too many or too long for headers")
	}
	for i, name := range names {
		header[name] = values[i : i+1 : i+1]
	}
	return nil
}

// fitsHeader tells whether every receiver reads a header's value as it was. Blanks at the ends get lost, HTTP has no control
// characters, and receivers differ in whether they undo percent-encoding and quotes.
func fitsHeader(value string) bool {
	for i := range len(value) {
		if c := value[i]; c < ' ' || c > '~' || c == '%' || c == '"' {
			return false
		}
	}
	return value == "" || value[0] != ' ' && value[len(value)-1] != ' '
}

// structured returns an event as JSON.
func structured(c *event.EventContextV1, e event.Event) ([]byte, error) {
	if e.DataEncoded != nil {
		e.DataEncoded, e.DataBase64 = jsonData(c.GetDataContentType(), e.DataEncoded)
	}
	text, err := jsonevent.Append(make([]byte, 0, len(e.DataEncoded)+jsonOverhead), e)
	if err == nil && !utf8.Valid(text) {
		err = errors.New("an attribute is no UTF-8")
	}
	return text, err
}

// jsonData returns data as a JSON value, or that it is to be in base64: wherever one reader or another would find other bytes in the
// value. Among those are JSON of a type that the SDK does not know as such, and data without a type, which would read as JSON.
func jsonData(contentType string, data []byte) (value []byte, base64 bool) {
	if essence, _, cut := strings.Cut(contentType, ";"); cut {
		contentType = strings.TrimSpace(essence)
	}
	switch {
	case !utf8.Valid(data) || contentType == "":
		return data, true
	case contentType == event.ApplicationJSON, contentType == event.TextJSON:
		return data, !jsontext.IsValue(data)
	case mediatype.IsJSON(contentType):
		return data, true
	default:
		return jsontext.AppendString(make([]byte, 0, len(data)+len(data)/8), data), false
	}
}
