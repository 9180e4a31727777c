package ingress

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/http"
	"strings"
	"sync"
	"testing"

	"github.com/cloudevents/sdk-go/v2/event"
	"go.uber.org/zap"
	"go.uber.org/zap/zapcore"
	"go.uber.org/zap/zaptest/observer"

	"github.com/eventing-eventmesh/eventing-eventmesh/internal/await"
)

// patience is how long anything may take that a test waits for.
const patience = await.Patience

// eventually waits until check returns "", which otherwise says what is missing.
func eventually(t *testing.T, check func() string) {
	t.Helper()
	await.Until(t, patience, check)
}

// fake is what events are delivered to. It accepts everything, unless told otherwise.
type fake struct {
	publish func(ctx context.Context, topic string) error
	// each decides on an event by itself, where it is set.
	each    func(ctx context.Context, e event.Event) error
	request func(ctx context.Context, topic string) (*event.Event, error)

	mu        sync.Mutex
	published []event.Event
	topics    []string
}

// route knows /, which is the topic orders, /topics/{topic} and /requests/{topic}. The topic closed is closed.
func (f *fake) route(r *http.Request) (to Destination, err error) {
	switch path := r.URL.Path; {
	case path == "/":
		to.Topic = "orders"
	case strings.HasPrefix(path, "/topics/"):
		to.Topic = strings.TrimPrefix(path, "/topics/")
	case strings.HasPrefix(path, "/requests/"):
		to.Topic, to.Single = strings.TrimPrefix(path, "/requests/"), true
	default:
		return to, Refusef(http.StatusNotFound, "no such path")
	}
	switch {
	case r.Method != http.MethodPost && r.Method != http.MethodOptions:
		return to, Refusef(http.StatusMethodNotAllowed, "events are sent with POST")
	case to.Topic == "closed":
		return to, Refusef(http.StatusForbidden, "the topic is closed")
	}
	to.Deliver = func(ctx context.Context, e event.Event) (*event.Event, error) { return f.deliver(ctx, to, e) }
	return to, nil
}

func (f *fake) deliver(ctx context.Context, to Destination, e event.Event) (*event.Event, error) {
	if f.each != nil {
		if err := f.each(ctx, e); err != nil {
			return nil, err
		}
	}
	f.mu.Lock()
	f.published = append(f.published, e)
	f.topics = append(f.topics, to.Topic)
	f.mu.Unlock()
	if to.Single {
		return f.request(ctx, to.Topic)
	}
	if f.publish != nil {
		return nil, f.publish(ctx, to.Topic)
	}
	return nil, nil
}

// taken returns the events that came, and where to.
func (f *fake) taken() ([]event.Event, []string) {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.published, f.topics
}

// served is a Server that serves on a port of the loopback.
type served struct {
	*Server
	URL, host string
	client    *http.Client
}

// server returns a Server in front of a fake, and its log.
func server(t *testing.T, f *fake, change ...func(*Options)) (*Server, *observer.ObservedLogs) {
	t.Helper()
	core, logs := observer.New(zapcore.DebugLevel)
	o := Options{Route: f.route, Logger: zap.New(core).Sugar(), DrainTimeout: patience}
	for _, c := range change {
		c(&o)
	}
	s, err := New(o)
	if err != nil {
		t.Fatal(err)
	}
	return s, logs
}

// serve serves in front of a fake, and returns the log. In the end no connection is open.
func serve(t *testing.T, f *fake, change ...func(*Options)) (*served, *observer.ObservedLogs) {
	t.Helper()
	s, logs := server(t, f, change...)
	return start(t, s), logs
}

// bounds changes the bounds of a Server.
func bounds(b Bounds) func(*Options) { return func(o *Options) { o.Bounds = b } }

func start(t *testing.T, server *Server) *served {
	t.Helper()
	listener, err := (&net.ListenConfig{}).Listen(t.Context(), "tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	s := &served{Server: server, host: listener.Addr().String(), client: &http.Client{Transport: &http.Transport{}}}
	s.URL = "http://" + s.host
	plain, secure := listener, net.Listener(nil)
	if server.options.TLS != nil {
		s.URL = "https://" + s.host
		plain, secure = nil, listener
	}
	ctx, cancel := context.WithCancel(t.Context())
	ended := make(chan error, 1)
	go func() { ended <- server.Serve(ctx, plain, secure) }()
	t.Cleanup(func() {
		s.client.CloseIdleConnections()
		http.DefaultClient.CloseIdleConnections()
		cancel()
		if err := <-ended; err != nil {
			t.Error(err)
		}
		eventually(t, func() string { // TLS may still be saying goodbye
			all := server.connections
			all.mu.Lock()
			defer all.mu.Unlock()
			if all.open != 0 || all.waiting.Len() != 0 {
				return fmt.Sprintf("%d connections are open in the end, %d wait", all.open, all.waiting.Len())
			}
			return ""
		})
	})
	return s
}

// Client returns a client of connections of its own.
func (s *served) Client() *http.Client { return s.client }

var errAway = errors.New("the destination is away")
