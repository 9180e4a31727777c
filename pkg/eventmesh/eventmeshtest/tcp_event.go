package eventmeshtest

import (
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"strconv"
	"strings"

	"github.com/eventing-eventmesh/eventing-eventmesh/pkg/eventmesh/eventmeshtest/internal/jackson"
	"github.com/eventing-eventmesh/eventing-eventmesh/pkg/eventmesh/grpc/eventmeshpb"
	"github.com/eventing-eventmesh/eventing-eventmesh/pkg/eventmesh/tcp/frame"
)

// decodeTCP reads a publish or a reply: its protocol is in the frame's header, the event in the body.
func decodeTCP(f frame.Frame) (*message, error) {
	properties, err := protocolOf(f.Header)
	if err != nil {
		return nil, err
	}
	if len(strings.TrimSpace(string(f.Body))) == 0 {
		return nil, errors.New("invalid method params cloudEventJson null")
	}
	decode := decodeStructured
	if properties[attrProtocolType] == protocolEventMeshMessage {
		decode = decodeEventMeshMessage
	}
	m, err := decode(f, properties)
	if err != nil {
		return nil, err
	}
	if m.data == nil {
		return nil, errNullPointer
	}
	m.topic = m.attribute(attrSubject)
	return m, m.check()
}

const errNullPointer = plainError("java.lang.NullPointerException")

// protocolOf returns all properties of a header as the strings that become attributes.
func protocolOf(h frame.Header) (map[string]string, error) {
	properties := map[string]string{}
	for name, value := range h.Properties {
		switch v := value.(type) {
		case nil:
			return nil, errNullPointer
		case string:
			properties[name] = v
		case float64:
			properties[name] = strconv.FormatFloat(v, 'f', -1, 64)
		default:
			properties[name] = fmt.Sprint(v)
		}
	}
	for _, name := range []string{attrProtocolType, attrProtocolVersion, attrProtocolDesc} {
		if strings.TrimSpace(properties[name]) == "" {
			return nil, fmt.Errorf("%w: header property %s is missing", errNullPointer, name)
		}
	}
	if t := properties[attrProtocolType]; t != protocolCloudEvents && t != protocolEventMeshMessage {
		return nil, fmt.Errorf("cannot find the Protocol adaptor: %s", t)
	}
	if v := properties[attrProtocolVersion]; v != "1.0" && v != "0.3" {
		return nil, fmt.Errorf("unsupported protocolVersion: %s", v)
	}
	return properties, nil
}

// decodeStructured reads a CloudEvent as the Java SDK does. The header's properties replace its extensions.
func decodeStructured(f frame.Frame, properties map[string]string) (*message, error) {
	value, err := jackson.Parse([]byte(validUTF8(f.Body)))
	if err != nil {
		return nil, err
	}
	o, ok := value.(*jackson.Object)
	if !ok {
		return nil, errors.New("a CloudEvent is a JSON object")
	}
	m := &message{event: &eventmeshpb.CloudEvent{}}
	for name, target := range map[string]*string{
		"specversion": &m.event.SpecVersion, "id": &m.event.Id, "source": &m.event.Source, "type": &m.event.Type,
	} {
		if *target, ok = o.Values[name].(string); !ok {
			return nil, fmt.Errorf("missing mandatory %s attribute", name)
		}
		delete(o.Values, name)
	}
	for _, name := range []string{attrDataContentType, attrDataSchema, attrSubject, attrTime} {
		switch v := o.Values[name].(type) {
		case nil:
		case string:
			m.set(name, v)
		default:
			return nil, fmt.Errorf("wrong type for attribute %s, expecting STRING", name)
		}
		delete(o.Values, name)
	}
	if err := m.readData(o); err != nil {
		return nil, err
	}
	for name, v := range o.Values {
		if err := m.setValue(name, v); err != nil {
			return nil, err
		}
	}
	for name, value := range properties {
		m.set(name, value)
	}
	return m, nil
}

// readData takes JSON data apart and puts it together again, which is where its form changes.
func (m *message) readData(o *jackson.Object) error {
	text, hasBase64 := o.Values["data_base64"]
	data, hasData := o.Values["data"]
	delete(o.Values, "data_base64")
	delete(o.Values, "data")
	contentType := m.attribute(attrDataContentType)
	switch {
	case hasBase64 && hasData:
		return errors.New("a CloudEvent cannot have both 'data' and 'data_base64' fields")
	case hasBase64:
		b, err := base64.StdEncoding.DecodeString(fmt.Sprint(text))
		if err != nil {
			return fmt.Errorf("reading data_base64: %w", err)
		}
		m.data = b
	case !hasData:
	case isJSON(contentType):
		m.data, m.parsed = jackson.Append(nil, data), true
		if contentType == "" {
			m.set(attrDataContentType, "application/json")
		}
	default:
		s, ok := data.(string)
		if !ok {
			return errors.New("wrong type for attribute data, expecting STRING: because content type is not a json, only a string is accepted as data")
		}
		m.data = []byte(s)
	}
	return nil
}

// setValue sets an extension to a value of JSON. Of numbers only those of 32 bits exist.
func (m *message) setValue(name string, v any) error {
	switch v := v.(type) {
	case string:
		m.set(name, v)
	case bool:
		m.set(name, "")
		m.event.Attributes[name] = &eventmeshpb.CloudEvent_AttributeValue{Attr: &eventmeshpb.CloudEvent_AttributeValue_CeBoolean{CeBoolean: v}}
	case json.Number:
		n, err := strconv.ParseInt(string(v), 10, 32)
		if err != nil {
			return fmt.Errorf("invalid attribute/extension type for %q: %s", name, v)
		}
		m.set(name, "")
		m.event.Attributes[name] = &eventmeshpb.CloudEvent_AttributeValue{
			Attr: &eventmeshpb.CloudEvent_AttributeValue_CeInteger{CeInteger: int32(n)},
		}
	default:
		m.set(name, string(jackson.Append(nil, v)))
	}
	return nil
}

// decodeEventMeshMessage reads EventMesh's own message format. Its properties replace the header's, and the topic too if one of
// them is called subject.
func decodeEventMeshMessage(f frame.Frame, properties map[string]string) (*message, error) {
	value, err := jackson.Parse([]byte(validUTF8(f.Body)))
	if err != nil {
		return nil, err
	}
	o, ok := value.(*jackson.Object)
	switch {
	case value == nil:
		return nil, errNullPointer
	case !ok:
		return nil, errors.New("deserialize json string to object error")
	}
	m := &message{event: &eventmeshpb.CloudEvent{
		SpecVersion: properties[attrProtocolVersion], Id: f.Header.Sequence, Source: "/", Type: protocolEventMeshMessage,
	}}
	fields, err := stringFields(o, "topic", "body")
	if err != nil {
		return nil, err
	}
	headers, err := stringMap(o, "headers")
	if err != nil {
		return nil, err
	}
	own, err := stringMap(o, "properties")
	if err != nil {
		return nil, err
	}
	if body := fields["body"]; body != nil {
		m.data = []byte(*body)
	}
	if t := fields["topic"]; t != nil {
		m.set(attrSubject, *t)
	}
	if t := headers[attrDataContentType]; t != nil {
		m.set(attrDataContentType, *t)
	}
	for name, value := range properties {
		m.set(name, value)
	}
	for name, value := range own {
		if value == nil {
			return nil, fmt.Errorf("illegal value inside extensions map: %s=null", name)
		}
		m.set(name, *value)
	}
	return m, nil
}

// stringMap reads an object of strings. It may be absent, but not null.
func stringMap(o *jackson.Object, name string) (map[string]*string, error) {
	value, present := o.Values[name]
	if !present {
		return nil, nil //nolint:nilnil // an absent map is an empty one
	}
	inner, ok := value.(*jackson.Object)
	switch {
	case value == nil:
		return nil, errNullPointer
	case !ok:
		return nil, fmt.Errorf("deserialize json string to object error: %s", name)
	}
	return stringFields(inner, inner.Keys...)
}

// stringFields reads fields as strings, as Jackson does: numbers and booleans as they are written, null as nil.
func stringFields(o *jackson.Object, names ...string) (map[string]*string, error) {
	fields := make(map[string]*string, len(names))
	for _, name := range names {
		switch v := o.Values[name].(type) {
		case nil:
			fields[name] = nil
		case string, bool, json.Number:
			s := fmt.Sprint(v)
			fields[name] = &s
		default:
			return nil, fmt.Errorf("deserialize json string to object error: %s", name)
		}
	}
	return fields, nil
}
