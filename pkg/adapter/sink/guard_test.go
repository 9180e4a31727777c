package sink

import (
	"fmt"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/cloudevents/sdk-go/v2/event"

	"github.com/eventing-eventmesh/eventing-eventmesh/internal/ingresstest"
	"github.com/eventing-eventmesh/eventing-eventmesh/pkg/eventmesh/eventmeshtest"
	"github.com/eventing-eventmesh/eventing-eventmesh/pkg/eventmesh/eventmeshtest/releases"
)

func numbered(i int) event.Event {
	e := sample()
	e.SetID(fmt.Sprint(i))
	return e
}

// TestChangedPassword: the sink takes the new password without a restart.
func TestChangedPassword(t *testing.T) {
	for _, transport := range []string{releases.GRPC, releases.TCP} { // over HTTP it is a token; see TestWhatEventMeshIsShown
		t.Run(transport, func(t *testing.T) {
			_, url := eventMesh(t, transport, eventmeshtest.Options{
				Storage: eventmeshtest.RocketMQ, Credentials: map[string]string{"sink": "right"},
			})
			file := filepath.Join(t.TempDir(), "password")
			write := func(password string) {
				t.Helper()
				if err := os.WriteFile(file, []byte(password), 0o600); err != nil {
					t.Fatal(err)
				}
			}
			write("wrong")
			s := start(t, "EVENTMESH_URL="+url, "EVENTMESH_TOPIC=orders", "EVENTMESH_USERNAME=sink", "EVENTMESH_PASSWORD_FILE="+file)
			if transport == "gRPC" { // which looks at credentials with the first publish
				s.awaitReadiness(t, http.StatusOK)
			}
			for range 3 {
				got := ingresstest.Post(t, s.url)
				if got.Status != http.StatusServiceUnavailable || got.Header.Get("Retry-After") == "" {
					t.Fatalf("got %d %q, want 503", got.Status, got.Body)
				}
			}
			s.awaitReadiness(t, http.StatusServiceUnavailable)
			if transport == "gRPC" {
				if n := s.logs.FilterMessageSnippet("does not accept the credentials").Len(); n != 1 {
					t.Errorf("got %d lines about the credentials, want 1", n)
				}
			}
			write("right")
			eventually(t, func() string {
				if got := ingresstest.Post(t, s.url); got.Status != http.StatusAccepted {
					return got.Body
				}
				return ""
			})
			s.awaitReadiness(t, http.StatusOK)
			if said := fmt.Sprint(s.logs.All()); strings.Contains(said, "wrong") || strings.Contains(said, "right") {
				t.Errorf("a password is in the log: %s", said)
			}
		})
	}
}

func TestStalledEventMesh(t *testing.T) {
	for _, transport := range releases.Transports {
		t.Run(transport, func(t *testing.T) {
			server, url := eventMesh(t, transport, eventmeshtest.Options{Storage: eventmeshtest.RocketMQ})
			s := start(t, "EVENTMESH_URL="+url, "EVENTMESH_TOPIC=orders", "EVENTMESH_PUBLISH_TIMEOUT=1s")
			s.awaitReadiness(t, http.StatusOK)
			stalls := eventmeshtest.Faults{LoseAnswers: 1}
			if transport == releases.HTTP { // over which a lost answer is a connection that ends
				stalls = eventmeshtest.Faults{Delay: time.Hour}
			}
			server.SetFaults(stalls)
			ids := 0
			next := func() ingresstest.Answer {
				ids++
				return postEvent(t, s.url, numbered(ids), false)
			}
			eventually(t, func() string {
				got := next()
				if got.Status != http.StatusServiceUnavailable || got.Header.Get("Retry-After") == "" {
					t.Fatalf("got %d %q, want 503", got.Status, got.Body)
				}
				if strings.Contains(got.Body, "one at a time") {
					return ""
				}
				return got.Body
			})
			server.SetFaults(eventmeshtest.Faults{})
			eventually(t, func() string {
				if got := next(); got.Status != http.StatusAccepted {
					return got.Body
				}
				return ""
			})
			for _, line := range []string{"answering 503 at once", "answers in time again"} {
				if s.logs.FilterMessageSnippet(line).Len() == 0 {
					t.Errorf("the log does not say %q", line)
				}
			}
		})
	}
}
