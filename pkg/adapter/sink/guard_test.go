package sink

import (
	"context"
	"fmt"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/cloudevents/sdk-go/v2/event"
	"go.opentelemetry.io/otel/metric/noop"
	"go.uber.org/zap"

	"github.com/eventing-eventmesh/eventing-eventmesh/internal/ingresstest"
	"github.com/eventing-eventmesh/eventing-eventmesh/pkg/eventmesh"
	"github.com/eventing-eventmesh/eventing-eventmesh/pkg/eventmesh/eventmeshtest"
)

func numbered(i int) event.Event {
	e := sample()
	e.SetID(fmt.Sprint(i))
	return e
}

// guardOf returns a guard of a publisher, without metrics.
func guardOf(t *testing.T, p publisher) *guard {
	t.Helper()
	g, err := newGuard(p, noop.Meter{}, nil, zap.NewNop().Sugar())
	if err != nil {
		t.Fatal(err)
	}
	return g
}

func TestStalledEventMeshIsAskedByOneProbeAtATime(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		asked := 0
		stalled := true
		p := &fake{publish: func(ctx context.Context, _ string) error {
			asked++
			if !stalled {
				return nil
			}
			<-ctx.Done()
			return eventmesh.ErrUnconfirmed
		}}
		g := guardOf(t, p)
		publish := func(i int) (took time.Duration, err error) {
			ctx, cancel := context.WithTimeout(t.Context(), 10*time.Second)
			defer cancel()
			began := time.Now()
			_, err = g.Publish(ctx, "orders", numbered(i))
			return time.Since(began), err
		}
		for i := range tripAfter {
			if _, err := publish(i); outcomeOf(err).status != http.StatusServiceUnavailable {
				t.Fatalf("got %v", err)
			}
		}
		for i := range 100 {
			took, err := publish(1000 + i)
			if outcomeOf(err).status != http.StatusServiceUnavailable || took != 0 {
				t.Fatalf("got %v after %s, want 503 at once", err, took)
			}
		}
		if asked != tripAfter {
			t.Errorf("EventMesh was asked %d times, want %d", asked, tripAfter)
		}
		if g.Ready() != nil {
			t.Error("not ready, so that no probe would ever come")
		}
		time.Sleep(probeAfter)
		if took, _ := publish(2000); took != 10*time.Second {
			t.Errorf("the probe took %s, want its time-out", took)
		}
		stalled = false
		if _, err := publish(2001); err == nil {
			t.Error("a probe follows a probe without a wait")
		}
		time.Sleep(probeAfter)
		for i := range 100 {
			if _, err := publish(3000 + i); err != nil {
				t.Fatalf("EventMesh answers again: got %v", err)
			}
		}
	})
}

// What makes an event is its ID together with its source.
func TestEventsOfSeveralSourcesAreSeveral(t *testing.T) {
	g := guardOf(t, &fake{publish: func(context.Context, string) error { return eventmesh.ErrUnconfirmed }})
	for i := range tripAfter {
		e := sample()
		e.SetSource(fmt.Sprint("/shop/", i))
		_, _ = g.Publish(t.Context(), "orders", e)
	}
	if !g.circuit.open() {
		t.Errorf("EventMesh is asked on after %d events that it did not confirm in time", tripAfter)
	}
}

func TestInvalidRepliesShowThatEventMeshWorks(t *testing.T) {
	g := guardOf(t, &fake{
		publish: func(context.Context, string) error { return eventmesh.ErrUnconfirmed },
		request: func(context.Context, string) (*event.Event, error) { return nil, eventmesh.ErrInvalidReply },
	})
	for i := range 2 * tripAfter {
		_, _ = g.Publish(t.Context(), "orders", numbered(i))
		if i%2 == 0 {
			_, _ = g.Request(t.Context(), "orders", numbered(i))
		}
	}
	if g.circuit.open() {
		t.Error("EventMesh is taken for stuck, though it brought a reply meanwhile")
	}
}

// What an event does to a library says nothing about EventMesh, and must not leave the circuit waiting for its answer.
func TestPanicOfAProbe(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := &fake{publish: func(context.Context, string) error { return eventmesh.ErrUnconfirmed }}
		g := guardOf(t, p)
		for i := range tripAfter {
			_, _ = g.Publish(t.Context(), "orders", numbered(i))
		}
		time.Sleep(probeAfter)
		p.publish = func(context.Context, string) error { panic("odd event") }
		func() {
			defer func() {
				if recover() == nil {
					t.Error("no probe was let through")
				}
			}()
			_, _ = g.Publish(t.Context(), "orders", numbered(tripAfter))
		}()
		if !g.circuit.open() {
			t.Error("the circuit was closed by an event that EventMesh has not got")
		}
		p.publish = nil
		if _, err := g.Publish(t.Context(), "orders", numbered(tripAfter+1)); err != nil {
			t.Errorf("got %v for the next probe, want that it is let through", err)
		}
	})
}

func TestRefusedCredentials(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var answer error
		g := guardOf(t, &fake{publish: func(context.Context, string) error { return answer }})
		publish := func(err error) {
			answer = err
			_, _ = g.Publish(t.Context(), "orders", numbered(1))
		}
		if err := g.Ready(); err != nil {
			t.Errorf("before the first publish: got %v", err)
		}
		publish(eventmesh.ErrUnauthorized)
		if err := g.Ready(); err == nil || !strings.Contains(err.Error(), "credentials") {
			t.Errorf("after a refusal: got %v, want not ready", err)
		}
		publish(eventmesh.ErrRateLimited)
		if g.Ready() == nil {
			t.Error("ready after an answer that says nothing about credentials")
		}
		time.Sleep(believedFor)
		if err := g.Ready(); err != nil {
			t.Errorf("after %s: got %v, want ready for another try", believedFor, err)
		}
		publish(eventmesh.ErrUnauthorized)
		if g.Ready() == nil {
			t.Error("ready after another refusal")
		}
		publish(nil)
		if err := g.Ready(); err != nil {
			t.Errorf("after a confirmation: got %v, want ready", err)
		}
	})
}

// TestChangedPassword: the sink takes the new password without a restart.
func TestChangedPassword(t *testing.T) {
	for _, transport := range transports {
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
	for _, transport := range transports {
		t.Run(transport, func(t *testing.T) {
			server, url := eventMesh(t, transport, eventmeshtest.Options{Storage: eventmeshtest.RocketMQ})
			s := start(t, "EVENTMESH_URL="+url, "EVENTMESH_TOPIC=orders", "EVENTMESH_PUBLISH_TIMEOUT=1s")
			s.awaitReadiness(t, http.StatusOK)
			server.SetFaults(eventmeshtest.Faults{LoseAnswers: 1})
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
