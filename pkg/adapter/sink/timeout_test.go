package sink

import (
	"context"
	"fmt"
	"net/http"
	"testing"
	"time"

	"github.com/cloudevents/sdk-go/v2/event"

	"github.com/eventing-eventmesh/eventing-eventmesh/internal/ingresstest"
	"github.com/eventing-eventmesh/eventing-eventmesh/pkg/eventmesh"
)

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
	server, _ := serve(t, p, "EVENTMESH_PUBLISH_TIMEOUT=20ms", "EVENTMESH_REQUEST_TIMEOUT=30ms")
	if got := ingresstest.Post(t, server.URL+"/topics/orders"); got.Status != http.StatusServiceUnavailable {
		t.Errorf("event: got %d %q, want 503", got.Status, got.Body)
	}
	if got := ingresstest.Post(t, server.URL+"/requests/orders"); got.Status != http.StatusGatewayTimeout {
		t.Errorf("request: got %d %q, want 504", got.Status, got.Body)
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
	server, _ := serve(t, p, "EVENTMESH_PUBLISH_TIMEOUT=1h", "EVENTMESH_REQUEST_TIMEOUT=10h")
	for path, want := range map[string]time.Duration{"/topics/orders": time.Hour, "/requests/orders": 10 * time.Hour} {
		ingresstest.Post(t, server.URL+path)
		if got := <-left; got > want || got < want-time.Minute {
			t.Errorf("%s: got %s left, want %s", path, got, want)
		}
	}
}
