package sink

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"strings"
	"testing"

	"github.com/cloudevents/sdk-go/v2/event"

	"github.com/eventing-eventmesh/eventing-eventmesh/internal/ingresstest"
	"github.com/eventing-eventmesh/eventing-eventmesh/pkg/eventmesh"
)

func TestAnswersTellWhatFailed(t *testing.T) {
	for _, c := range []struct {
		err        error
		status     int
		retryAfter string
	}{
		{eventmesh.ErrInvalidEvent, 400, ""},
		{eventmesh.ErrInvalidTopic, 400, ""},
		{eventmesh.ErrTooLarge, 413, ""},
		{eventmesh.ErrUnsupported, 403, ""},
		{eventmesh.ErrRateLimited, 429, "1"},
		{eventmesh.ErrNotConnected, 503, "1"},
		{eventmesh.ErrUnconfirmed, 503, "1"},
		{eventmesh.ErrNoSubscriber, 503, "1"},
		{eventmesh.ErrRefused, 503, "1"},
		{eventmesh.ErrUnauthorized, 503, "1"},
		{eventmesh.ErrClosed, 503, "1"},
		{errors.New("unheard of"), 503, "1"},
		{errors.Join(errors.New("of several"), errors.New("lines")), 503, "1"},
		{eventmesh.ErrInvalidReply, 502, ""},
		{eventmesh.ErrNoReply, 504, ""},
		{fmt.Errorf("%w: %w", eventmesh.ErrUnconfirmed, eventmesh.ErrNoReply), 504, ""},
		{&eventmesh.RefusalError{Kind: eventmesh.ErrRateLimited, Code: "21", Reason: "too fast\nat org.apache"}, 429, "1"},
	} {
		t.Run(c.err.Error(), func(t *testing.T) {
			err := fmt.Errorf("publishing to orders: %w", c.err)
			p := &fake{
				publish: func(context.Context, string) error { return err },
				request: func(context.Context, string) (*event.Event, error) { return nil, err },
			}
			server, _ := serve(t, p)
			for _, path := range []string{"/topics/orders", "/requests/orders"} {
				got, want := ingresstest.Post(t, server.URL+path), strings.ReplaceAll(err.Error(), "\n", " ")+"\n"
				if got.Status != c.status || got.Header.Get("Retry-After") != c.retryAfter || got.Body != want {
					t.Errorf("%s: got %d %q, Retry-After %q; want %d %q, Retry-After %q", path, got.Status, got.Body, got.Header.Get("Retry-After"),
						c.status, want, c.retryAfter)
				}
			}
		})
	}
}

func TestRepeatedFailuresAreSampled(t *testing.T) {
	p := &fake{publish: func(context.Context, string) error { return eventmesh.ErrNotConnected }}
	server, logs := serve(t, p)
	const requests = 200
	for range requests {
		ingresstest.Post(t, server.URL)
	}
	ingresstest.Send(t, server.Client(), http.MethodGet, server.URL, nil, nil)
	lines := logs.FilterMessageSnippet("503").All()
	if len(lines) == 0 || len(lines) > requests/10 {
		t.Errorf("got %d lines for %d failures, want one a second", len(lines), requests)
	}
	for _, line := range lines {
		if line.ContextMap()["topic"] != "orders" || !strings.Contains(fmt.Sprint(line.ContextMap()["error"]), "not connected") {
			t.Errorf("got %v, want topic and error", line.ContextMap())
		}
	}
	if logs.FilterMessageSnippet("405").Len() != 1 {
		t.Error("a failure of another kind is not in the log")
	}
}
