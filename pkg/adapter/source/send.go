package source

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"maps"
	"math"
	"net"
	"net/http"
	"net/http/httptrace"
	"strconv"
	"strings"
	"sync/atomic"
	"time"

	"github.com/cloudevents/sdk-go/v2/event"
	"go.uber.org/zap"

	"github.com/eventing-eventmesh/eventing-eventmesh/internal/httpevent"
	"github.com/eventing-eventmesh/eventing-eventmesh/internal/line"
	"github.com/eventing-eventmesh/eventing-eventmesh/pkg/adapter"
	"github.com/eventing-eventmesh/eventing-eventmesh/pkg/eventmesh"
)

const (
	namespaceHeader = "Kn-Namespace"

	dialTimeout = 10 * time.Second
	idleTimeout = 90 * time.Second
	// headerLimit is how large the headers of an answer may be, in bytes, with all the informational answers before it.
	headerLimit = 1 << 20
	// drainLimit is how much of an answer's body is read for the sake of the connection, and drainTimeout is how long.
	drainLimit   = 64 << 10
	drainTimeout = 2 * time.Second
	// bodyLimit is how much of the body of a refusal is kept, in bytes.
	bodyLimit = 1024
	// reasonLimit is how much of it is told, in bytes, and errorLimit how much of another failure.
	reasonLimit = 200
	errorLimit  = 500
	// longestWait bounds a Retry-After; EVENTMESH_BACKOFF_MAX does so after it.
	longestWait = 365 * 24 * time.Hour
	// replyLimit is how large a reply may be, in bytes: more than EventMesh takes.
	replyLimit = 4 << 20
	// otherHeaders is how many headers a request may have besides those of the template and of extensions.
	otherHeaders = 12
)

// sender sends events to one URL, over connections that it keeps.
type sender struct {
	// template is what all requests have in common.
	template  *http.Request
	timeout   time.Duration
	transport *http.Transport
	// fresh keeps no connections.
	fresh *http.Transport
	// token is nil where none is sent.
	token *tokenFile
	mode  httpevent.Mode
	// replies says that an event in an answer is asked for.
	replies bool
	logger  *zap.SugaredLogger
}

func newSender(c *Config, to SinkURL, logger *zap.SugaredLogger) *sender {
	dialer, trust := &net.Dialer{Timeout: dialTimeout}, trust{c.GetCACerts()}
	transport := &http.Transport{
		Proxy:                  http.ProxyFromEnvironment,
		DialContext:            dialer.DialContext,
		DialTLSContext:         trust.dial(dialer),                // to the sink, or to a proxy by https
		TLSClientConfig:        trust.throughProxy(to.Hostname()), // to the sink, through a proxy
		TLSHandshakeTimeout:    dialTimeout,
		MaxConnsPerHost:        c.MaxInFlight,
		MaxIdleConns:           c.MaxInFlight,
		MaxIdleConnsPerHost:    c.MaxInFlight, // the default of 2 opens a connection for almost every event
		MaxResponseHeaderBytes: headerLimit,
		IdleConnTimeout:        idleTimeout,
		DisableCompression:     true,
	}
	fresh := transport.Clone()
	fresh.DisableKeepAlives = true
	return &sender{
		template: template(c, to), timeout: time.Duration(c.SinkTimeout) * time.Second, transport: transport, fresh: fresh,
		mode: httpevent.Mode(c.ContentMode), logger: adapter.Sampled(logger),
	}
}

func template(c *Config, to SinkURL) *http.Request {
	request := &http.Request{Method: http.MethodPost, URL: to.URL, Host: strings.TrimSuffix(to.Host, ":"), Header: http.Header{}}
	if user := to.User; user != nil {
		password, _ := user.Password()
		request.SetBasicAuth(user.Username(), password)
	}
	if namespace := c.GetNamespace(); namespace != "" {
		request.Header.Set(namespaceHeader, namespace)
	}
	return request
}

// rejection is an answer of the sink that is no success.
type rejection struct {
	status int
	// body is its start.
	body string
	// retryAfter is what the sink asked for, or 0.
	retryAfter time.Duration
}

func (r *rejection) Error() string {
	reason := line.First(r.body, reasonLimit, "")
	if reason == "" {
		return fmt.Sprintf("the sink answered %d", r.status)
	}
	return fmt.Sprintf("the sink answered %d: %s", r.status, reason)
}

// statusCode is for the trace.
func (r *rejection) statusCode() int { return r.status }

// final tells whether the same request would get the same answer: by Knative's rules 3xx, and 4xx but for 404, 408, 409 and 429.
func (r *rejection) final() bool {
	switch r.status {
	case http.StatusNotFound, http.StatusRequestTimeout, http.StatusConflict, http.StatusTooManyRequests:
		return false
	default:
		return r.status < http.StatusInternalServerError
	}
}

// unsendableError is an event that no request can hold: its own fault for good, which tells nothing about the sink.
type unsendableError struct{ reason error }

func (e *unsendableError) Error() string { return fmt.Sprintf("encoding event: %v", e.reason) }

func (e *unsendableError) Unwrap() error { return e.reason }

// answer is what an event got.
type answer struct {
	// status is 0 without an answer.
	status int
	// reply is the event of a successful answer, where one is asked for, and invalid why what claims to be one is none. The sink has
	// taken the request all the same.
	reply   *event.Event
	invalid error
}

// send returns nil when the event has been taken, a *rejection when the answer was another one, and an *unsendableError without
// asking the sink.
func (s *sender) send(ctx context.Context, e event.Event) (answer, error) {
	ctx, cancel := context.WithTimeout(ctx, s.timeout)
	defer cancel()
	request, err := s.request(ctx, e)
	if err != nil {
		return answer{}, err
	}
	response, err := s.roundTrip(request)
	if err != nil {
		return answer{}, &sendError{err}
	}
	defer response.Body.Close()
	a := answer{status: response.StatusCode}
	if s.replies && hasReply(response) {
		a.reply, a.invalid = replyOf(response)
		return a, nil
	}
	start := startOf(response, cancel)
	if response.StatusCode < 200 || response.StatusCode >= 300 {
		return a, &rejection{status: response.StatusCode, body: start, retryAfter: retryAfter(response)}
	}
	return a, nil
}

// roundTrip sends a request, and once more where that failed on a kept connection. The sink may close those at any time, which tells
// nothing about it; net/http sends only requests again that it may take for idempotent, and on as many connections as there are.
// Nothing here follows redirects.
func (s *sender) roundTrip(request *http.Request) (*http.Response, error) {
	var kept atomic.Bool
	ctx := httptrace.WithClientTrace(request.Context(), &httptrace.ClientTrace{
		GotConn: func(connection httptrace.GotConnInfo) { kept.Store(connection.Reused) },
	})
	response, err := s.transport.RoundTrip(request.WithContext(ctx))
	if err == nil || !kept.Load() || request.Context().Err() != nil {
		return response, err
	}
	s.logger.Infow("a kept connection was closed: the event is sent again", zap.Error(err))
	if request.GetBody != nil {
		request.Body, _ = request.GetBody()
	}
	return s.fresh.RoundTrip(request)
}

// close closes the connections that are not in use.
func (s *sender) close() { s.transport.CloseIdleConnections() }

// sendError is a request without an answer. Where that is since what came is no HTTP, the text has the beginning.
type sendError struct{ error }

func (e *sendError) Error() string {
	return strings.ToValidUTF8(fmt.Sprintf("sending event: %.*s", errorLimit, e.error.Error()), "")
}

func (e *sendError) Unwrap() error { return e.error }

func (s *sender) request(ctx context.Context, e event.Event) (*http.Request, error) {
	request := s.template.WithContext(ctx)
	request.Header = make(http.Header, len(s.template.Header)+len(extensionsOf(&e))+otherHeaders)
	maps.Copy(request.Header, s.template.Header)
	if s.replies {
		request.Header.Set("Prefer", "reply")
	}
	if s.token != nil {
		token, err := s.token.read()
		if err != nil {
			return nil, err
		}
		if token != "" {
			request.Header.Set("Authorization", "Bearer "+token)
		}
	}
	inject(ctx, request.Header)
	body, err := httpevent.Write(request.Header, e, s.mode)
	if err != nil {
		return nil, &unsendableError{err}
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

// hasReply tells whether an answer claims to hold an event for the requester.
func hasReply(response *http.Response) bool {
	return response.StatusCode >= 200 && response.StatusCode < 300 && response.StatusCode != http.StatusAccepted && httpevent.IsEvent(response.Header)
}

// replyOf returns the event in an answer. It takes what the sink adapter would take from a sender: a reply goes the same way.
func replyOf(response *http.Response) (*event.Event, error) {
	body, err := io.ReadAll(io.LimitReader(response.Body, replyLimit+1))
	if err != nil {
		return nil, fmt.Errorf("reading it: %w", err)
	}
	if len(body) > replyLimit {
		return nil, fmt.Errorf("it has more than %d bytes", replyLimit)
	}
	reply, err := httpevent.Read(response.Header, body)
	if err != nil {
		return nil, fmt.Errorf("not a CloudEvent: %w", err)
	}
	return reply, eventmesh.Validate(*reply)
}

// retryAfter returns how long the sink wants to be left alone, of the two answers that may say so.
func retryAfter(r *http.Response) time.Duration {
	if r.StatusCode != http.StatusTooManyRequests && r.StatusCode != http.StatusServiceUnavailable {
		return 0
	}
	value := r.Header.Get("Retry-After")
	if seconds, err := strconv.ParseFloat(value, 64); (err == nil || errors.Is(err, strconv.ErrRange)) && !math.IsNaN(seconds) {
		return time.Duration(min(max(seconds, 0), longestWait.Seconds()) * float64(time.Second))
	}
	if at, err := http.ParseTime(value); err == nil {
		return min(max(time.Until(at), 0), longestWait)
	}
	return 0
}
