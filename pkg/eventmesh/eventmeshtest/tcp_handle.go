package eventmeshtest

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/eventing-eventmesh/eventing-eventmesh/pkg/eventmesh/tcp/frame"
)

func jsonInt(n int) json.Number { return json.Number(strconv.Itoa(n)) }

func (s *session) key() string { return fmt.Sprintf("%p", s) }

// handle acts on a frame; false says that the connection has to be reset.
func (s *session) handle(ctx context.Context, f frame.Frame) bool {
	if _, known := responses[f.Header.Command]; !known {
		s.server.s.options.Logf("resetting the connection of %v: command %q is unknown", s.conn.RemoteAddr(), f.Header.Command)
		return false
	}
	switch f.Header.Command {
	case frame.HelloRequest:
		return s.hello(f)
	case recommendRequest:
		s.answer(f.Header, 1, "java.lang.Exception: eventMesh registry is not enabled")
		return true
	}
	if !s.greeted() {
		s.fail(f, errors.New("no session is found"))
		return true
	}
	switch f.Header.Command {
	case frame.HeartbeatRequest:
		s.renew(f)
	case frame.SubscribeRequest:
		return s.subscribe(f)
	case frame.UnsubscribeRequest:
		s.unsubscribe(f)
	case frame.ListenRequest:
		s.listen(f)
	case frame.ClientGoodbyeRequest:
		if !s.server.s.fault().StallUnsubscribe {
			s.answer(f.Header, 0, "success")
			s.closeLater()
		}
	case frame.ServerGoodbyeResponse:
		s.closeLater()
	case frame.AsyncMessageToServer, frame.BroadcastMessageToServer:
		s.publish(ctx, f)
	case frame.RequestToServer:
		s.request(ctx, f)
	case frame.ResponseToServer:
		s.reply(f)
	case frame.AsyncMessageToClientAck, frame.BroadcastMessageToClientAck, frame.RequestToClientAck, frame.ResponseToClientAck:
		s.acknowledge(f.Header.Sequence)
	default:
		s.fail(f, errors.New("no processor for this command"))
	}
	return true
}

// fail answers with code 1.
func (s *session) fail(f frame.Frame, err error) {
	s.server.s.refused(fmt.Sprintf("%s over TCP", f.Header.Command), "1", err)
	s.answer(f.Header, 1, javaError(err))
}

func (s *session) greeted() bool {
	b := s.server.s.broker
	b.mu.Lock()
	defer b.mu.Unlock()
	return s.agent != nil
}

// hello opens the session. A refused one is answered, and then the connection is reset.
func (s *session) hello(f frame.Frame) bool {
	if s.server.s.fault().StallHello {
		return true
	}
	var a *agent
	if f.Body != nil && json.Unmarshal(f.Body, &a) != nil {
		return false
	}
	if reason := s.server.wrongAgent(a); reason != "" {
		s.server.s.refused("HELLO_REQUEST over TCP", "1", errors.New(reason))
		s.answer(f.Header, 1, stackTrace("org.apache.eventmesh.runtime.core.protocol.tcp.client.processor.HelloProcessor"))
		s.out.Close()
		return true
	}
	b := s.server.s.broker
	b.mu.Lock()
	defer b.mu.Unlock()
	if s.agent == nil {
		s.agent, s.heartbeat = a, time.Now()
		s.group = b.group(transportTCP, a.Group)
		s.record.User, s.record.Group = a.Username, a.Group
	}
	s.answer(f.Header, 0, "success")
	return true
}

func (t *tcpServer) wrongAgent(a *agent) string {
	switch {
	case a == nil:
		return "client info cannot be null"
	case t.s.fault().RefuseHello:
		return "a fault refuses every session"
	case !t.s.authorized(a.Username, a.Password):
		return fmt.Sprintf("wrong credentials of user %q", a.Username)
	case a.Version == nil:
		return "client version cannot be null"
	case a.Purpose != "pub" && a.Purpose != "sub":
		return "client purpose config is error"
	case strings.TrimSpace(a.Group) == "":
		return "client group cannot be null"
	}
	return ""
}

func (s *session) renew(f frame.Frame) {
	if s.server.s.fault().StallHeartbeats {
		return
	}
	b := s.server.s.broker
	b.mu.Lock()
	defer b.mu.Unlock()
	s.heartbeat = time.Now()
	s.answer(f.Header, 0, "success")
}

// subscribe adds topics to the session and its group. A mode or type that does not exist resets the connection.
func (s *session) subscribe(f frame.Frame) bool {
	var subscription *struct {
		Topics []item `json:"topicList"`
	}
	if f.Body != nil && json.Unmarshal(f.Body, &subscription) != nil {
		return false
	}
	switch fault := s.server.s.fault(); {
	case fault.StallSubscribe:
		return true
	case fault.RefuseSubscribe:
		s.fail(f, errSubscribeFault)
		return true
	case subscription == nil:
		s.fail(f, errors.New("subscriptionInfo can not be null"))
		return true
	}
	for _, i := range subscription.Topics {
		if err := i.check(); err != nil && !errors.Is(err, errUnrecognized) {
			s.server.s.options.Logf("resetting the connection of %v: %v", s.conn.RemoteAddr(), err)
			return false
		}
	}
	b := s.server.s.broker
	b.mu.Lock()
	defer b.mu.Unlock()
	if s.agent.Purpose != "sub" {
		s.fail(f, errors.New("client purpose config is not sub"))
		return true
	}
	for _, i := range subscription.Topics {
		if i.Topic == "" {
			s.fail(f, errors.New("a topic is empty"))
			return true
		}
		if !b.storage.exists(i.Topic) {
			s.fail(f, plainError("org.apache.rocketmq.client.exception.MQClientException: CODE: 17  DESC: No topic route info in name server "+
				"for the topic: "+i.Topic+"\nSee http://rocketmq.apache.org/docs/faq/ for further details."))
			return true
		}
		s.join(i)
	}
	s.answer(f.Header, 0, "success")
	return true
}

// join makes the session a member of its group for a topic. Who was first decides on mode and type. The broker is locked.
func (s *session) join(i item) {
	if !slices.Contains(s.topics, i.Topic) {
		s.topics = append(s.topics, i.Topic)
	}
	t := s.group.topics[i.Topic]
	if t != nil {
		t.members[s.key()] = s
		return
	}
	s.group.topics[i.Topic] = &topicMembers{mode: i.Mode, sync: i.Type == "SYNC", members: map[string]member{s.key(): s}}
	s.server.s.broker.storage.attach(i.Topic, s.group)
}

// unsubscribe takes the session off all its topics, whatever the request names.
func (s *session) unsubscribe(f frame.Frame) {
	if s.server.s.fault().StallUnsubscribe {
		return
	}
	b := s.server.s.broker
	b.mu.Lock()
	defer b.mu.Unlock()
	s.server.unsubscribe(s)
	s.answer(f.Header, 0, "success")
}

// listen lets events come. The second such request of a session has no answer.
func (s *session) listen(f frame.Frame) {
	b := s.server.s.broker
	b.mu.Lock()
	defer b.mu.Unlock()
	if s.listenRequested {
		return
	}
	s.listenRequested = true
	if s.agent.Purpose != "sub" {
		s.fail(f, errors.New("client purpose config is not sub"))
		return
	}
	s.answer(f.Header, 0, "success")
	s.listening, s.group.listening = true, true
	b.storage.listen(s.group)
}

// closeLater closes the session when a goodbye, or a redirect, has not made its client do so.
func (s *session) closeLater() {
	select {
	case s.goodbye <- struct{}{}:
	default:
	}
}

func (s *session) closeAfterGoodbye(ctx context.Context) {
	select {
	case <-s.goodbye:
	case <-ctx.Done():
		return
	}
	if pause(ctx, s.server.s.options.GoodbyeTimeout) == nil {
		s.out.Close()
	}
}
