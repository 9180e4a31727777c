// Package roundtrip makes HTTP requests in the goroutine of who makes them.
//
// [net/http.Transport] has two goroutines for each connection, and a request wakes one after the other, and then who made it. Here who makes
// a request writes it, and reads the answer: for many small requests to a server of which it is known how it answers, that is half of the
// work.
package roundtrip

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"net"
	"net/http"
	"strings"
	"sync"
	"time"
)

// Errors that callers tell apart.
var (
	// ErrNotConnected says that the server has not had the request, for lack of a connection.
	ErrNotConnected = errors.New("not connected")
	// ErrTooLong says that an answer is longer than it may be.
	ErrTooLong = errors.New("the answer is too long")
)

// Options of a Client.
type Options struct {
	// Dial makes connections; by default a net.Dialer does.
	Dial func(ctx context.Context, network, address string) (net.Conn, error)
	// TLS is for servers with the scheme https.
	TLS *tls.Config
	// ConnectTimeout bounds how long a connection may take to be made, TLS included. Without it only the request's context does.
	ConnectTimeout time.Duration
	// MaxIdle is how many connections to a server are kept for requests to come.
	MaxIdle int
	// IdleTimeout is how long they are kept. It should be below the time after which the server closes them.
	IdleTimeout time.Duration
	// MaxHeader and MaxBody bound answers, in bytes.
	MaxHeader, MaxBody int
}

// Server is where requests go.
type Server struct {
	Scheme string // http or https
	Host   string // with a port, unless it is that of the scheme
}

// Header is written with requests, and may be used in many at once. Host and Content-Length are written without it.
type Header struct {
	values http.Header
	lines  string
}

// NewHeader returns one, of values that nobody changes any more.
func NewHeader(values http.Header) Header {
	var lines strings.Builder
	_ = values.Write(&lines) // to memory
	return Header{values, lines.String()}
}

// Values returns what it was made of.
func (h Header) Values() http.Header { return h.values }

// Request is one to be made.
type Request struct {
	Method string // not HEAD
	Target string // path and query, escaped
	Header Header
	Body   []byte // which nobody changes meanwhile; nil for none
}

// Answer is what came back.
type Answer struct {
	Status int
	Body   []byte
}

// trusted is how long a connection is good for after a request has succeeded. A server that closes it because nothing comes waits for longer; one
// that refuses a request without reading it closes it at once, and does not say so: that of the JDK does.
const trusted = 10 * time.Millisecond

// Client makes requests over HTTP/1.1, and keeps connections. It knows no proxies, no compression and no redirects, makes no request a
// second time, and looks for the answer when the whole request is written. Several goroutines may use it.
type Client struct {
	options Options
	trusted time.Duration // how long a connection that was used need not be looked at
	ctx     context.Context

	mu   sync.Mutex
	all  map[*conn]struct{}
	idle map[Server][]*conn // the one that was used last is the last
}

// NewClient returns a Client that lives as long as a context. With its end all connections are closed, and what is under way fails.
func NewClient(ctx context.Context, o Options) *Client {
	if o.Dial == nil {
		o.Dial = new(net.Dialer).DialContext
	}
	c := &Client{options: o, trusted: trusted, ctx: ctx, all: map[*conn]struct{}{}, idle: map[Server][]*conn{}}
	context.AfterFunc(ctx, c.close)
	return c
}

// Do makes one request, and reads the whole answer, whatever its status. The error is an ErrNotConnected when the server has not had the
// request, and that of the context when it has ended meanwhile. After all other errors nobody can tell what the server did.
func (c *Client) Do(ctx context.Context, to Server, r Request) (Answer, error) {
	conn, err := c.connection(ctx, to)
	if err != nil {
		return Answer{}, fmt.Errorf("%w: %w", ErrNotConnected, err)
	}
	unwatch := context.AfterFunc(ctx, conn.abort)
	answer, reusable, err := conn.exchange(r)
	if !unwatch() {
		c.drop(conn)
		if err != nil {
			err = ctx.Err()
		}
		return answer, err
	}
	if reusable {
		conn.succeeded = answer.Status < http.StatusBadRequest
		c.keep(conn)
	} else {
		c.drop(conn)
	}
	return answer, err
}

// connection returns a connection that nobody else uses.
func (c *Client) connection(ctx context.Context, to Server) (*conn, error) {
	if err := ctx.Err(); err != nil {
		return nil, err
	}
	if c.ctx.Err() != nil {
		return nil, net.ErrClosed
	}
	for kept := c.take(to); kept != nil; kept = c.take(to) {
		idle := time.Since(kept.since)
		if kept.succeeded && idle < c.trusted || idle < c.options.IdleTimeout && kept.quiet() {
			return kept, nil
		}
		c.drop(kept)
	}
	return c.connect(ctx, to)
}

// take returns the idle connection that was used last, if there is one.
func (c *Client) take(to Server) *conn {
	c.mu.Lock()
	defer c.mu.Unlock()
	kept := c.idle[to]
	if len(kept) == 0 {
		return nil
	}
	last := len(kept) - 1
	taken := kept[last]
	kept[last] = nil
	c.idle[to] = kept[:last]
	return taken
}

// keep keeps a connection for requests to come, and drops those that have been idle for too long, or are too many.
func (c *Client) keep(used *conn) {
	used.since = time.Now()
	c.mu.Lock()
	kept := c.idle[used.to]
	kept = append(kept, used)
	excess := max(len(kept)-c.options.MaxIdle, 0)
	for excess < len(kept) && used.since.Sub(kept[excess].since) >= c.options.IdleTimeout {
		excess++
	}
	dropped := append([]*conn(nil), kept[:excess]...)
	c.idle[used.to] = append(kept[:0], kept[excess:]...)
	clear(kept[len(kept)-excess:])
	c.mu.Unlock()
	for _, d := range dropped {
		c.drop(d)
	}
}

// drop closes a connection.
func (c *Client) drop(d *conn) {
	c.mu.Lock()
	delete(c.all, d)
	c.mu.Unlock()
	_ = d.Close()
}

// close closes all connections, after the end of the context.
func (c *Client) close() {
	c.mu.Lock()
	defer c.mu.Unlock()
	for conn := range c.all {
		conn.abort()
	}
	clear(c.all)
	clear(c.idle)
}

// connect makes a connection.
func (c *Client) connect(ctx context.Context, to Server) (*conn, error) {
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	defer context.AfterFunc(c.ctx, func() { cancel(net.ErrClosed) })() //nolint:contextcheck // the client's end ends it, too
	if c.options.ConnectTimeout > 0 {
		within, cancel := context.WithTimeout(ctx, c.options.ConnectTimeout)
		defer cancel()
		ctx = within
	}
	host, port, err := net.SplitHostPort(to.Host)
	if err != nil {
		host, port = strings.Trim(to.Host, "[]"), to.Scheme
	}
	raw, err := c.options.Dial(ctx, "tcp", net.JoinHostPort(host, port))
	if err != nil {
		return nil, err
	}
	whole := raw
	if to.Scheme == "https" {
		if whole, err = c.handshake(ctx, raw, host); err != nil {
			_ = raw.Close()
			return nil, err
		}
	}
	made := newConn(whole, raw, to, c.options.MaxHeader, c.options.MaxBody)
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.ctx.Err() != nil {
		made.abort()
		return nil, net.ErrClosed
	}
	c.all[made] = struct{}{}
	return made, nil
}

func (c *Client) handshake(ctx context.Context, raw net.Conn, host string) (net.Conn, error) {
	config := &tls.Config{MinVersion: tls.VersionTLS12}
	if c.options.TLS != nil {
		config = c.options.TLS.Clone()
	}
	if config.ServerName == "" {
		config.ServerName = host
	}
	conn := tls.Client(raw, config)
	return conn, conn.HandshakeContext(ctx)
}
