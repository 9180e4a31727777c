package eventmeshtest

import (
	"errors"
	"fmt"
	"strings"
	"time"

	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/known/anypb"
	"google.golang.org/protobuf/types/known/timestamppb"

	"github.com/eventing-eventmesh/eventing-eventmesh/pkg/eventmesh/grpc/eventmeshpb"
	"github.com/eventing-eventmesh/eventing-eventmesh/pkg/eventmesh/internal/javauri"
)

// The names that EventMesh gives a meaning to.
const (
	attrSubject         = "subject"
	attrDataContentType = "datacontenttype"
	attrTime            = "time"
	attrDataSchema      = "dataschema"
	attrTTL             = "ttl"
	attrProtocolType    = "protocoltype"
	attrProtocolVersion = "protocolversion"
	attrProtocolDesc    = "protocoldesc"
	attrCorrelation     = "correlation99id"

	protocolCloudEvents      = "cloudevents"
	protocolEventMeshMessage = "eventmeshmessage"
	descGRPC                 = "grpc-cloud-event"
	descTCP                  = "tcp"
)

// message is an event as the server holds it between the transports. It is not changed once it is stored.
type message struct {
	topic string
	// event has no data; that is in data, or in proto.
	event *eventmeshpb.CloudEvent
	data  []byte
	proto *anypb.Any
	// parsed says that the data is JSON that EventMesh still holds as a tree, and writes anew.
	parsed bool
	// offset is its place in its topic, where the storage has places.
	offset uint64
	// publication is its number among all that was stored.
	publication uint64
}

func (m *message) attribute(name string) string { return attributeText(m.event.GetAttributes()[name]) }

func (m *message) set(name, value string) {
	if m.event.Attributes == nil {
		m.event.Attributes = map[string]*eventmeshpb.CloudEvent_AttributeValue{}
	}
	m.event.Attributes[name] = stringAttribute(value)
}

// clone returns a copy whose attributes can be changed.
func (m *message) clone() *message {
	c := *m
	c.event = proto.CloneOf(m.event)
	return &c
}

func (m *message) String() string {
	return fmt.Sprintf("event %q of topic %q", m.event.GetId(), m.topic)
}

func stringAttribute(s string) *eventmeshpb.CloudEvent_AttributeValue {
	return &eventmeshpb.CloudEvent_AttributeValue{Attr: &eventmeshpb.CloudEvent_AttributeValue_CeString{CeString: s}}
}

// uriAttribute is a URI, or where it has no scheme, a reference to one.
func uriAttribute(s string) *eventmeshpb.CloudEvent_AttributeValue {
	if scheme, _, ok := strings.Cut(s, ":"); ok && !strings.ContainsAny(scheme, "/?#") {
		return &eventmeshpb.CloudEvent_AttributeValue{Attr: &eventmeshpb.CloudEvent_AttributeValue_CeUri{CeUri: s}}
	}
	return &eventmeshpb.CloudEvent_AttributeValue{Attr: &eventmeshpb.CloudEvent_AttributeValue_CeUriRef{CeUriRef: s}}
}

func timestampAttribute(t time.Time) *eventmeshpb.CloudEvent_AttributeValue {
	return &eventmeshpb.CloudEvent_AttributeValue{
		Attr: &eventmeshpb.CloudEvent_AttributeValue_CeTimestamp{CeTimestamp: timestamppb.New(t)},
	}
}

func millis(t time.Time) string { return fmt.Sprint(t.UnixMilli()) }

// isText tells whether EventMesh keeps data of this content type as text; it compares plain strings.
func isText(contentType string) bool {
	return strings.HasPrefix(contentType, "text/") || contentType == "application/json" || contentType == "application/xml" ||
		strings.HasSuffix(contentType, "+json") || strings.HasSuffix(contentType, "+xml")
}

// isJSON tells whether the CloudEvents SDK that EventMesh uses takes the data to be JSON.
func isJSON(contentType string) bool {
	base, _, _ := strings.Cut(contentType, ";")
	main, sub, _ := strings.Cut(base, "/")
	return contentType == "" || (main == "application" || main == "text") && (sub == "json" || strings.HasSuffix(sub, "+json"))
}

// check refuses what the CloudEvents SDK does: names of other than lower-case letters and digits, and sources that are no URI.
// An attribute that is called as a mandatory one takes its place.
func (m *message) check() error {
	for name, target := range map[string]*string{"id": &m.event.Id, "source": &m.event.Source, "type": &m.event.Type} {
		if v, ok := m.event.GetAttributes()[name]; ok {
			*target = attributeText(v)
			delete(m.event.Attributes, name)
		}
	}
	if _, ok := m.event.GetAttributes()["specversion"]; ok {
		return errors.New("specversion is set as an attribute")
	}
	if v := m.event.GetSpecVersion(); v != "1.0" && v != "0.3" {
		return fmt.Errorf("invalid specversion: %s", v)
	}
	if !javauri.Valid(m.event.GetSource()) {
		return invalidValue("source", m.event.GetSource())
	}
	for name, value := range m.event.GetAttributes() {
		if strings.Trim(name, "abcdefghijklmnopqrstuvwxyz0123456789") != "" {
			return fmt.Errorf("Invalid extensions name: %s", name) //nolint:staticcheck // the words of the Java SDK
		}
		switch uri := value.GetAttr().(type) { // which are one type in Java
		case *eventmeshpb.CloudEvent_AttributeValue_CeUri:
			m.event.Attributes[name] = uriAttribute(uri.CeUri)
		case *eventmeshpb.CloudEvent_AttributeValue_CeUriRef:
			m.event.Attributes[name] = uriAttribute(uri.CeUriRef)
		}
	}
	if _, ok := m.event.GetAttributes()[attrDataSchema]; ok {
		schema := m.attribute(attrDataSchema)
		if !javauri.Valid(schema) {
			return invalidValue(attrDataSchema, schema)
		}
		m.event.Attributes[attrDataSchema] = uriAttribute(schema)
	}
	if v, ok := m.event.GetAttributes()[attrTime]; ok && v.GetCeTimestamp() == nil {
		t, err := time.Parse(time.RFC3339Nano, v.GetCeString())
		if err != nil {
			return invalidValue(attrTime, v.GetCeString())
		}
		m.event.Attributes[attrTime] = timestampAttribute(t)
	}
	return nil
}

// invalidValue is what the Java SDK says.
func invalidValue(name, value string) error {
	return fmt.Errorf("Invalid attribute/extension value for %q: %s", name, value) //nolint:staticcheck // its words
}
