package eventmeshtest

import (
	"crypto/rand"
	"encoding/json"
	"fmt"
	"maps"
	"slices"
	"strconv"
	"strings"

	"github.com/eventing-eventmesh/eventing-eventmesh/pkg/eventmesh/grpc/eventmeshpb"
)

// EventMesh renders an event for a subscriber by what its publisher has called its own protocol, not by what the
// subscriber speaks. renderGRPC and renderTCP fail where that does not fit.

func renderGRPC(m *message) (*eventmeshpb.CloudEvent, error) {
	if err := checkDescription(m, descGRPC); err != nil {
		return nil, err
	}
	return m.toProto(), nil
}

func checkDescription(m *message, want string) error {
	if t := m.attribute(attrProtocolType); t != protocolCloudEvents && t != protocolEventMeshMessage {
		return fmt.Errorf("its protocoltype is %q", t)
	}
	if got := m.attribute(attrProtocolDesc); got != want {
		return fmt.Errorf("its publisher set protocoldesc %q, which does not reach a subscriber of %q", got, want)
	}
	return nil
}

// renderTCP returns a frame's body.
func renderTCP(m *message) ([]byte, error) {
	if err := checkDescription(m, descTCP); err != nil {
		return nil, err
	}
	if m.attribute(attrProtocolType) == protocolEventMeshMessage {
		return renderEventMeshMessage(m), nil
	}
	contentType := m.attribute(attrDataContentType)
	if base, _, _ := strings.Cut(contentType, ";"); base != "application/cloudevents+json" {
		return nil, fmt.Errorf("its datacontenttype is %q, and only application/cloudevents+json reaches a TCP subscriber", contentType)
	}
	return renderStructured(m), nil
}

// renderStructured writes the data as it is, since its content type says that it is JSON, whether it is or not. Only a tree is
// written by Jackson, which escapes characters that are two in UTF-16.
func renderStructured(m *message) []byte {
	o := &jsonObject{values: map[string]any{}}
	o.set("specversion", m.event.GetSpecVersion())
	o.set("id", m.event.GetId())
	o.set("source", m.event.GetSource())
	o.set("type", m.event.GetType())
	attributes := m.event.GetAttributes()
	for _, name := range slices.Sorted(maps.Keys(attributes)) {
		switch a := attributes[name].GetAttr().(type) {
		case *eventmeshpb.CloudEvent_AttributeValue_CeBoolean:
			o.set(name, a.CeBoolean)
		case *eventmeshpb.CloudEvent_AttributeValue_CeInteger:
			o.set(name, json.Number(strconv.Itoa(int(a.CeInteger))))
		default:
			o.set(name, attributeText(attributes[name]))
		}
	}
	if m.data != nil {
		data := validUTF8(m.data)
		if m.parsed {
			data = escapeSupplementary(data)
		}
		o.set("data", json.RawMessage(data))
	}
	return appendJSON(nil, o)
}

// renderEventMeshMessage writes EventMesh's own message format, which is no CloudEvent.
func renderEventMeshMessage(m *message) []byte {
	properties := &jsonObject{values: map[string]any{}}
	headers := &jsonObject{values: map[string]any{}}
	attributes := m.event.GetAttributes()
	for _, name := range slices.Sorted(maps.Keys(attributes)) {
		text := attributeText(attributes[name])
		if _, isBytes := attributes[name].GetAttr().(*eventmeshpb.CloudEvent_AttributeValue_CeBytes); isBytes {
			text = "[B@42cbd6fa" // how Java calls an array, whatever is in it
		}
		switch name {
		case attrSubject, attrTime, attrDataSchema:
		case attrDataContentType:
			if strings.TrimSpace(text) != "" {
				headers.set(name, text)
			}
		default:
			properties.set(name, text)
		}
	}
	o := &jsonObject{values: map[string]any{}}
	o.set("topic", m.topic)
	o.set("properties", properties)
	o.set("headers", headers)
	o.set("body", validUTF8(m.data))
	return appendJSON(nil, o)
}

func validUTF8(b []byte) string { return strings.ToValidUTF8(string(b), "\ufffd") }

func newID() string { return rand.Text() }

// stackTrace is what EventMesh gives as the reason of many failures: no message, but where it happened.
func stackTrace(class string) string {
	short := class[strings.LastIndexByte(class, '.')+1:]
	return fmt.Sprintf("[%s.process(%s.java:87), java.base/java.util.concurrent.ThreadPoolExecutor$Worker.run(ThreadPoolExecutor.java:635), "+
		"java.base/java.lang.Thread.run(Thread.java:840)]", class, short)
}
