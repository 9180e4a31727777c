package next

import (
	"context"
	"net"
	"net/http"
	"sync"

	"github.com/eventing-eventmesh/eventing-eventmesh/pkg/eventmesh/eventmeshtest"
)

// connections are those that are open, of both protocols.
type connections struct {
	broker *broker
	mu     sync.Mutex
	open   map[net.Conn]*connection
}

// connection is one, with the sessions that it carries. The broker's lock is for them.
type connection struct {
	polls   map[string]*eventmeshtest.Session // by clientId
	streams []*eventmeshtest.Session
	end     eventmeshtest.End
}

func newConnections(b *broker) *connections {
	return &connections{broker: b, open: map[net.Conn]*connection{}}
}

func (l *connections) opened(c net.Conn) *connection {
	l.mu.Lock()
	defer l.mu.Unlock()
	opened := &connection{polls: map[string]*eventmeshtest.Session{}}
	l.open[c] = opened
	return opened
}

func (l *connections) closed(c net.Conn) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if of := l.open[c]; of != nil {
		l.broker.end(of, eventmeshtest.Gone)
		delete(l.open, c)
	}
}

// cut resets every connection.
func (l *connections) cut() {
	l.mu.Lock()
	defer l.mu.Unlock()
	for c, of := range l.open {
		l.broker.end(of, eventmeshtest.Cut)
		reset(c)
	}
}

// carry lets the connection from an address carry a session.
func (l *connections) carry(peer string, s *eventmeshtest.Session) {
	l.mu.Lock()
	defer l.mu.Unlock()
	for c, of := range l.open {
		if c.RemoteAddr().String() == peer {
			l.broker.carry(of, s)
			return
		}
	}
}

// reset closes a connection without lingering, which the peer sees as a reset.
func reset(c net.Conn) {
	if tracked, ok := c.(*trackedConn); ok {
		c = tracked.Conn
	}
	if t, ok := c.(*net.TCPConn); ok {
		_ = t.SetLinger(0)
	}
	_ = c.Close()
}

type connectionKey struct{}

// openedHTTP puts each connection into the context of its requests.
func (s *Server) openedHTTP(l *connections) func(context.Context, net.Conn) context.Context {
	return func(ctx context.Context, c net.Conn) context.Context {
		s.wait.Add(1)
		return context.WithValue(ctx, connectionKey{}, l.opened(c))
	}
}

func (s *Server) endedHTTP(l *connections) func(net.Conn, http.ConnState) {
	return func(c net.Conn, state http.ConnState) {
		if state == http.StateClosed {
			l.closed(c)
			s.wait.Done()
		}
	}
}

// trackedListener is gRPC's, which does not tell of its connections.
type trackedListener struct {
	net.Listener
	connections *connections
}

type trackedConn struct {
	net.Conn
	connections *connections
}

// Accept remembers the connection until it is closed.
func (l *trackedListener) Accept() (net.Conn, error) {
	conn, err := l.Listener.Accept()
	if err != nil {
		return nil, err
	}
	c := &trackedConn{Conn: conn, connections: l.connections}
	l.connections.opened(c)
	return c, nil
}

// Close closes the connection and forgets it.
func (c *trackedConn) Close() error {
	c.connections.closed(c)
	return c.Conn.Close()
}
