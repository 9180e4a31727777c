package http

import (
	"context"
	"crypto/tls"
	"fmt"
	"net"
	"net/http"
	"net/url"
	"strings"
	"time"

	"github.com/eventing-eventmesh/eventing-eventmesh/internal/roundtrip"
	"github.com/eventing-eventmesh/eventing-eventmesh/pkg/eventmesh"
	"github.com/eventing-eventmesh/eventing-eventmesh/pkg/eventmesh/internal/wire"
)

// Transport opens sessions over HTTP. The zero value is ready for use.
type Transport struct {
	// dial makes connections, if it is not nil.
	dial func(ctx context.Context, network, address string) (net.Conn, error)
	// proxy tells by which proxy a request goes, if it is not nil, instead of the environment: HTTP_PROXY, HTTPS_PROXY and NO_PROXY.
	proxy func(*http.Request) (*url.URL, error)
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
	// maxHeader is what the header of an answer may have, in bytes.
	maxHeader = 64 << 10
	// maxAnswer is how large an answer may be, in bytes: an event of the largest size that EventMesh stores, in base64, has some 22 MiB.
	maxAnswer = 64 << 20
)

// client makes requests, with the errors of a [roundtrip.Client].
type client interface {
	Do(ctx context.Context, to roundtrip.Server, r roundtrip.Request) (roundtrip.Answer, error)
}

// session makes requests to one server, until it is closed. Several goroutines may use it.
type session struct {
	server                roundtrip.Server
	getHeader, postHeader roundtrip.Header
	client                client
	clientFor             func(roundtrip.Server) client
	ctx                   context.Context
	cancel                context.CancelCauseFunc
}

// newSession returns one that has made no connection yet.
func (t Transport) newSession(a eventmesh.Address, c eventmesh.Client) *session {
	get, post := http.Header{}, http.Header{"Content-Type": {"application/json"}}
	if c.Token != "" {
		get.Set("Authorization", "Bearer "+c.Token)
		post.Set("Authorization", "Bearer "+c.Token)
	}
	s := &session{server: roundtrip.Server{Scheme: a.Scheme, Host: a.Host}, getHeader: roundtrip.NewHeader(get), postHeader: roundtrip.NewHeader(post)}
	s.ctx, s.cancel = context.WithCancelCause(context.Background())
	s.clientFor = t.clients(s.ctx, c.TLS)
	s.client = s.clientFor(s.server)
	return s
}

// clients returns what tells who makes the requests of a server, until the context ends.
func (t Transport) clients(ctx context.Context, config *tls.Config) func(roundtrip.Server) client {
	proxy := t.proxy
	if proxy == nil {
		proxy = http.ProxyFromEnvironment
	}
	direct := roundtrip.NewClient(ctx, roundtrip.Options{
		Dial:           t.dial,
		TLS:            config,
		ConnectTimeout: connectTimeout,
		MaxIdle:        maxIdle,
		IdleTimeout:    idleTimeout,
		MaxHeader:      maxHeader,
		MaxBody:        maxAnswer,
	})
	indirect := newProxied(ctx, proxy, config)
	return func(to roundtrip.Server) client {
		if by, err := proxy(&http.Request{URL: &url.URL{Scheme: to.Scheme, Host: to.Host}}); by == nil && err == nil {
			return direct
		}
		return indirect
	}
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
	there.client = s.clientFor(there.server)
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
	return nil
}
