package next

import (
	"context"
	"net"
	"sync"
)

// Pipe is a network in memory that leads to one server. In a bubble of testing/synctest it stands for the real one, which such bubbles cannot
// wait for. The zero value has nobody who listens.
type Pipe struct {
	mu       sync.Mutex
	listener *pipeListener
}

type pipeListener struct {
	accept chan net.Conn
	closed chan struct{}
	once   sync.Once
}

type pipeAddress struct{}

func (pipeAddress) Network() string { return "tcp" }
func (pipeAddress) String() string  { return "127.0.0.1:10105" }

// Listen is for [Options.Listen]. The address is the same each time.
func (p *Pipe) Listen(string) (net.Listener, error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.listener = &pipeListener{accept: make(chan net.Conn), closed: make(chan struct{})}
	return p.listener, nil
}

// DialContext connects to the server, as [net.Dialer.DialContext] does. It fails where nobody listens.
func (p *Pipe) DialContext(ctx context.Context, _, _ string) (net.Conn, error) {
	p.mu.Lock()
	l := p.listener
	p.mu.Unlock()
	if l == nil {
		return nil, net.ErrClosed
	}
	ours, theirs := net.Pipe()
	select {
	case l.accept <- theirs:
		return ours, nil
	case <-l.closed:
		return nil, net.ErrClosed
	case <-ctx.Done():
		return nil, ctx.Err()
	}
}

func (l *pipeListener) Accept() (net.Conn, error) {
	select {
	case c := <-l.accept:
		return c, nil
	case <-l.closed:
		return nil, net.ErrClosed
	}
}

func (l *pipeListener) Close() error {
	l.once.Do(func() { close(l.closed) })
	return nil
}

func (*pipeListener) Addr() net.Addr { return pipeAddress{} }
