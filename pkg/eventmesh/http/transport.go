package http

import (
	"context"
	"crypto/tls"
	"fmt"
	"net"
	"net/http"
	"strings"
	"time"

	"github.com/eventing-eventmesh/eventing-eventmesh/pkg/eventmesh"
	"github.com/eventing-eventmesh/eventing-eventmesh/pkg/eventmesh/internal/wire"
)

// Transport opens sessions over HTTP. The zero value is ready for use.
type Transport struct {
	// dial makes connections, if it is not nil.
	dial func(ctx context.Context, network, address string) (net.Conn, error)
}

var _ eventmesh.Transport = Transport{}

// Traits say that the topics are those whose names EventMesh can read in a URL: it decodes that twice, and never delivers again, to anybody,
// once a name holds a bar.
func (Transport) Traits() eventmesh.Traits {
	return eventmesh.Traits{
		Scheme: "http", Port: "10105", Rendering: wire.Rendering{Form: wire.HTTPForm}, ValidateTopic: validateTopic, Redelivers: true,
	}
}

func validateTopic(topic string) error {
	if strings.ContainsFunc(topic, notInNames) {
		return fmt.Errorf("%w %q: over HTTP a name has letters, digits and characters of ._-", wire.ErrInvalidTopic, topic)
	}
	return nil
}

// notInNames tells the characters that are not safe in the names of topics and clients.
func notInNames(r rune) bool {
	return (r < 'a' || r > 'z') && (r < 'A' || r > 'Z') && (r < '0' || r > '9') && !strings.ContainsRune("._-", r)
}

const (
	// connectTimeout bounds how long a connection may take to be made.
	connectTimeout = 5 * time.Second
	// idleTimeout is below the 30 s after which EventMesh closes a connection that nothing comes over.
	idleTimeout = 20 * time.Second
	// maxIdle is how many connections are kept for requests that come at once.
	maxIdle = 64
	// maxHeaders is what the headers of an answer may have, in bytes.
	maxHeaders = 64 << 10
)

// session makes requests to one server, until it is closed. Several goroutines may use it.
type session struct {
	server                eventmesh.Address
	getHeader, postHeader http.Header // which nobody changes
	transport             *http.Transport
	ctx                   context.Context
	cancel                context.CancelCauseFunc
}

// newSession returns one that has made no connection yet.
func (t Transport) newSession(a eventmesh.Address, c eventmesh.Client) *session {
	s := &session{server: a, getHeader: http.Header{}, postHeader: http.Header{"Content-Type": {"application/json"}}}
	if c.Token != "" {
		s.getHeader.Set("Authorization", "Bearer "+c.Token)
		s.postHeader.Set("Authorization", "Bearer "+c.Token)
	}
	dial := t.dial
	if dial == nil {
		dial = (&net.Dialer{Timeout: connectTimeout}).DialContext
	}
	s.transport = &http.Transport{
		Proxy:                  http.ProxyFromEnvironment,
		DialContext:            dial,
		TLSClientConfig:        c.TLS,
		TLSHandshakeTimeout:    connectTimeout,
		TLSNextProto:           map[string]func(string, *tls.Conn) http.RoundTripper{}, // EventMesh has no HTTP/2
		DisableCompression:     true,
		MaxIdleConnsPerHost:    maxIdle,
		IdleConnTimeout:        idleTimeout,
		MaxResponseHeaderBytes: maxHeaders,
	}
	s.ctx, s.cancel = context.WithCancelCause(context.Background())
	return s
}

// at returns the session for requests that have to go to the instance of EventMesh that an answer named, if it named one. EventMesh says
// http also where it serves https.
func (s *session) at(instance string) *session {
	_, host, found := strings.Cut(instance, "://")
	host = strings.TrimRight(host, "/")
	if !found || host == "" || strings.ContainsAny(host, "/?#@ ") {
		return s
	}
	there := *s
	there.server.Host = host
	return &there
}

// fail ends the session for a reason, unless it has ended.
func (s *session) fail(reason error) { s.cancel(reason) }

// Wait blocks until the session has ended, and returns why.
func (s *session) Wait() error {
	<-s.ctx.Done()
	return context.Cause(s.ctx)
}

// Close ends the session and what is under way.
func (s *session) Close() error {
	s.cancel(eventmesh.ErrClosed)
	s.transport.CloseIdleConnections()
	return nil
}
