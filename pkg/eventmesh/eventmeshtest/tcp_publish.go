package eventmeshtest

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"slices"
	"time"
	"unicode/utf16"

	"github.com/eventing-eventmesh/eventing-eventmesh/pkg/eventmesh/eventmeshtest/internal/jackson"
	"github.com/eventing-eventmesh/eventing-eventmesh/pkg/eventmesh/tcp/frame"
)

// sendPatience is how long EventMesh waits for a permit of its limits on TCP before it refuses.
const sendPatience = 5 * time.Millisecond

// publish stores an event and answers.
func (s *session) publish(ctx context.Context, f frame.Frame) {
	s.server.handling.Store(&handled{s, f.Header.Sequence})
	m, err := s.admit(ctx, f)
	if err == nil {
		if err = s.server.s.broker.publish(m); err != nil {
			s.release()
		}
	}
	if err != nil {
		s.server.s.refused(fmt.Sprintf("%s over TCP", f.Header.Command), "1", err)
		s.later(ctx, func() { s.send(s.answerTo(f.Header, 1, javaError(err))) })
		return
	}
	if happens(s.server.s.fault().LoseAnswers) {
		s.release()
		return
	}
	next := s.sequenceNow(f.Header.Sequence)
	s.later(ctx, func() {
		to := s.confirming(next)
		to.session.release()
		answer := s.answerTo(f.Header, 0, "success")
		answer.Header.Sequence = to.sequence
		answer.Body = javaBean(m)
		to.session.send(answer)
	})
}

// handled is a frame that a processor handles, and whose session it came by.
type handled struct {
	session  *session
	sequence string
}

// confirming returns by which session and under which sequence number EventMesh confirms a publish, and whose permit it returns: its
// processor is one for all sessions, and keeps what it handles in a field, which the next publish overwrites, of whatever session. A
// refusal goes where it belongs. The sequence number is that of the session itself, where no other session's publish has come.
func (s *session) confirming(sequence string) handled {
	to := *s.server.handling.Load()
	if to.session == s {
		to.sequence = sequence
	}
	if happens(s.server.s.fault().MixUpAcknowledgements) {
		if other := s.server.otherPublisher(s); other != nil {
			to.session = other
		}
	}
	return to
}

// sequenceNow is the sequence number of the publish that has come by the session meanwhile, own if none has.
func (s *session) sequenceNow(own string) string {
	come, err := s.reader.Peek(s.reader.Buffered())
	if err != nil {
		return own
	}
	next, err := frame.Read(bufio.NewReader(bytes.NewReader(come)))
	if err != nil || next.Header.Command != frame.AsyncMessageToServer {
		return own
	}
	return next.Header.Sequence
}

func (s *session) answerTo(h frame.Header, code int, desc string) frame.Frame {
	return frame.Frame{Header: frame.Header{Command: responseTo(h.Command), Code: code, Desc: desc, Sequence: h.Sequence}}
}

// later answers a publish, at once or when a fault says so.
func (s *session) later(ctx context.Context, answer func()) {
	delay := s.server.s.fault().Delay
	if delay == 0 {
		answer()
		return
	}
	s.wait.Go(func() {
		if pause(ctx, delay) == nil {
			answer()
		}
	})
}

// decode reads a publish or a reply whose size EventMesh takes.
func (s *session) decode(f frame.Frame) (*message, error) {
	m, err := decodeTCP(f)
	if err != nil {
		return nil, err
	}
	if characters := len(utf16.Encode([]rune(validUTF8(m.data)))); characters > s.server.s.options.MaxDataCharacters {
		return nil, fmt.Errorf("event size exceeds the limit: %d", s.server.s.options.MaxDataCharacters)
	}
	return m, nil
}

// admit applies what EventMesh checks before it stores an event.
func (s *session) admit(ctx context.Context, f frame.Frame) (*message, error) {
	m, err := s.decode(f)
	if err != nil {
		return nil, err
	}
	wait, ok := s.server.limit.reserve(time.Now(), sendPatience)
	if !ok {
		return nil, errOverload
	}
	if err := pause(ctx, wait); err != nil {
		return nil, err
	}
	if fault := s.server.s.fault(); fault.Refuse != "" {
		return nil, plainError(statusOf(fault.Refuse, fault.RefuseDescription).text)
	}
	if m.topic == "" {
		return nil, errNullPointer
	}
	if !s.acquire(ctx) {
		return nil, errors.New("SEND_TOO_FAST")
	}
	now := millis(time.Now())
	m.set("reqc2eventmeshtimestamp", now)
	m.set("reqeventmesh2mqtimestamp", now)
	m.set("reqsendeventmeship", "127.0.0.1")
	return m, nil
}

// plainError is one that EventMesh reports without naming a Java class.
type plainError string

func (e plainError) Error() string { return string(e) }

const errOverload = plainError("Tps overload, global flow control")

func javaError(err error) string {
	var plain plainError
	var u *unpublished
	var illegal illegalTopicError
	switch {
	case errors.As(err, &plain):
		return err.Error()
	case errors.As(err, &illegal):
		return storageException + illegal.published()
	case errors.As(err, &u):
		return storageException + storageException + "Send message error, topic: " + u.topic
	case errors.Is(err, errRequestsUnsupported):
		return string(errNullPointer)
	}
	return "java.lang.Exception: " + err.Error()
}

// acquire takes one of the session's places for publishes without an answer.
func (s *session) acquire(ctx context.Context) bool {
	limit := int64(s.server.s.options.InFlightLimit)
	if s.inFlight.Add(1) <= limit {
		return true
	}
	timer := time.NewTimer(sendPatience)
	defer timer.Stop()
	for {
		select {
		case <-s.slotFree:
			if s.inFlight.Load() <= limit {
				return true
			}
		case <-timer.C:
			s.inFlight.Add(-1)
			return false
		case <-ctx.Done():
			s.inFlight.Add(-1)
			return false
		}
	}
}

func (s *session) release() {
	s.inFlight.Add(-1)
	select {
	case s.slotFree <- struct{}{}:
	default:
	}
}

// request publishes a request. Where no reply comes in time, EventMesh does not answer.
func (s *session) request(ctx context.Context, f frame.Frame) {
	s.server.handling.Store(&handled{s, f.Header.Sequence})
	m, err := s.admit(ctx, f)
	if err != nil {
		s.fail(f, err)
		return
	}
	defer s.release()
	replies, end, err := s.server.s.broker.request(m)
	if err != nil {
		s.fail(f, err)
		return
	}
	patience := s.server.s.options.replyTimeout(m)
	s.wait.Go(func() {
		defer end()
		timeout := time.NewTimer(patience)
		defer timeout.Stop()
		select {
		case reply := <-replies:
			s.respond(f.Header, reply)
		case <-timeout.C:
			s.server.s.options.Logf("%v: no reply after %v; over TCP that has no answer", m, patience)
		case <-ctx.Done():
		}
	})
}

func (s *session) respond(to frame.Header, reply *message) {
	reply = reply.clone()
	now := millis(time.Now())
	reply.set("rspmq2eventmeshtimestamp", now)
	reply.set("rspreceiveeventmeship", "127.0.0.1")
	reply.set("rspeventmesh2ctimestamp", now)
	body, err := renderTCP(reply)
	if err != nil {
		s.server.s.broker.lost(reply, "%v: sent as a frame with code 1 and no body", err)
		s.answer(to, 1, "")
		return
	}
	f := s.answerTo(to, 0, "")
	f.Header.Properties = map[string]any{attrProtocolType: reply.attribute(attrProtocolType)}
	f.Body = body
	s.send(f)
}

// reply takes a reply to a request; EventMesh has no answer to it, not even when it fails.
func (s *session) reply(f frame.Frame) {
	s.server.handling.Store(&handled{s, f.Header.Sequence})
	m, err := s.decode(f)
	if err == nil {
		now := millis(time.Now())
		m.set("rspc2eventmeshtimestamp", now)
		m.set("rspeventmesh2mqtimestamp", now)
		m.set("rspsendeventmeship", "127.0.0.1")
		if cluster := m.attribute("cluster"); cluster != "" {
			m.set(attrSubject, cluster+"-rr-reply-topic")
			m.topic = m.attribute(attrSubject)
		}
		err = s.server.s.broker.reply(m)
	}
	if err != nil {
		s.server.s.refused("RESPONSE_TO_SERVER, without an answer", "1", err)
	}
}

// javaBean is what EventMesh puts into the body of an answer to a publish: its own object, which is no CloudEvent.
func javaBean(m *message) []byte {
	data := jackson.NewObject()
	if json.Valid(m.data) {
		data.Set("node", json.RawMessage(m.data))
	}
	extensions := []any{}
	for _, name := range slices.Sorted(maps.Keys(m.event.GetAttributes())) {
		switch name {
		case attrDataContentType, attrSubject, attrTime, attrDataSchema:
		default:
			extensions = append(extensions, name)
		}
	}
	o := jackson.NewObject()
	o.Set("data", data)
	o.Set("id", m.event.GetId())
	o.Set("source", m.event.GetSource())
	o.Set("type", m.event.GetType())
	o.Set("subject", m.topic)
	o.Set("dataContentType", m.attribute(attrDataContentType))
	o.Set("specVersion", "V1")
	o.Set("extensionNames", extensions)
	return jackson.Append(nil, o)
}
