package dispatch

import (
	"bytes"
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"maps"
	"net/http"
	"net/http/httptrace"
	"net/url"
	"strings"
	"sync/atomic"
	"time"

	"github.com/cloudevents/sdk-go/v2/event"

	"github.com/eventing-eventmesh/eventing-eventmesh/internal/httpevent"
)

const (
	// headerLimit is how large the headers of an answer may be, in bytes, with all the informational answers before it.
	headerLimit = 1 << 20
	// drainLimit is how much of an answer's body is read for the sake of the connection, and drainTimeout is how long.
	drainLimit   = 64 << 10
	drainTimeout = 2 * time.Second
	// bodyLimit is how much of the body of a refusal is kept, in bytes.
	bodyLimit = 1024
	// errorLimit is how much is told of a failure without an answer, in bytes.
	errorLimit = 500
	// otherHeaders is how many headers a request may have besides those of all requests and of extensions.
	otherHeaders = 12
)

// ContentMode is how requests hold events.
type ContentMode string

const (
	// Auto is Binary, and Structured for events of which a receiver may not get every attribute in headers as it is.
	Auto = ContentMode(httpevent.Auto)
	// Binary has attributes in headers, and the data as the body. Events that this would change cannot be sent.
	Binary = ContentMode(httpevent.Binary)
	// Structured has all of an event in the body, as JSON.
	Structured = ContentMode(httpevent.Structured)
)

// UnmarshalText parses the value, whatever its case.
func (m *ContentMode) UnmarshalText(text []byte) error {
	switch *m = ContentMode(strings.ToLower(string(text))); *m {
	case Auto, Binary, Structured:
		return nil
	default:
		return fmt.Errorf("%q is none of auto, binary and structured", text)
	}
}

// HTTPOptions say how events are sent to a URL.
type HTTPOptions struct {
	// URL is of http or https. A user and password in it are sent as basic authentication.
	URL *url.URL
	// Timeout bounds a request; by default 30 s.
	Timeout time.Duration
	// Mode is how requests hold events; by default Auto.
	Mode ContentMode
	// MaxConnections is how many are open at once, and kept; by default 16.
	MaxConnections int
	// Header is sent with each request.
	Header http.Header
	// Token returns the bearer token that is sent, and "" for none; nil: none ever is. After an error no request is made.
	Token func() (string, error)
	// TLS returns whom connections trust. It is asked for each; nil: the authorities of the system.
	TLS func() (*tls.Config, error)
	// Replies asks for the event in an answer.
	Replies bool
	// NothingElse makes content of a successful answer that is no event an invalid reply, but for 202, whose content means nothing. Without
	// it that is passed over.
	NothingElse bool
	// Proxy returns that of a request, as for [http.Transport]; by default those of the environment: HTTP_PROXY, HTTPS_PROXY and NO_PROXY.
	Proxy func(*http.Request) (*url.URL, error)
}

// HTTP sends events to a URL, over connections that it keeps. It follows no redirects.
type HTTP struct {
	options   HTTPOptions
	name      string
	template  *http.Request // what all requests have in common
	transport *http.Transport
	fresh     *http.Transport // keeps no connections
}

// NewHTTP returns a destination over HTTP.
func NewHTTP(o HTTPOptions) *HTTP {
	if o.Timeout <= 0 {
		o.Timeout = 30 * time.Second
	}
	if o.MaxConnections <= 0 {
		o.MaxConnections = 16
	}
	if o.Proxy == nil {
		o.Proxy = http.ProxyFromEnvironment
	}
	request := &http.Request{Method: http.MethodPost, URL: o.URL, Host: strings.TrimSuffix(o.URL.Host, ":"), Header: http.Header{}}
	maps.Copy(request.Header, o.Header)
	if user := o.URL.User; user != nil {
		password, _ := user.Password()
		request.SetBasicAuth(user.Username(), password)
	}
	if o.Replies {
		request.Header.Set("Prefer", "reply")
	}
	d := &HTTP{options: o, name: withoutSecrets(o.URL), template: request, transport: newTransport(o)}
	d.fresh = d.transport.Clone()
	d.fresh.DisableKeepAlives = true
	return d
}

// withoutSecrets leaves out what of a URL may be secret, and a path for which a dead letter would have to be structured.
func withoutSecrets(u *url.URL) string {
	for _, path := range []string{u.Path, ""} {
		if text := (&url.URL{Scheme: u.Scheme, Host: u.Host, Path: path}).String(); !strings.Contains(text, "%") {
			return text
		}
	}
	return ""
}

// String returns the URL without user, password, query, and what has to be escaped.
func (d *HTTP) String() string { return d.name }

// Close closes the connections that are not in use.
func (d *HTTP) Close() { d.transport.CloseIdleConnections() }

var errNoEvent = errors.New("it has content that is no event")

// Send implements [Destination]. An error without an answer has the beginning of what came, where that was no HTTP.
func (d *HTTP) Send(ctx context.Context, e event.Event) (Answer, error) {
	ctx, cancel := context.WithTimeout(ctx, d.options.Timeout)
	defer cancel()
	var kept atomic.Bool // a connection that is used again
	request, err := d.request(httptrace.WithClientTrace(ctx, &httptrace.ClientTrace{
		GotConn: func(connection httptrace.GotConnInfo) { kept.Store(connection.Reused) },
	}), e)
	if err != nil {
		return Answer{}, err
	}
	response, err := d.transport.RoundTrip(request)
	if err != nil && kept.Load() && ctx.Err() == nil {
		response, err = d.sendAgain(request)
	}
	if err != nil {
		return Answer{}, &sendError{err}
	}
	defer response.Body.Close()
	a := Answer{Status: response.StatusCode}
	if d.options.Replies && hasReply(response) {
		a.Reply, a.Invalid = replyOf(response)
		return a, nil
	}
	start := startOf(response, cancel)
	if response.StatusCode < 200 || response.StatusCode >= 300 {
		return a, &Rejection{Status: response.StatusCode, Body: start, RetryAfter: retryAfter(response)}
	}
	if d.options.NothingElse && start != "" && response.StatusCode != http.StatusAccepted {
		a.Invalid = errNoEvent
	}
	return a, nil
}

// sendAgain sends a request once more that failed on a kept connection. The destination may close those at any time, which tells nothing
// about it; net/http sends only requests again that it may consider idempotent, not after an error of writing, and on as many connections
// as there are.
func (d *HTTP) sendAgain(request *http.Request) (*http.Response, error) {
	if request.GetBody != nil {
		request.Body, _ = request.GetBody()
	}
	return d.fresh.RoundTrip(request)
}

// sendError is a request without an answer.
type sendError struct{ error }

func (e *sendError) Error() string {
	return strings.ToValidUTF8(fmt.Sprintf("sending event: %.*s", errorLimit, e.error.Error()), "")
}

func (e *sendError) Unwrap() error { return e.error }

func (d *HTTP) request(ctx context.Context, e event.Event) (*http.Request, error) {
	request := d.template.WithContext(ctx)
	request.Header = make(http.Header, len(d.template.Header)+len(extensionsOf(&e))+otherHeaders)
	maps.Copy(request.Header, d.template.Header)
	if d.options.Token != nil {
		token, err := d.options.Token()
		if err != nil {
			return nil, err
		}
		if token != "" {
			request.Header.Set("Authorization", "Bearer "+token)
		}
	}
	inject(ctx, request.Header)
	body, err := httpevent.Write(request.Header, e, httpevent.Mode(d.options.Mode))
	if err != nil {
		return nil, &UnsendableError{fmt.Errorf("encoding event: %w", err)}
	}
	if len(body) > 0 {
		request.ContentLength = int64(len(body))
		request.GetBody = func() (io.ReadCloser, error) { return io.NopCloser(bytes.NewReader(body)), nil }
		request.Body, _ = request.GetBody()
	}
	return request, nil
}

// startOf returns the start of an answer's body, and reads more of it, so that the connection can be used again. That of an
// informational answer is the connection itself, which has no end.
func startOf(response *http.Response, cancel func()) string {
	if response.StatusCode < 200 || response.ContentLength == 0 {
		return ""
	}
	defer time.AfterFunc(drainTimeout, cancel).Stop()
	start, err := io.ReadAll(io.LimitReader(response.Body, bodyLimit))
	if err != nil {
		return ""
	}
	if _, err := io.CopyN(io.Discard, response.Body, drainLimit); err != nil && !errors.Is(err, io.EOF) {
		return ""
	}
	return string(start)
}
