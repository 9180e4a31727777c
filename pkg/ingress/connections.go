package ingress

import (
	"container/list"
	"context"
	"net"
	"net/http"
	"sync"
	"time"
)

// unusedAge is when a connection without a request is closed at shutdown: after the second in which net/http lets a client of
// HTTP/2 read its answers and the goodbye.
const unusedAge = 2 * time.Second

// connections bounds how many connections are open. When there is one too many, of those without an event in flight the one is
// closed that has kept the sink waiting for longest: since it was made, since the header of its request came, or since its last
// answer. A limit that makes new connections wait would let slow senders keep all others out.
type connections struct {
	limit int
	// unreadable is told of each request that no handler has seen, with the type of its error.
	unreadable func(errorType string, from net.Addr)

	mu   sync.Mutex
	open int
	// waiting are those without events in flight, the longest waiting first.
	waiting list.List
}

// connection is one of them. Its fields are guarded by the mutex of connections.
type connection struct {
	net.Conn
	all    *connections
	place  *list.Element // nil while it has events in flight, and after its end
	busy   int           // events in flight: one over HTTP/1.1, any number over HTTP/2
	active bool          // whether a request has begun that has no answer yet
	since  time.Time     // of the last change
	closed bool
	header header
}

// newConnections returns none, of at most so many. unreadable is told of each request that no handler has seen.
func newConnections(limit int, unreadable func(errorType string, from net.Addr)) *connections {
	return &connections{limit: limit, unreadable: unreadable}
}

// boundListener keeps to the limit.
type boundListener struct {
	net.Listener
	connections *connections
}

func (l *boundListener) Accept() (net.Conn, error) {
	conn, err := l.Listener.Accept()
	if err != nil {
		return nil, err
	}
	accepted, victim := l.connections.add(conn)
	if victim != nil {
		_ = victim.Close()
	}
	return accepted, nil
}

// add returns the connection to serve, and the one to close for it, if any.
func (c *connections) add(conn net.Conn) (accepted, victim *connection) {
	c.mu.Lock()
	defer c.mu.Unlock()
	accepted = &connection{Conn: conn, all: c, since: time.Now()}
	c.open++
	if c.open > c.limit {
		victim = c.longestWaiting()
	}
	accepted.put()
	if victim == nil && c.open > c.limit { // all have events in flight
		victim = accepted
	}
	return accepted, victim
}

func (c *connections) longestWaiting() *connection {
	front := c.waiting.Front()
	if front == nil {
		return nil
	}
	victim, _ := front.Value.(*connection)
	victim.remove() // so that it is chosen once
	return victim
}

// changed notes that a header has come, that an answer has gone, or that the connection has ended.
func (c *connections) changed(conn net.Conn, state http.ConnState) {
	one := connectionOf(conn)
	if one == nil {
		return
	}
	switch state {
	case http.StateActive, http.StateIdle:
		c.mu.Lock()
		defer c.mu.Unlock()
		one.active, one.since = state == http.StateActive, time.Now()
		if !one.active {
			one.header.handled.Store(false)
		}
		if one.place != nil {
			one.put()
		}
	case http.StateClosed:
		if errorType := one.header.errorType(conn); errorType != "" {
			c.unreadable(errorType, conn.RemoteAddr())
		}
	}
}

// closeUnused closes connections without a request until it is stopped: net/http waits for those of HTTP/2 that have been made
// while it was shutting down, until their client closes them.
func (c *connections) closeUnused() (stop func()) {
	done, ended := make(chan struct{}), make(chan struct{})
	go func() {
		defer close(ended)
		ticker := time.NewTicker(unusedAge / 4)
		defer ticker.Stop()
		for {
			select {
			case <-done:
				return
			case <-ticker.C:
			}
			for _, one := range c.unused() {
				_ = one.Close()
			}
		}
	}()
	return func() {
		close(done)
		<-ended
	}
}

func (c *connections) unused() []*connection {
	c.mu.Lock()
	defer c.mu.Unlock()
	var all []*connection
	for place := c.waiting.Front(); place != nil; place = place.Next() {
		if one, ok := place.Value.(*connection); ok && !one.active && time.Since(one.since) > unusedAge {
			all = append(all, one)
		}
	}
	return all
}

// begin keeps a connection open until end is called, for an event. Requests that came by none have a nil connection.
func (o *connection) begin() {
	if o == nil {
		return
	}
	o.all.mu.Lock()
	defer o.all.mu.Unlock()
	o.busy++
	o.remove()
}

func (o *connection) end() {
	if o == nil {
		return
	}
	o.all.mu.Lock()
	defer o.all.mu.Unlock()
	if o.busy--; o.busy == 0 && !o.closed {
		o.put()
	}
}

type connectionKey struct{}

// withConnection lets requests find their connection.
func withConnection(ctx context.Context, conn net.Conn) context.Context {
	return context.WithValue(ctx, connectionKey{}, connectionOf(conn))
}

// connectionIn returns the connection of a request, or nil.
func connectionIn(ctx context.Context) *connection {
	one, _ := ctx.Value(connectionKey{}).(*connection)
	return one
}

// connectionOf finds what is below TLS.
func connectionOf(conn net.Conn) *connection {
	if secure, ok := conn.(interface{ NetConn() net.Conn }); ok {
		conn = secure.NetConn()
	}
	one, _ := conn.(*connection)
	return one
}

// put makes the connection the last of those that wait. The caller holds the mutex.
func (o *connection) put() {
	if o.place != nil {
		o.all.waiting.MoveToBack(o.place)
		return
	}
	o.place = o.all.waiting.PushBack(o)
}

func (o *connection) remove() {
	if o.place != nil {
		o.all.waiting.Remove(o.place)
		o.place = nil
	}
}

// Close closes the connection, and makes room for another.
func (o *connection) Close() error {
	o.all.mu.Lock()
	if !o.closed {
		o.closed = true
		o.all.open--
		o.remove()
	}
	o.all.mu.Unlock()
	return o.Conn.Close()
}

// CloseWrite lets the HTTP server end a connection so that the sender can still read its answer.
func (o *connection) CloseWrite() error {
	if conn, ok := o.Conn.(interface{ CloseWrite() error }); ok {
		return conn.CloseWrite()
	}
	return nil
}
