package eventmeshtest

import (
	"bufio"
	"context"
	"net"
	"strconv"
	"sync"
	"sync/atomic"
	"time"

	"github.com/eventing-eventmesh/eventing-eventmesh/pkg/eventmesh/eventmeshtest/internal/outbox"
	"github.com/eventing-eventmesh/eventing-eventmesh/pkg/eventmesh/tcp/frame"
)

// agent is what a client says of itself in its hello.
type agent struct {
	Subsystem string  `json:"subsystem"`
	Version   *string `json:"version"`
	Username  string  `json:"username"`
	Password  string  `json:"password"`
	IDC       string  `json:"idc"`
	Group     string  `json:"group"`
	Purpose   string  `json:"purpose"`
}

// unacknowledged is an event that a client has been sent.
type unacknowledged struct {
	m         *message
	g         *group
	broadcast bool
	since     time.Time
	delivery  *delivery
}

// session is a TCP connection, and once its client has said hello, a session of a group.
type session struct {
	server *tcpServer
	conn   net.Conn
	reader *bufio.Reader // for run alone, and what it calls
	host   string
	out    *outbox.Outbox[[]byte]
	wait   sync.WaitGroup
	// goodbye says that a goodbye has been said.
	goodbye chan struct{}

	// inFlight counts the publishes that have not been answered.
	inFlight atomic.Int64
	slotFree chan struct{}

	// agent is nil before the hello. It and all below are guarded by the broker's lock.
	agent           *agent
	group           *group
	topics          []string
	listening       bool
	closed          bool
	heartbeat       time.Time
	unacknowledged  map[string]*unacknowledged
	listenRequested bool
	record          *Session
}

func newSession(t *tcpServer, conn net.Conn) *session {
	host, _, _ := net.SplitHostPort(conn.RemoteAddr().String())
	return &session{
		server: t, conn: conn, reader: bufio.NewReaderSize(conn, 64<<10), host: host, out: outbox.New[[]byte](), slotFree: make(chan struct{}, 1), goodbye: make(chan struct{}, 1),
		heartbeat: time.Now(), unacknowledged: map[string]*unacknowledged{},
		record: &Session{Transport: transportTCP, peer: conn.RemoteAddr().String()},
	}
}

// run reads until the connection ends, and leaves nothing behind.
func (s *session) run(ctx context.Context) {
	ctx, cancel := context.WithCancel(ctx)
	s.wait.Go(s.write)
	s.wait.Go(func() { s.closeAfterGoodbye(ctx) })
	defer func() {
		s.server.leave(s)
		cancel()
		s.out.Drain()
		reset(s.raw())
		_ = s.conn.Close()
		s.wait.Wait()
	}()
	limit := newLimiter(s.server.s.options.InboundLimit)
	for {
		f, err := frame.Read(s.reader)
		if err != nil {
			return
		}
		wait, _ := limit.reserve(time.Now(), time.Hour)
		if pause(ctx, wait) != nil || !s.handle(ctx, f) {
			return
		}
	}
}

func (s *session) raw() net.Conn {
	if c, ok := s.conn.(*trackedConn); ok {
		return c.Conn
	}
	return s.conn
}

// write sends what is in the outbox; when that is closed and empty, it resets the connection, which ends the reading.
func (s *session) write() {
	for {
		b, ok := s.out.Take(context.Background())
		if !ok {
			s.server.s.broker.end(s.record, Cut)
			reset(s.raw())
			return
		}
		if _, err := s.conn.Write(b); err != nil {
			return
		}
	}
}

func (s *session) send(f frame.Frame) {
	if b := encode(f); b != nil {
		s.out.Put(b)
	}
}

// answer answers a request; a failure has code 1.
func (s *session) answer(to frame.Header, code int, desc string) {
	s.send(frame.Frame{Header: frame.Header{Command: responseTo(to.Command), Code: code, Desc: desc, Sequence: to.Sequence}})
}

func (s *session) takes() bool { return s.listening && !s.closed }
func (s *session) live() bool  { return !s.closed }
func (*session) idc() string   { return "" }

// push sends an event and waits for its acknowledgement.
func (s *session) push(m *message, g *group, t *topicMembers) {
	b := s.server.s.broker
	b.sequence++
	seq := strconv.FormatUint(b.sequence, 10)
	d := b.handOut(m, s.record)
	s.unacknowledged[seq] = &unacknowledged{m: m, g: g, broadcast: t.mode == broadcasting, since: time.Now(), delivery: d}
	s.deliver(m, seq, t, d)
}

func (s *session) deliver(m *message, seq string, t *topicMembers, d *delivery) {
	command := frame.AsyncMessageToClient
	switch {
	case t.mode == broadcasting:
		command = frame.BroadcastMessageToClient
	case t.sync:
		command = frame.RequestToClient
	}
	header := frame.Header{Command: command, Sequence: seq}
	body, err := renderTCP(s.decorate(m))
	if err != nil {
		s.server.s.broker.loseDelivery(d, m, "%v: sent as a frame with code 1 and no body", err)
		header.Code, header.Desc = 1, stackTrace("org.apache.eventmesh.protocol.cloudevents.CloudEventsProtocolAdaptor")
	} else {
		header.Properties = map[string]any{attrProtocolType: m.attribute(attrProtocolType)}
	}
	s.send(frame.Frame{Header: header, Body: body})
}

// decorate adds what the server does on the way to a TCP subscriber.
func (s *session) decorate(m *message) *message {
	now := millis(time.Now())
	m = m.clone()
	for name, value := range map[string]string{
		"reqmq2eventmeshtimestamp": now, "reqreceiveeventmeship": "127.0.0.1", "reqeventmesh2ctimestamp": now,
		"rsp0sys": s.agent.Subsystem, "rsp0group": s.agent.Group, "rsp0idc": s.agent.IDC, "rsp0ip": s.host,
	} {
		if value != "" {
			m.set(name, value)
		}
	}
	return m
}

// acknowledge takes a client's acknowledgement; of what is not known nothing comes.
func (s *session) acknowledge(seq string) {
	b := s.server.s.broker
	b.mu.Lock()
	defer b.mu.Unlock()
	if u := s.unacknowledged[seq]; u != nil {
		delete(s.unacknowledged, seq)
		u.delivery.acknowledge(ByClient)
		b.storage.acknowledge(u.m, u.g)
	}
}
