package eventmeshtest

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"

	"github.com/eventing-eventmesh/eventing-eventmesh/pkg/eventmesh/grpc/eventmeshpb"
)

// The client types of a heartbeat. A publisher's are refused after all checks.
const (
	clientPublisher  = 1
	clientSubscriber = 2
)

type heartbeatService struct {
	eventmeshpb.UnimplementedHeartbeatServiceServer
	s *Server
}

// Heartbeat renews a client's sessions, by topic.
func (h *heartbeatService) Heartbeat(ctx context.Context, e *eventmeshpb.CloudEvent) (*eventmeshpb.CloudEvent, error) {
	if h.s.fault().StallHeartbeats {
		return nil, pause(ctx, -1)
	}
	if refusal := h.s.validateClient("heartbeat", e); refusal != nil {
		return refusal, nil
	}
	var items []item
	if err := json.Unmarshal([]byte(e.GetTextData()), &items); err != nil || items == nil {
		h.s.refused("heartbeat", "19", err)
		return answer(statusHeartbeat, "heartbeatItems can't be null"), nil
	}
	if e.GetAttributes()["clienttype"].GetCeInteger() == clientPublisher && wireString(e, "producergroup") != "" {
		return answer(statusBody, ""), nil // a publisher finds out that the server is alive; nothing is lost by it
	}
	if reason := wrongHeartbeat(e, items); reason != "" {
		h.s.refused("heartbeat", "7", errors.New(reason))
		return answer(statusBody, ""), nil
	}
	if refusal := h.s.checkACL("heartbeat", e); refusal != nil {
		return refusal, nil
	}
	for _, i := range items {
		if !h.s.broker.renew(identify(e), i.Topic) { // which is how a client finds out; nothing is lost by it
			return answer(statusResubscribe, ""), nil
		}
	}
	return answer(statusSuccess, "heartbeat success"), nil
}

func wrongHeartbeat(e *eventmeshpb.CloudEvent, items []item) string {
	clientType := e.GetAttributes()["clienttype"].GetCeInteger()
	if clientType == clientSubscriber && wireString(e, "consumergroup") == "" {
		return "attribute consumergroup is missing"
	}
	if clientType == clientPublisher && wireString(e, "producergroup") == "" {
		return "attribute producergroup is missing"
	}
	for _, i := range items {
		if i.Topic == "" {
			return "a topic is empty"
		}
	}
	if clientType != clientSubscriber {
		return "clienttype is not the integer 2; only subscribers have heartbeats"
	}
	return ""
}

// validateClient refuses a call that lacks what every call needs.
func (s *Server) validateClient(call string, e *eventmeshpb.CloudEvent) *eventmeshpb.CloudEvent {
	missing := missingClientAttribute(e)
	if missing == "" {
		return nil
	}
	s.refused(call, "6", fmt.Errorf("attribute %s is missing, is no string, or has a wrong value", missing))
	return answer(statusHeader, "")
}

// checkACL refuses wrong credentials, when there are right ones.
func (s *Server) checkACL(call string, e *eventmeshpb.CloudEvent) *eventmeshpb.CloudEvent {
	if s.authorized(wireString(e, "username"), wireString(e, "passwd")) {
		return nil
	}
	s.refused(call, "20", fmt.Errorf("wrong credentials of user %q", wireString(e, "username")))
	return answer(statusACL, "")
}

func (s *Server) authorized(user, password string) bool {
	if s.options.Credentials == nil {
		return true
	}
	want, known := s.options.Credentials[user]
	return known && want == password
}
