package next

import (
	"context"
	"net"
	"net/http"
	"sync"

	"github.com/eventing-eventmesh/eventing-eventmesh/pkg/eventmesh/eventmeshtest"
)

// connections are those that are open.
type connections struct {
	mu   sync.Mutex
	open map[net.Conn]*connection
}

// connection is one, with the sessions of the clients that have polled by it.
type connection struct {
	sessions map[string]*eventmeshtest.Session // by clientId; the broker's lock is for them
	end      eventmeshtest.End
}

type connectionKey struct{}

// opened puts each connection into the context of its requests.
func (s *Server) opened(r *running) func(context.Context, net.Conn) context.Context {
	return func(ctx context.Context, c net.Conn) context.Context {
		s.wait.Add(1)
		opened := &connection{sessions: map[string]*eventmeshtest.Session{}}
		r.connections.mu.Lock()
		defer r.connections.mu.Unlock()
		if r.connections.open == nil {
			r.connections.open = map[net.Conn]*connection{}
		}
		r.connections.open[c] = opened
		return context.WithValue(ctx, connectionKey{}, opened)
	}
}

func (s *Server) ended(r *running) func(net.Conn, http.ConnState) {
	return func(c net.Conn, state http.ConnState) {
		if state != http.StateClosed {
			return
		}
		defer s.wait.Done()
		r.connections.mu.Lock()
		defer r.connections.mu.Unlock()
		s.broker.end(r.connections.open[c], eventmeshtest.Gone)
		delete(r.connections.open, c)
	}
}

// cut resets every connection.
func (l *connections) cut(b *broker) {
	l.mu.Lock()
	defer l.mu.Unlock()
	for c, of := range l.open {
		b.end(of, eventmeshtest.Cut)
		reset(c)
	}
}
