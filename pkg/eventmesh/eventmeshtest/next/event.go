package next

import (
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"regexp"
	"strconv"
	"strings"
	"time"

	"github.com/eventing-eventmesh/eventing-eventmesh/pkg/eventmesh/eventmeshtest/internal/jackson"
	"github.com/eventing-eventmesh/eventing-eventmesh/pkg/eventmesh/grpc/eventmeshpb"
	"github.com/eventing-eventmesh/eventing-eventmesh/pkg/eventmesh/internal/javauri"
)

// The members of a JSON event that have a meaning of their own.
const (
	memberID          = "id"
	memberSource      = "source"
	memberType        = "type"
	memberVersion     = "specversion"
	memberContentType = "datacontenttype"
	memberSchema      = "dataschema"
	memberTime        = "time"
	memberData        = "data"
	memberBase64      = "data_base64"
)

// event is an event as the server holds it: all attributes are strings. It is not changed once it has been read.
type event struct {
	attributes map[string]string
	data       []byte
}

// with returns a copy with one more attribute.
func (e *event) with(name, value string) *event {
	attributes := maps.Clone(e.attributes)
	attributes[name] = value
	return &event{attributes: attributes, data: e.data}
}

// expired tells whether the event's time to live, in milliseconds from its time on, is over.
func (e *event) expired(now time.Time) bool {
	made, err := parseTime(e.attributes[memberTime])
	if err != nil {
		return false
	}
	ttl, err := strconv.ParseInt(e.attributes["emttl"], 10, 64)
	return err == nil && now.UnixMilli() > made.UnixMilli()+ttl
}

// toProto is the event in the form in which eventmeshtest records events.
func (e *event) toProto() *eventmeshpb.CloudEvent {
	p := e.header()
	for name, value := range e.attributes {
		switch name {
		case memberID, memberSource, memberType, memberVersion:
		default:
			p.Attributes[name] = stringAttribute(value)
		}
	}
	if len(e.data) > 0 {
		p.Data = &eventmeshpb.CloudEvent_BinaryData{BinaryData: e.data}
	}
	return p
}

// header is an event with what has fields of its own, and no other attributes.
func (e *event) header() *eventmeshpb.CloudEvent {
	return &eventmeshpb.CloudEvent{
		Id: e.attributes[memberID], Source: e.attributes[memberSource], Type: e.attributes[memberType], SpecVersion: e.attributes[memberVersion],
		Attributes: map[string]*eventmeshpb.CloudEvent_AttributeValue{},
	}
}

// errConversion is all that the server tells its clients of an event that it cannot read.
var errConversion = errors.New("CloudEvents \u2192 EventMeshFrame conversion failed")

// parse reads a structured event, as the CloudEvents SDK for Java does.
func (x *exchange) parse(body []byte) (*event, error) {
	value, err := parseJSON(body)
	if err != nil {
		return nil, x.unreadable(err)
	}
	return x.convert(value)
}

// convert reads an event from JSON that has been parsed.
func (x *exchange) convert(value any) (*event, error) {
	e, err := fromJSON(value)
	if err != nil {
		return nil, x.unreadable(err)
	}
	return e, nil
}

func (x *exchange) unreadable(err error) error {
	x.s.options.Logf("could not read an event: %v", err)
	return errConversion
}

func fromJSON(value any) (*event, error) {
	o, ok := value.(*jackson.Object)
	if !ok {
		return nil, errors.New("it is no object")
	}
	version, _ := o.Values[memberVersion].(string)
	known := map[string][]string{
		"1.0": {memberID, memberSource, memberType, memberContentType, memberSchema, "subject", memberTime},
		"0.3": {memberID, memberSource, memberType, memberContentType, "datacontentencoding", "schemaurl", "subject", memberTime},
	}[version]
	if known == nil {
		return nil, fmt.Errorf("specversion %v is not known", o.Values[memberVersion])
	}
	e := &event{attributes: map[string]string{memberVersion: version}}
	rest := maps.Clone(o.Values)
	delete(rest, memberVersion)
	for _, name := range known {
		value := rest[name]
		delete(rest, name)
		text, isString := value.(string)
		switch {
		case isString:
			e.attributes[name] = text
		case value != nil:
			return nil, fmt.Errorf("%s is no string", name)
		}
	}
	if err := e.readData(rest); err != nil {
		return nil, err
	}
	for name, value := range rest {
		if err := e.readExtension(name, value); err != nil {
			return nil, err
		}
	}
	return e, e.check()
}

// readData reads the data, and takes its members out.
func (e *event) readData(members map[string]any) error {
	inline, isInline := members[memberData]
	encoded, isEncoded := members[memberBase64]
	base64Inline := e.attributes["datacontentencoding"] == "base64"
	delete(e.attributes, "datacontentencoding")
	delete(members, memberData)
	delete(members, memberBase64)
	if isInline && e.attributes[memberContentType] == "" {
		if _, ok := e.attributes[memberContentType]; !ok {
			e.attributes[memberContentType] = "application/json"
		}
	}
	switch {
	case isInline && isEncoded:
		return errors.New("it has data twice")
	case isEncoded || isInline && base64Inline:
		if isInline {
			encoded = inline
		}
		text, ok := encoded.(string)
		if !ok {
			return errors.New("its data in Base64 is no string")
		}
		data, err := base64.StdEncoding.DecodeString(text)
		if err != nil {
			return fmt.Errorf("reading data in Base64: %w", err)
		}
		e.data = data
	case isInline && e.isJSON():
		e.data = jackson.Append(nil, inline)
	case isInline:
		text, ok := inline.(string)
		if !ok {
			return errors.New("its data is no string, and its content type not JSON")
		}
		e.data = []byte(text)
	}
	return nil
}

// lowerCase is what names of extensions consist of.
const lowerCase = "abcdefghijklmnopqrstuvwxyz0123456789"

func (e *event) readExtension(name string, value any) error {
	if strings.Trim(name, lowerCase) != "" {
		return fmt.Errorf("no extension can be called %.20q", name)
	}
	switch value := value.(type) {
	case string:
		e.attributes[name] = value
	case json.Number:
		n, err := strconv.ParseInt(string(value), 10, 32)
		if err != nil {
			return fmt.Errorf("extension %s: %w", name, err)
		}
		e.attributes[name] = strconv.FormatInt(n, 10)
	default:
		e.attributes[name] = string(jackson.Append(nil, value))
	}
	return nil
}

// check refuses what Java's types do. The time becomes their text.
func (e *event) check() error {
	for _, name := range []string{memberID, memberSource, memberType} {
		if _, ok := e.attributes[name]; !ok {
			return fmt.Errorf("%s is missing", name)
		}
	}
	schema := memberSchema
	if e.attributes[memberVersion] == "0.3" {
		schema = "schemaurl"
	}
	for _, name := range []string{memberSource, schema} {
		if !javauri.Valid(e.attributes[name]) {
			return fmt.Errorf("%s is no URI", name)
		}
	}
	text, ok := e.attributes[memberTime]
	if !ok {
		return nil
	}
	t, err := parseTime(text)
	if err != nil {
		return err
	}
	e.attributes[memberTime] = timeText(t)
	return nil
}

var jsonType = regexp.MustCompile(`^(application|text)/([a-zA-Z]+\+)?json(;.*)*$`)

// isJSON tells whether the SDK takes the data to be JSON.
func (e *event) isJSON() bool {
	contentType, ok := e.attributes[memberContentType]
	return !ok || jsonType.MatchString(contentType)
}
