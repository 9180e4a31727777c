package source

import (
	"context"
	"crypto/tls"
	"fmt"
	"io"
	"net"
	"net/http"
	"strconv"
	"strings"
	"time"

	"github.com/cloudevents/sdk-go/v2/binding"
	"github.com/cloudevents/sdk-go/v2/event"
	cehttp "github.com/cloudevents/sdk-go/v2/protocol/http"
	"knative.dev/eventing/pkg/eventingtls"
)

const (
	namespaceHeader = "Kn-Namespace"

	dialTimeout = 10 * time.Second
	idleTimeout = 90 * time.Second
	// drainLimit is how much of an answer's body is read for the sake of the connection.
	drainLimit = 64 << 10
	// reasonLimit is how much of it is told, in bytes.
	reasonLimit = 200
)

// sender sends events to the sink, over connections that it keeps.
type sender struct {
	url       string
	namespace string
	timeout   time.Duration
	client    *http.Client
}

func newSender(c *Config) *sender {
	dialer := &net.Dialer{Timeout: dialTimeout}
	transport := &http.Transport{
		Proxy:               http.ProxyFromEnvironment,
		DialContext:         dialer.DialContext,
		MaxConnsPerHost:     c.MaxInFlight,
		MaxIdleConns:        c.MaxInFlight,
		MaxIdleConnsPerHost: c.MaxInFlight, // the default of 2 opens a connection for almost every event
		IdleConnTimeout:     idleTimeout,
		DisableCompression:  true,
	}
	if c.SinkURL.Scheme == "https" {
		trust := eventingtls.NewDefaultClientConfig()
		trust.CACerts = c.GetCACerts()
		transport.DialTLSContext = func(ctx context.Context, network, address string) (net.Conn, error) {
			config, err := eventingtls.GetTLSClientConfig(trust) // at each dial: trust bundles change
			if err != nil {
				return nil, fmt.Errorf("reading certificates to trust: %w", err)
			}
			return (&tls.Dialer{NetDialer: dialer, Config: config}).DialContext(ctx, network, address)
		}
	}
	return &sender{
		url: c.SinkURL.String(), namespace: c.GetNamespace(), timeout: time.Duration(c.SinkTimeout) * time.Second,
		client: &http.Client{
			Transport:     transport,
			CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
		},
	}
}

// rejection is an answer of the sink that is no success.
type rejection struct {
	status int
	reason string
	// retryAfter is what the sink asked for, or 0.
	retryAfter time.Duration
}

func (r *rejection) Error() string {
	if r.reason == "" {
		return fmt.Sprintf("the sink answered %d", r.status)
	}
	return fmt.Sprintf("the sink answered %d: %s", r.status, r.reason)
}

// final tells whether the same request would get the same answer: by Knative's rules 3xx, and 4xx but for 404, 408, 409 and 429.
func (r *rejection) final() bool {
	switch r.status {
	case http.StatusNotFound, http.StatusRequestTimeout, http.StatusConflict, http.StatusTooManyRequests:
		return false
	default:
		return r.status < http.StatusInternalServerError
	}
}

// send returns nil when the sink has taken the event, and a *rejection when it answered otherwise.
func (s *sender) send(ctx context.Context, e event.Event) error {
	ctx, cancel := context.WithTimeout(ctx, s.timeout)
	defer cancel()
	request, err := http.NewRequestWithContext(ctx, http.MethodPost, s.url, nil)
	if err != nil {
		return fmt.Errorf("creating request: %w", err)
	}
	if s.namespace != "" {
		request.Header.Set(namespaceHeader, s.namespace)
	}
	if err := cehttp.WriteRequest(encoding(ctx, &e), (*binding.EventMessage)(&e), request); err != nil {
		return fmt.Errorf("encoding event: %w", err)
	}
	response, err := s.client.Do(request)
	if err != nil {
		return fmt.Errorf("sending event: %w", err)
	}
	defer response.Body.Close()
	body, err := io.ReadAll(io.LimitReader(response.Body, drainLimit))
	if response.StatusCode >= 200 && response.StatusCode < 300 {
		return nil
	}
	if err != nil {
		body = nil
	}
	return &rejection{
		status: response.StatusCode, reason: firstLine(body), retryAfter: retryAfter(response),
	}
}

// encoding picks the binary mode; but an event whose data is a CloudEvent would read as that one.
func encoding(ctx context.Context, e *event.Event) context.Context {
	if strings.HasPrefix(e.DataMediaType(), "application/cloudevents") {
		e.DataBase64 = true
		return binding.WithForceStructured(ctx)
	}
	return binding.WithForceBinary(ctx)
}

// retryAfter returns how long the sink wants to be left alone, of the two answers that may say so.
func retryAfter(r *http.Response) time.Duration {
	if r.StatusCode != http.StatusTooManyRequests && r.StatusCode != http.StatusServiceUnavailable {
		return 0
	}
	value := r.Header.Get("Retry-After")
	if seconds, err := strconv.Atoi(value); err == nil {
		return time.Duration(max(seconds, 0)) * time.Second
	}
	if at, err := http.ParseTime(value); err == nil {
		return max(time.Until(at), 0)
	}
	return 0
}

func firstLine(body []byte) string {
	line, _, _ := strings.Cut(strings.TrimSpace(string(body)), "\n")
	if len(line) > reasonLimit {
		line = line[:reasonLimit]
	}
	return strings.ToValidUTF8(line, "")
}
