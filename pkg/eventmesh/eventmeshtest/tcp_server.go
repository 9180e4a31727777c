package eventmeshtest

import (
	"context"
	"maps"
	"math/rand/v2"
	"net"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"github.com/eventing-eventmesh/eventing-eventmesh/pkg/eventmesh/eventmeshtest/internal/jackson"
	"github.com/eventing-eventmesh/eventing-eventmesh/pkg/eventmesh/tcp/frame"
)

// tcpServer holds the connections of the TCP protocol.
type tcpServer struct {
	s     *Server
	ctx   context.Context //nolint:containedctx // it lives as long as the server runs
	limit *limiter
	// handling is what came last of the publishes, requests and replies of all sessions.
	handling atomic.Pointer[handled]

	mu       sync.Mutex
	sessions map[*session]struct{}
}

func newTCPServer(s *Server, ctx context.Context) *tcpServer { //nolint:revive // stored
	return &tcpServer{s: s, ctx: ctx, limit: newLimiter(s.options.RateLimit), sessions: map[*session]struct{}{}}
}

// serve accepts until the listener is closed, and returns when every connection has ended.
func (t *tcpServer) serve(l net.Listener) {
	var connections sync.WaitGroup
	defer connections.Wait()
	for {
		conn, err := l.Accept()
		if err != nil {
			return
		}
		s := newSession(t, conn)
		t.mu.Lock()
		t.sessions[s] = struct{}{}
		t.mu.Unlock()
		if t.ctx.Err() != nil {
			reset(s.raw())
		}
		connections.Go(func() {
			s.run(t.ctx)
			t.mu.Lock()
			defer t.mu.Unlock()
			delete(t.sessions, s)
		})
	}
}

func (t *tcpServer) all() []*session {
	t.mu.Lock()
	defer t.mu.Unlock()
	return slices.Collect(maps.Keys(t.sessions))
}

// leave ends a session's part in its group. Events that its client has not acknowledged go to another session.
func (t *tcpServer) leave(s *session) {
	b := t.s.broker
	b.mu.Lock()
	defer b.mu.Unlock()
	s.closed = true
	if s.record.End == Open {
		s.record.End = Gone
	}
	t.unsubscribe(s)
	for _, seq := range slices.Sorted(maps.Keys(s.unacknowledged)) {
		u := s.unacknowledged[seq]
		delete(s.unacknowledged, seq)
		next := u.g.choose(u.m.topic, "")
		if u.broadcast || len(next) == 0 {
			reason := b.storage.abandon(u.m, u.g)
			if reason == "" {
				reason = "the group has no other session for it"
				u.delivery.lose(reason)
			}
			b.lost(u.m, "its session closed without acknowledging it: %s", reason)
			continue
		}
		other, _ := next[0].(*session)
		other.unacknowledged[seq] = u
		if u.delivery = b.handOut(u.m, other.record); u.delivery != nil {
			u.delivery.Redelivered = true
		}
		other.deliver(u.m, seq, u.g.topics[u.m.topic], u.delivery)
	}
}

// unsubscribe takes a session off all its topics. The broker is locked.
func (t *tcpServer) unsubscribe(s *session) {
	for _, topic := range s.topics {
		members := s.group.topics[topic]
		if members == nil {
			continue
		}
		delete(members.members, s.key())
		if len(members.members) == 0 {
			delete(s.group.topics, topic)
			t.s.broker.storage.detach(topic, s.group)
		}
	}
	s.topics = nil
}

// acknowledgeExpired acknowledges what clients have not in time.
func (t *tcpServer) acknowledgeExpired(now time.Time) {
	b := t.s.broker
	b.mu.Lock()
	defer b.mu.Unlock()
	for _, s := range t.all() {
		for seq, u := range s.unacknowledged {
			if now.Sub(u.since) >= b.options.AcknowledgeAfter {
				delete(s.unacknowledged, seq)
				u.delivery.acknowledge(ByServer)
				b.storage.acknowledge(u.m, u.g)
				b.options.Logf("%v: acknowledged by the server itself, for its client had not after %v", u.m, b.options.AcknowledgeAfter)
			}
		}
	}
}

// expireSessions ends sessions without heartbeats.
func (t *tcpServer) expireSessions(now time.Time) {
	b := t.s.broker
	b.mu.Lock()
	defer b.mu.Unlock()
	for _, s := range t.all() {
		if now.Sub(s.heartbeat) > b.options.TCPSessionExpiry {
			b.options.Logf("session of %v has sent no heartbeat for %v: closing it", s.conn.RemoteAddr(), b.options.TCPSessionExpiry)
			s.out.Close()
		}
	}
}

// otherPublisher returns a session that publishes, by chance, other than s.
func (t *tcpServer) otherPublisher(s *session) *session {
	b := t.s.broker
	b.mu.Lock()
	defer b.mu.Unlock()
	others := slices.DeleteFunc(t.all(), func(o *session) bool { return o == s || o.closed || o.agent == nil || o.agent.Purpose != "pub" })
	if len(others) == 0 {
		return nil
	}
	return others[rand.IntN(len(others))] //nolint:gosec // not a secret
}

// SayGoodbye sends every TCP session the goodbye with which a server announces its end, and closes those that are still
// there after [Options.GoodbyeTimeout].
func (s *Server) SayGoodbye() {
	s.announce(frame.Frame{Header: frame.Header{Command: frame.ServerGoodbyeRequest, Desc: "graceful normal quit from eventmesh"}})
}

// Redirect tells every TCP session to connect to another server, and closes those that are still there after
// [Options.GoodbyeTimeout].
func (s *Server) Redirect(ip string, port int) {
	o := jackson.NewObject()
	o.Set("ip", ip)
	o.Set("port", jsonInt(port))
	s.announce(frame.Frame{Header: frame.Header{Command: frame.RedirectToClient}, Body: jackson.Append(nil, o)})
}

func (s *Server) announce(f frame.Frame) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.running == nil {
		return
	}
	for _, session := range s.running.tcp.all() {
		session.send(f)
		session.closeLater()
	}
}
