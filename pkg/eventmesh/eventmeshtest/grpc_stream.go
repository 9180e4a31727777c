package eventmeshtest

import (
	"context"
	"fmt"
	"sync/atomic"
	"time"

	"google.golang.org/grpc/peer"

	"github.com/eventing-eventmesh/eventing-eventmesh/pkg/eventmesh/eventmeshtest/internal/outbox"
	"github.com/eventing-eventmesh/eventing-eventmesh/pkg/eventmesh/grpc/eventmeshpb"
)

// outgoing is what is sent on a stream; m is nil when it is no event.
type outgoing struct {
	event    *eventmeshpb.CloudEvent
	m        *message
	delivery *delivery
}

// stream is a subscriber's stream. It stays a member of its group after its end.
type stream struct {
	out   *outbox.Outbox[*outgoing]
	ended atomic.Bool
	// session is guarded by the broker's lock.
	session *Session
}

func newStream(ctx context.Context) *stream {
	st := &stream{out: outbox.New[*outgoing](), session: &Session{Transport: transportGRPC}}
	if p, ok := peer.FromContext(ctx); ok {
		st.session.peer = p.Addr.String()
	}
	return st
}

func (st *stream) send(e *eventmeshpb.CloudEvent) { st.out.Put(&outgoing{event: e}) }

// end completes the stream: what was sent before still goes out.
func (st *stream) end() {
	st.ended.Store(true)
	st.out.Close()
}

// streamMember is a stream in a group.
type streamMember struct {
	b      *broker
	stream *stream
	name   string
	place  string
}

func (*streamMember) takes() bool   { return true }
func (s *streamMember) live() bool  { return !s.stream.ended.Load() }
func (s *streamMember) idc() string { return s.place }

// push writes an event to the stream, and counts it as delivered by that, whatever becomes of it. What it cannot write it does not
// try again, for EventMesh's retries fail.
func (s *streamMember) push(m *message, g *group, _ *topicMembers) {
	d := s.b.handOut(m, s.stream.session)
	now := time.Now()
	m = m.clone()
	m.set("reqmq2eventmeshtimestamp", millis(now))
	m.set("reqeventmesh2ctimestamp", millis(now))
	e, err := renderGRPC(m)
	if err != nil {
		s.b.loseDelivery(d, m, "%v", err)
		return
	}
	if s.stream.out.Put(&outgoing{event: e, m: m, delivery: d}) {
		d.acknowledge(ByServer)
		s.b.storage.acknowledge(m, g)
		return
	}
	if held := s.b.storage.abandon(m, g); held != "" {
		d.lose(fmt.Sprintf("written to the dead stream of client %s in group %q", s.name, g.name))
		s.b.options.Logf("%v was written to the dead stream of client %s in group %q: %s", m, s.name, g.name, held)
		return
	}
	s.b.loseDelivery(d, m, "written to the dead stream of client %s in group %q", s.name, g.name)
}

func (s *Server) lostOutgoing(o *outgoing, reason string) {
	if o.m == nil {
		return
	}
	s.broker.mu.Lock()
	defer s.broker.mu.Unlock()
	s.broker.loseDelivery(o.delivery, o.m, "%s", reason)
}
