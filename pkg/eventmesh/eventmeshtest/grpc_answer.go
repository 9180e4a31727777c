package eventmeshtest

import (
	"time"

	"google.golang.org/protobuf/proto"

	"github.com/eventing-eventmesh/eventing-eventmesh/pkg/eventmesh/grpc/eventmeshpb"
)

// statusCode is what an answer over gRPC says of itself, while gRPC's own status is OK.
type statusCode struct{ code, text string }

var (
	statusSuccess        = statusCode{"0", "success"}
	statusHeader         = statusCode{"6", "eventMesh CloudEvent[header] err, "}
	statusBody           = statusCode{"7", "eventMesh CloudEvent[body] err, "}
	statusBatch          = statusCode{"10", "eventMesh batch publish messages error, "}
	statusSend           = statusCode{"14", "eventMesh send async msg err, "}
	statusReply          = statusCode{"15", "eventMesh reply msg err, "}
	statusSubscribe      = statusCode{"17", "eventMesh subscribe err"}
	statusUnsubscribe    = statusCode{"18", "eventMesh unsubscribe err"}
	statusHeartbeat      = statusCode{"19", "eventMesh heartbeat err"}
	statusACL            = statusCode{"20", "eventMesh acl err"}
	statusRate           = statusCode{"21", "eventMesh send message speed over the limit err."}
	statusRequestReply   = statusCode{"22", "eventMesh request reply msg err, "}
	statusResubscribe    = statusCode{"30", "client needs to resubscribe."}
	statusOverload       = statusCode{"1", "eventMesh overload, try later, "}
	statusStop           = statusCode{"8", "eventMesh will stop or had stopped, "}
	statusRuntime        = statusCode{"16", "eventMesh runtime err, "}
	statusBatchSpeed     = statusCode{"11", "eventMesh batch msg speed over the limit, "}
	statusProducerClosed = statusCode{"13", "eventMesh group producer stopped, "}
)

// statusOf finds the text of a code that a fault asks for.
func statusOf(code, text string) statusCode {
	if text != "" {
		return statusCode{code, text}
	}
	for _, s := range []statusCode{
		statusHeader, statusBody, statusBatch, statusSend, statusReply, statusSubscribe, statusUnsubscribe, statusHeartbeat,
		statusACL, statusRate, statusRequestReply, statusResubscribe, statusOverload, statusStop, statusRuntime, statusBatchSpeed,
		statusProducerClosed,
	} {
		if s.code == code {
			return s
		}
	}
	return statusCode{code, "refused"}
}

// answer is an answer of its own; the real server appends the detail to its text after a space.
func answer(s statusCode, detail string) *eventmeshpb.CloudEvent {
	e := &eventmeshpb.CloudEvent{SpecVersion: "1.0"}
	text := s.text
	if detail != "" {
		e.Id = newID()
		text += " " + detail
	}
	return withStatus(e, s.code, text)
}

// echo is an answer that repeats what it answers.
func echo(request *eventmeshpb.CloudEvent, s statusCode, detail string) *eventmeshpb.CloudEvent {
	text := detail
	if text == "" {
		text = s.text
	}
	return withStatus(proto.CloneOf(request), s.code, text)
}

func withStatus(e *eventmeshpb.CloudEvent, code, text string) *eventmeshpb.CloudEvent {
	if e.Attributes == nil {
		e.Attributes = map[string]*eventmeshpb.CloudEvent_AttributeValue{}
	}
	e.Attributes["statuscode"] = stringAttribute(code)
	e.Attributes["responsemessage"] = stringAttribute(validUTF8([]byte(text)))
	e.Attributes[attrTime] = timestampAttribute(time.Now())
	return e
}
