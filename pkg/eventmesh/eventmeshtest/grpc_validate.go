package eventmeshtest

import (
	"encoding/json"
	"errors"
	"fmt"
	"strings"

	"github.com/eventing-eventmesh/eventing-eventmesh/pkg/eventmesh/grpc/eventmeshpb"
)

// missingClientAttribute returns the first attribute that every call needs and this one lacks.
func missingClientAttribute(e *eventmeshpb.CloudEvent) string {
	for _, name := range []string{"idc", "env", "ip", "pid", "sys", "username", "passwd", "language"} {
		if wireString(e, name) == "" {
			return name
		}
	}
	if strings.Trim(wireString(e, "pid"), "0123456789") != "" {
		return "pid"
	}
	return ""
}

// wrongBody says what a publish lacks: a required attribute, or data in the field that its content type asks for.
func wrongBody(e *eventmeshpb.CloudEvent) string {
	for _, name := range []string{"uniqueid", "producergroup", attrSubject, attrTTL} {
		if wireString(e, name) == "" {
			return "attribute " + name + " is missing"
		}
	}
	contentType := wireString(e, attrDataContentType)
	field, empty := "binary_data", len(e.GetBinaryData()) == 0
	switch {
	case isText(contentType):
		field, empty = "text_data", e.GetTextData() == ""
	case contentType == "application/protobuf":
		field, empty = "proto_data", e.GetProtoData() == nil
	}
	if empty {
		return fmt.Sprintf("%s is empty, which is where data of type %q belongs", field, contentType)
	}
	return ""
}

// toMessage converts a publish as EventMesh's protocol adaptor does.
func toMessage(e *eventmeshpb.CloudEvent) (*message, error) {
	switch t := wireString(e, attrProtocolType); t {
	case protocolCloudEvents, protocolEventMeshMessage:
	case "":
		return nil, errors.New("attribute protocoltype is missing")
	default:
		return nil, fmt.Errorf("cannot find the Protocol adaptor: %s", t)
	}
	m := (&message{topic: wireString(e, attrSubject), event: e}).clone()
	switch d := m.event.GetData().(type) {
	case *eventmeshpb.CloudEvent_BinaryData:
		m.data = d.BinaryData
	case *eventmeshpb.CloudEvent_TextData:
		m.data = []byte(d.TextData)
	case *eventmeshpb.CloudEvent_ProtoData:
		m.proto = d.ProtoData
	}
	m.event.Data = nil
	return m, m.check()
}

// item is one topic of a subscription.
type item struct {
	Topic string `json:"topic"`
	Mode  string `json:"mode"`
	Type  string `json:"type"`
}

var errUnrecognized = errors.New("UNRECOGNIZED")

// check tells a value that EventMesh cannot read at all from one that it reads and refuses.
func (i item) check() error {
	known := func(value string, values ...string) error {
		for _, v := range values {
			if value == v {
				return nil
			}
		}
		if value == errUnrecognized.Error() {
			return errUnrecognized
		}
		return fmt.Errorf("no enum constant %s", value)
	}
	return errors.Join(known(i.Mode, "", clustering, broadcasting), known(i.Type, "", "SYNC", "ASYNC"))
}

// subscriptionOf reads the topics of a subscription. A wrong one is refused with code 7 when refused is set, and is an
// exception of the server when err is.
func subscriptionOf(e *eventmeshpb.CloudEvent) (items []item, refused string, err error) {
	if err := json.Unmarshal([]byte(e.GetTextData()), &items); err != nil && e.GetTextData() != "" {
		return nil, "", fmt.Errorf("deserializing the subscription: %w", err)
	}
	if len(items) == 0 {
		return nil, "the subscription names no topic", nil
	}
	if wireString(e, "consumergroup") == "" {
		return nil, "attribute consumergroup is missing", nil
	}
	for _, i := range items {
		switch err := i.check(); {
		case errors.Is(err, errUnrecognized):
			return nil, "mode or type is UNRECOGNIZED", nil
		case err != nil:
			return nil, "", err
		case i.Topic == "":
			return nil, "a topic is empty", nil
		}
	}
	return items, "", nil
}
