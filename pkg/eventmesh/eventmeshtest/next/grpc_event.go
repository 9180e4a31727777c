package next

import (
	"errors"
	"fmt"
	"maps"
	"strconv"
	"strings"
	"time"

	"google.golang.org/protobuf/types/known/timestamppb"

	"github.com/eventing-eventmesh/eventing-eventmesh/pkg/eventmesh/grpc/eventmeshpb"
	"github.com/eventing-eventmesh/eventing-eventmesh/pkg/eventmesh/internal/javauri"
)

// attrDelivery is the attribute by which a stream might acknowledge.
const attrDelivery = "emdeliveryid"

// fromProto reads an event of the protocol of 1.x. All its attributes become extensions, of whatever name; those that are called as an
// attribute of CloudEvents take its place.
func fromProto(p *eventmeshpb.CloudEvent) (*event, error) {
	e := &event{attributes: map[string]string{
		memberVersion: "1.0", memberID: p.GetId(), memberSource: orElse(p.GetSource(), "/"), memberType: orElse(p.GetType(), "org.apache.eventmesh"),
	}}
	if !javauri.Valid(e.attributes[memberSource]) {
		return nil, errors.New("java.lang.IllegalArgumentException: the source is no URI")
	}
	for name, value := range p.GetAttributes() {
		if strings.Trim(name, lowerCase) != "" {
			return nil, fmt.Errorf("io.cloudevents.rw.CloudEventRWException: Invalid extensions name: %s", name)
		}
		if text, ok := attributeText(value); ok {
			e.attributes[name] = text
		}
	}
	switch data := p.GetData().(type) {
	case *eventmeshpb.CloudEvent_TextData:
		e.data = []byte(data.TextData)
	case *eventmeshpb.CloudEvent_BinaryData:
		e.data = data.BinaryData
	case *eventmeshpb.CloudEvent_ProtoData:
		e.data = data.ProtoData.GetValue()
	}
	return e, nil
}

func orElse(s, otherwise string) string {
	if s == "" {
		return otherwise
	}
	return s
}

func attributeText(v *eventmeshpb.CloudEvent_AttributeValue) (string, bool) {
	switch a := v.GetAttr().(type) {
	case *eventmeshpb.CloudEvent_AttributeValue_CeString:
		return a.CeString, true
	case *eventmeshpb.CloudEvent_AttributeValue_CeInteger:
		return strconv.Itoa(int(a.CeInteger)), true
	case *eventmeshpb.CloudEvent_AttributeValue_CeBoolean:
		return strconv.FormatBool(a.CeBoolean), true
	case *eventmeshpb.CloudEvent_AttributeValue_CeUri:
		return a.CeUri, true
	case *eventmeshpb.CloudEvent_AttributeValue_CeUriRef:
		return a.CeUriRef, true
	case *eventmeshpb.CloudEvent_AttributeValue_CeBytes:
		return validUTF8(a.CeBytes), true
	case *eventmeshpb.CloudEvent_AttributeValue_CeTimestamp:
		return timeText(a.CeTimestamp.AsTime()), true
	}
	return "", false
}

func validUTF8(b []byte) string { return strings.ToValidUTF8(string(b), "\ufffd") }

// toStream is the event as a stream gets it: with its id, its source, its type and its version twice, and all data as text. Empty data is
// none.
func (e *event) toStream(delivery string) *eventmeshpb.CloudEvent {
	p := e.header()
	p.SpecVersion = "1.0"
	all := maps.Clone(e.attributes)
	all[memberVersion], all[attrDelivery] = "1.0", delivery
	if t, err := parseTime(all[memberTime]); err == nil {
		all[memberTime] = timeText(t)
	}
	for name, value := range all {
		p.Attributes[name] = stringAttribute(validUTF8([]byte(value)))
	}
	if len(e.data) > 0 {
		p.Data = &eventmeshpb.CloudEvent_TextData{TextData: validUTF8(e.data)}
	}
	return p
}

// status is what an answer over gRPC says of itself, while gRPC's own status is OK.
type status struct{ code, text string }

var (
	statusSuccess      = status{"0", "success"}
	statusBody         = status{"7", "eventMesh CloudEvent[body] err, "}
	statusBatch        = status{"10", "eventMesh batch publish messages error, "}
	statusSend         = status{"14", "eventMesh send async msg err, "}
	statusRuntime      = status{"16", "eventMesh runtime err, "}
	statusSubscribe    = status{"17", "eventMesh subscribe err"}
	statusUnsubscribe  = status{"18", "eventMesh unsubscribe err"}
	statusRequestReply = status{"22", "eventMesh request reply msg err, "}
	statusResubscribe  = status{"30", "client needs to resubscribe."}
)

func (s status) answer(detail string) *eventmeshpb.CloudEvent {
	return &eventmeshpb.CloudEvent{
		Id: "resp-" + newID(), Source: "/", SpecVersion: "1.0", Type: "org.apache.eventmesh",
		Attributes: map[string]*eventmeshpb.CloudEvent_AttributeValue{
			"statuscode":      stringAttribute(s.code),
			"responsemessage": stringAttribute(validUTF8([]byte(s.text + detail))),
			memberTime: {Attr: &eventmeshpb.CloudEvent_AttributeValue_CeTimestamp{
				CeTimestamp: &timestamppb.Timestamp{Seconds: time.Now().Unix()},
			}},
		},
	}
}

func stringAttribute(s string) *eventmeshpb.CloudEvent_AttributeValue {
	return &eventmeshpb.CloudEvent_AttributeValue{Attr: &eventmeshpb.CloudEvent_AttributeValue_CeString{CeString: s}}
}
