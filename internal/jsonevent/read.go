package jsonevent

import (
	"errors"
	"fmt"
	"net/url"
	"strings"
	"unicode/utf8"

	"github.com/cloudevents/sdk-go/v2/event"
	"github.com/cloudevents/sdk-go/v2/types"

	"github.com/eventing-eventmesh/eventing-eventmesh/internal/attribute"
	"github.com/eventing-eventmesh/eventing-eventmesh/internal/jsontext"
)

// Unmarshal reads an event that was accepted before, and keeps as much of it as it can: where a member is there twice the last one
// counts, and a number that CloudEvents does not allow becomes its text. It passes over the extensions to leave out; nil leaves out
// none. Where data is most of the text, the event shares it with the text, which must not change then. It may lack what an event must
// have, and hold what CloudEvents forbids.
func Unmarshal(text []byte, leaveOut func(name []byte) bool) (event.Event, error) {
	return unmarshal(text, &reader{leaveOut: leaveOut})
}

// UnmarshalStrict reads an event whose sender can be told what is wrong with it. It refuses all that Unmarshal would change, anything
// but a URI reference, a time of RFC 3339 or UTF-8 where one has to be, and more attributes than an [attribute.Budget] has, before they need memory.
func UnmarshalStrict(text []byte) (event.Event, error) {
	if !utf8.Valid(text) {
		return event.Event{}, attribute.ErrNoUTF8
	}
	return unmarshal(text, &reader{strict: true})
}

func unmarshal(text []byte, r *reader) (event.Event, error) {
	r.size = len(text)
	if err := jsontext.Members(text, r.member); err != nil {
		return event.Event{}, err
	}
	if r.version != event.CloudEventsVersionV1 {
		return event.Event{}, fmt.Errorf("specversion %.100q is %w, only %s", r.version, ErrVersion, event.CloudEventsVersionV1)
	}
	e := event.Event{Context: &r.context}
	var err error
	switch {
	case r.encoded == nil && r.data != nil:
		e.DataEncoded, err = r.decodeData()
	case r.encoded != nil && r.data != nil && r.strict && string(r.data) != null:
		err = errDataTwice
	case r.encoded != nil:
		e.DataBase64 = true
		e.DataEncoded, err = r.decodeBase64()
	}
	return e, err
}

// reader holds what has been read of an event.
type reader struct {
	strict   bool
	leaveOut func(name []byte) bool

	context       event.EventContextV1
	version       string
	data, encoded []byte // as they stand in the text
	size          int    // of the text
	seen          uint   // a bit for each member that is no extension
	budget        attribute.Budget
}

// What an event cannot hold.
var (
	errTwice     = errors.New("it is there twice")
	errDataTwice = errors.New("want data or data_base64, not both")
	errNoString  = errors.New("want a string")
	errNoScalar  = errors.New("want a string, a boolean or an integer")
	errNoInteger = errors.New("want an integer of 32 bits, without fraction and exponent")
	errNoURI     = errors.New("it is no URI reference")
	errHalf      = errors.New("it holds half a surrogate pair, which is no character")
)

const null = "null"

// member reads one member. The error names it.
func (r *reader) member(name, value []byte) error {
	if err := r.set(name, value); err != nil {
		return fmt.Errorf("%.100s: %w", name, err)
	}
	return nil
}

func (r *reader) set(name, value []byte) error {
	number := memberNumber(name)
	if number == 0 {
		return r.setExtension(name, value)
	}
	if r.strict && r.seen&(1<<number) != 0 {
		return errTwice
	}
	r.seen |= 1 << number
	switch string(name) {
	case memberData:
		r.data = value
		return nil
	case memberDataBase64:
		if string(value) != null {
			r.encoded = value
		}
		return nil
	}
	s, err := r.stringOf(value)
	if err != nil {
		return err
	}
	if err := r.count(len(name), len(s)); err != nil {
		return err
	}
	return r.setAttribute(string(name), s)
}

// memberNumber numbers the members that are no extensions, from 1.
func memberNumber(name []byte) int {
	switch string(name) {
	case memberData:
		return 1
	case memberDataBase64:
		return 2
	case specVersion:
		return 3
	case "id":
		return 4
	case "type":
		return 5
	case "source":
		return 6
	case "dataschema":
		return 7
	case "time":
		return 8
	case "subject":
		return 9
	case "datacontenttype":
		return 10
	default:
		return 0
	}
}

func (r *reader) setAttribute(name, s string) error {
	c := &r.context
	switch name {
	case specVersion:
		r.version = s
	case "id":
		c.ID = s
	case "type":
		c.Type = s
	case "source":
		source, err := r.uri(s)
		if err != nil {
			return err
		}
		c.Source = types.URIRef{URL: source}
	case "dataschema":
		schema, err := r.uri(s)
		if err != nil {
			return err
		}
		if s != "" {
			c.DataSchema = &types.URI{URL: schema}
		}
	case "time":
		return r.setTime(s)
	case "subject":
		c.Subject = present(s)
	case "datacontenttype":
		c.DataContentType = present(s)
	}
	return nil
}

func (r *reader) uri(s string) (url.URL, error) {
	u, ok := attribute.URI(s)
	if r.strict && !ok {
		return u, errNoURI
	}
	return u, nil
}

func (r *reader) setTime(s string) error {
	if s == "" {
		return nil
	}
	parse := types.ParseTime
	if r.strict {
		parse = attribute.ParseTime
	}
	t, err := parse(s)
	if err != nil {
		return err
	}
	r.context.Time = &types.Timestamp{Time: t}
	return attribute.CheckTime(t)
}

func (r *reader) setExtension(name, value []byte) error {
	if r.leaveOut != nil && r.leaveOut(name) {
		return nil
	}
	extension, err := r.scalar(value)
	if err != nil {
		return err
	}
	own := strings.ToLower(string(name))
	if extension == nil {
		return r.context.SetExtension(own, nil)
	}
	if own == memberData {
		return errNoExtension
	}
	size := len(value)
	if s, ok := extension.(string); ok {
		size = len(s)
	}
	if err := r.count(len(name), size); err != nil {
		return err
	}
	if _, twice := r.context.Extensions[own]; twice && r.strict {
		return errTwice
	}
	return r.context.SetExtension(own, extension)
}

var errNoExtension = errors.New("no extension can have that name")

// count counts an attribute, where that is limited.
func (r *reader) count(name, value int) error {
	if !r.strict {
		return nil
	}
	return r.budget.Take(name, value)
}
