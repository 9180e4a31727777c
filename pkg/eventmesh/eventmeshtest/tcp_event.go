package eventmeshtest

import (
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"strconv"
	"strings"

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
	m, err := decode(f)
	if err != nil {
		return nil, err
	}
	if m.data == nil {
		return nil, plainError("java.lang.NullPointerException")
	}
	for name, value := range properties {
		m.set(name, value)
	}
	m.topic = m.attribute(attrSubject)
	return m, m.check()
}

// protocolOf returns all properties of a header as the strings that become attributes.
func protocolOf(h frame.Header) (map[string]string, error) {
	properties := map[string]string{}
	for name, value := range h.Properties {
		switch v := value.(type) {
		case nil:
			return nil, plainError("java.lang.NullPointerException")
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
			return nil, fmt.Errorf("%w: header property %s is missing", plainError("java.lang.NullPointerException"), name)
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

// decodeStructured reads a CloudEvent as the Java SDK does.
func decodeStructured(f frame.Frame) (*message, error) {
	value, err := parseJSON([]byte(validUTF8(f.Body)))
	if err != nil {
		return nil, err
	}
	o, ok := value.(*jsonObject)
	if !ok {
		return nil, errors.New("a CloudEvent is a JSON object")
	}
	m := &message{event: &eventmeshpb.CloudEvent{}}
	for name, target := range map[string]*string{
		"specversion": &m.event.SpecVersion, "id": &m.event.Id, "source": &m.event.Source, "type": &m.event.Type,
	} {
		if *target, ok = o.values[name].(string); !ok {
			return nil, fmt.Errorf("missing mandatory %s attribute", name)
		}
		delete(o.values, name)
	}
	for _, name := range []string{attrDataContentType, attrDataSchema, attrSubject, attrTime} {
		switch v := o.values[name].(type) {
		case nil:
		case string:
			m.set(name, v)
		default:
			return nil, fmt.Errorf("wrong type for attribute %s, expecting STRING", name)
		}
		delete(o.values, name)
	}
	if err := m.readData(o); err != nil {
		return nil, err
	}
	for name, v := range o.values {
		if err := m.setValue(name, v); err != nil {
			return nil, err
		}
	}
	return m, nil
}

// readData takes JSON data apart and puts it together again, which is where its form changes.
func (m *message) readData(o *jsonObject) error {
	text, hasBase64 := o.values["data_base64"]
	data, hasData := o.values["data"]
	delete(o.values, "data_base64")
	delete(o.values, "data")
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
		m.data = appendJSON(nil, data)
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
		m.set(name, string(appendJSON(nil, v)))
	}
	return nil
}

// decodeEventMeshMessage reads EventMesh's own message format.
func decodeEventMeshMessage(f frame.Frame) (*message, error) {
	var body struct {
		Topic      string            `json:"topic"`
		Properties map[string]string `json:"properties"`
		Headers    map[string]string `json:"headers"`
		Body       *string           `json:"body"`
	}
	if err := json.Unmarshal(f.Body, &body); err != nil {
		return nil, fmt.Errorf("reading an EventMesh message: %w", err)
	}
	if body.Body == nil {
		return nil, plainError("java.lang.NullPointerException")
	}
	m := &message{
		event: &eventmeshpb.CloudEvent{SpecVersion: "1.0", Id: f.Header.Sequence, Source: "/", Type: protocolEventMeshMessage},
		data:  []byte(*body.Body),
	}
	for name, value := range body.Properties {
		m.set(name, value)
	}
	if t, ok := body.Headers[attrDataContentType]; ok {
		m.set(attrDataContentType, t)
	}
	m.set(attrSubject, body.Topic)
	return m, nil
}
