package next

import (
	"context"
	"net"
	"strconv"
	"strings"
	"sync"
)

// Pipe is a network in memory that leads to servers. In a bubble of testing/synctest it stands for the real one, which such bubbles cannot
// wait for. The zero value has nobody who listens.
type Pipe struct {
	mu        sync.Mutex
	ports     int
	listeners map[string]*pipeListener
}

type pipeListener struct {
	address pipeAddress
	accept  chan net.Conn
	closed  chan struct{}
	once    sync.Once
}

type pipeAddress string

func (pipeAddress) Network() string  { return "tcp" }
func (a pipeAddress) String() string { return string(a) }

// pipeConn has an address of its own.
type pipeConn struct {
	net.Conn
	from pipeAddress
}

func (c *pipeConn) RemoteAddr() net.Addr { return c.from }

// firstPort is behind that which is none.
const firstPort = 10105

// port returns an address that has not been used. The pipe is locked.
func (p *Pipe) port() pipeAddress {
	p.ports++
	return pipeAddress(net.JoinHostPort("127.0.0.1", strconv.Itoa(firstPort+p.ports-1)))
}

// Listen is for [Options.Listen]. Port 0 is one that has not been used.
func (p *Pipe) Listen(address string) (net.Listener, error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	own := pipeAddress(address)
	if strings.HasSuffix(address, ":0") {
		own = p.port()
	}
	if p.listeners == nil {
		p.listeners = map[string]*pipeListener{}
	}
	l := &pipeListener{address: own, accept: make(chan net.Conn), closed: make(chan struct{})}
	p.listeners[string(own)] = l
	return l, nil
}

// DialContext connects to the server at an address, as [net.Dialer.DialContext] does. It fails where nobody listens.
func (p *Pipe) DialContext(ctx context.Context, _, address string) (net.Conn, error) {
	p.mu.Lock()
	l := p.listeners[address]
	from := p.port()
	p.mu.Unlock()
	if l == nil {
		return nil, net.ErrClosed
	}
	ours, theirs := net.Pipe()
	select {
	case l.accept <- &pipeConn{theirs, from}:
		return ours, nil
	case <-l.closed:
		return nil, net.ErrClosed
	case <-ctx.Done():
		return nil, ctx.Err()
	}
}

// Accept returns the next connection.
func (l *pipeListener) Accept() (net.Conn, error) {
	select {
	case c := <-l.accept:
		return c, nil
	case <-l.closed:
		return nil, net.ErrClosed
	}
}

// Close lets nobody connect any more.
func (l *pipeListener) Close() error {
	l.once.Do(func() { close(l.closed) })
	return nil
}

// Addr returns the address.
func (l *pipeListener) Addr() net.Addr { return l.address }
