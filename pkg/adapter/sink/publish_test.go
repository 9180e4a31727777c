package sink

import (
	"context"
	"fmt"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/cloudevents/sdk-go/v2/event"

	"github.com/eventing-eventmesh/eventing-eventmesh/pkg/eventmesh"
)

func TestSenderThatGoesAway(t *testing.T) {
	began, goOn, ended := make(chan struct{}), make(chan struct{}), make(chan error, 1)
	p := &fake{publish: func(ctx context.Context, _ string) error {
		close(began)
		<-goOn
		ended <- ctx.Err()
		return nil
	}}
	_, server, _ := serve(t, p)
	ctx, cancel := context.WithCancel(t.Context())
	r, err := http.NewRequestWithContext(ctx, http.MethodPost, server.URL, strings.NewReader("{}"))
	if err != nil {
		t.Fatal(err)
	}
	r.Header = binary()
	gone := make(chan struct{})
	go func() {
		defer close(gone)
		if response, err := server.Client().Do(r); err == nil {
			_ = response.Body.Close()
		}
	}()
	<-began
	cancel()
	<-gone
	close(goOn)
	if err := <-ended; err != nil {
		t.Errorf("publishing ended with its sender: %v", err)
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

func TestLimitsRequestsInFlight(t *testing.T) {
	began, goOn := make(chan struct{}), make(chan struct{})
	p := &fake{publish: func(context.Context, string) error {
		began <- struct{}{}
		<-goOn
		return nil
	}}
	_, server, _ := serve(t, p, "EVENTMESH_MAX_IN_FLIGHT=2")
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
}
