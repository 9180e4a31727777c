package eventmeshtest

import (
	"crypto/rand"
	"encoding/json"
	"fmt"
	"maps"
	"slices"
	"strconv"
	"strings"

	"github.com/eventing-eventmesh/eventing-eventmesh/pkg/eventmesh/eventmeshtest/internal/jackson"
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
	o := jackson.NewObject()
	o.Set("specversion", m.event.GetSpecVersion())
	o.Set("id", m.event.GetId())
	o.Set("source", m.event.GetSource())
	o.Set("type", m.event.GetType())
	attributes := m.event.GetAttributes()
	for _, name := range slices.Sorted(maps.Keys(attributes)) {
		switch a := attributes[name].GetAttr().(type) {
		case *eventmeshpb.CloudEvent_AttributeValue_CeBoolean:
			o.Set(name, a.CeBoolean)
		case *eventmeshpb.CloudEvent_AttributeValue_CeInteger:
			o.Set(name, json.Number(strconv.Itoa(int(a.CeInteger))))
		default:
			o.Set(name, attributeText(attributes[name]))
		}
	}
	if m.data != nil {
		data := validUTF8(m.data)
		if m.parsed {
			data = jackson.EscapeSupplementary(data)
		}
		o.Set("data", json.RawMessage(data))
	}
	return jackson.Append(nil, o)
}

// renderEventMeshMessage writes EventMesh's own message format, which is no CloudEvent.
func renderEventMeshMessage(m *message) []byte {
	properties := jackson.NewObject()
	headers := jackson.NewObject()
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
				headers.Set(name, text)
			}
		default:
			properties.Set(name, text)
		}
	}
	o := jackson.NewObject()
	o.Set("topic", m.topic)
	o.Set("properties", properties)
	o.Set("headers", headers)
	o.Set("body", validUTF8(m.data))
	return jackson.Append(nil, o)
}

func validUTF8(b []byte) string { return strings.ToValidUTF8(string(b), "\ufffd") }

func newID() string { return rand.Text() }

// stackTrace is what EventMesh gives as the reason of many failures: no message, but where it happened.
func stackTrace(class string) string {
	short := class[strings.LastIndexByte(class, '.')+1:]
	return fmt.Sprintf("[%s.process(%s.java:87), java.base/java.util.concurrent.ThreadPoolExecutor$Worker.run(ThreadPoolExecutor.java:635), "+
		"java.base/java.lang.Thread.run(Thread.java:840)]", class, short)
}
