package sink

import (
	"context"
	"fmt"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/cloudevents/sdk-go/v2/event"

	"github.com/eventing-eventmesh/eventing-eventmesh/pkg/eventmesh"
)

func TestSenderThatGoesAway(t *testing.T) {
	for _, c := range []struct {
		name   string
		header http.Header
		body   string
	}{{"event", binary(), "{}"}, {"batch", batched(), batchOf("1")}} {
		t.Run(c.name, func(t *testing.T) {
			began, goOn, ended := make(chan struct{}), make(chan struct{}), make(chan error, 1)
			p := &fake{publish: func(ctx context.Context, _ string) error {
				close(began)
				<-goOn
				ended <- ctx.Err()
				return nil
			}}
			h, server, _ := serve(t, p)
			ctx, cancel := context.WithCancel(t.Context())
			r := httptest.NewRequestWithContext(ctx, http.MethodPost, "/", strings.NewReader(c.body))
			r.Header = c.header
			answered := make(chan struct{})
			go func() {
				defer close(answered)
				server.Config.Handler.ServeHTTP(httptest.NewRecorder(), r)
			}()
			<-began
			cancel() // as net/http does when the connection breaks
			close(goOn)
			if err := <-ended; err != nil {
				t.Errorf("publishing ended with its sender: %v", err)
			}
			<-answered
			if n := len(h.inFlight); n != 0 {
				t.Errorf("%d events are in flight in the end", n)
			}
		})
	}
}

func TestTimeouts(t *testing.T) {
	wait := func(ctx context.Context, kind error) error {
		began := time.Now()
		<-ctx.Done()
		return fmt.Errorf("%w: after %s", kind, time.Since(began))
	}
	p := &fake{
		publish: func(ctx context.Context, _ string) error { return wait(ctx, eventmesh.ErrUnconfirmed) },
		request: func(ctx context.Context, _ string) (*event.Event, error) {
			return nil, wait(ctx, eventmesh.ErrNoReply)
		},
	}
	_, server, _ := serve(t, p, "EVENTMESH_PUBLISH_TIMEOUT=20ms", "EVENTMESH_REQUEST_TIMEOUT=30ms")
	if got := post(t, server.URL+"/topics/orders"); got.status != http.StatusServiceUnavailable {
		t.Errorf("event: got %d %q, want 503", got.status, got.body)
	}
	if got := post(t, server.URL+"/requests/orders"); got.status != http.StatusGatewayTimeout {
		t.Errorf("request: got %d %q, want 504", got.status, got.body)
	}
}

func TestRequestsHaveATimeoutOfTheirOwn(t *testing.T) {
	left := make(chan time.Duration, 2)
	note := func(ctx context.Context) error {
		deadline, _ := ctx.Deadline()
		left <- time.Until(deadline)
		return eventmesh.ErrNotConnected
	}
	p := &fake{
		publish: func(ctx context.Context, _ string) error { return note(ctx) },
		request: func(ctx context.Context, _ string) (*event.Event, error) { return nil, note(ctx) },
	}
	_, server, _ := serve(t, p, "EVENTMESH_PUBLISH_TIMEOUT=1h", "EVENTMESH_REQUEST_TIMEOUT=10h")
	for path, want := range map[string]time.Duration{"/topics/orders": time.Hour, "/requests/orders": 10 * time.Hour} {
		post(t, server.URL+path)
		if got := <-left; got > want || got < want-time.Minute {
			t.Errorf("%s: got %s left, want %s", path, got, want)
		}
	}
}

func TestLimitsRequestsInFlight(t *testing.T) {
	began, goOn := make(chan struct{}), make(chan struct{})
	p := &fake{publish: func(context.Context, string) error {
		began <- struct{}{}
		<-goOn
		return nil
	}}
	h, server, _ := serve(t, p, "EVENTMESH_MAX_IN_FLIGHT=2")
	statuses := make(chan int, 2)
	for range 2 {
		go func() { statuses <- post(t, server.URL).status }()
		<-began
	}
	got := post(t, server.URL)
	if got.status != http.StatusTooManyRequests || got.header.Get("Retry-After") != "1" || !strings.Contains(got.body, "EVENTMESH_MAX_IN_FLIGHT") {
		t.Errorf("got %d %q, Retry-After %q; want 429", got.status, got.body, got.header.Get("Retry-After"))
	}
	if got := send(t, server.Client(), http.MethodGet, server.URL+"/readiness", nil, nil); got.status != http.StatusOK {
		t.Errorf("readiness while full: got %d, want 200", got.status)
	}
	close(goOn)
	for range 2 {
		if got := <-statuses; got != http.StatusAccepted {
			t.Errorf("got %d for an event in flight, want 202", got)
		}
	}
	go func() { <-began }()
	if got := post(t, server.URL); got.status != http.StatusAccepted {
		t.Errorf("got %d when there is room again, want 202", got.status)
	}
	h.bodies.mu.Lock()
	defer h.bodies.mu.Unlock()
	if h.bodies.held != 0 {
		t.Errorf("%d bytes of bodies are held in the end", h.bodies.held)
	}
}
