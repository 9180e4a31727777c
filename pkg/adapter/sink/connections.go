package sink

import (
	"container/list"
	"context"
	"net"
	"net/http"
	"sync"
)

// connections bounds how many connections are open. When there is one too many, the one is closed that has kept the sink waiting
// for longest: of those that have not sent the header of a request yet, else of all that have no event in flight. A limit that
// makes new connections wait would let slow senders keep all others out.
type connections struct {
	limit int

	mu   sync.Mutex
	open int
	// fresh have never sent a whole header, idle have; both the longest waiting first. Those with events in flight are in
	// neither.
	fresh, idle list.List
}

// connection is one of them. Its fields are guarded by the mutex of connections.
type connection struct {
	net.Conn
	all    *connections
	list   *list.List // nil while it has events in flight, and after its end
	place  *list.Element
	busy   int // events in flight: one over HTTP/1.1, any number over HTTP/2
	closed bool
}

func newConnections(limit int) *connections { return &connections{limit: limit} }

// bound makes a server and its listener keep to the limit. It returns the listener to serve.
func (c *connections) bound(server *http.Server, listener net.Listener) net.Listener {
	server.ConnState = c.changed
	server.ConnContext = func(ctx context.Context, conn net.Conn) context.Context {
		return context.WithValue(ctx, connectionKey{}, connectionOf(conn))
	}
	return &boundListener{Listener: listener, connections: c}
}

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
	accepted = &connection{Conn: conn, all: c}
	c.open++
	if c.open > c.limit {
		victim = c.longestWaiting()
	}
	accepted.put(&c.fresh)
	if victim == nil && c.open > c.limit { // all have events in flight
		victim = accepted
	}
	return accepted, victim
}

func (c *connections) longestWaiting() *connection {
	for _, waiting := range []*list.List{&c.fresh, &c.idle} {
		if front := waiting.Front(); front != nil {
			victim, _ := front.Value.(*connection)
			victim.remove() // so that it is chosen once
			return victim
		}
	}
	return nil
}

// changed notes that a header has come, or that an answer has gone.
func (c *connections) changed(conn net.Conn, state http.ConnState) {
	if state != http.StateActive && state != http.StateIdle {
		return
	}
	if one := connectionOf(conn); one != nil {
		c.mu.Lock()
		defer c.mu.Unlock()
		if one.list != nil {
			one.put(&c.idle)
		}
	}
}

// begin keeps the connection of a request open until end is called.
func begin(ctx context.Context) (end func()) {
	one, _ := ctx.Value(connectionKey{}).(*connection)
	if one == nil {
		return func() {}
	}
	one.all.mu.Lock()
	defer one.all.mu.Unlock()
	one.busy++
	one.remove()
	return func() {
		one.all.mu.Lock()
		defer one.all.mu.Unlock()
		if one.busy--; one.busy == 0 && !one.closed {
			one.put(&one.all.idle)
		}
	}
}

type connectionKey struct{}

// connectionOf finds what is below TLS.
func connectionOf(conn net.Conn) *connection {
	if secure, ok := conn.(interface{ NetConn() net.Conn }); ok {
		conn = secure.NetConn()
	}
	one, _ := conn.(*connection)
	return one
}

// put makes the connection the last of a list. The caller holds the mutex.
func (o *connection) put(in *list.List) {
	o.remove()
	o.list, o.place = in, in.PushBack(o)
}

func (o *connection) remove() {
	if o.list != nil {
		o.list.Remove(o.place)
		o.list, o.place = nil, nil
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
