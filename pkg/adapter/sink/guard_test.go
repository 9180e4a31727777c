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
	"go.uber.org/zap"

	"github.com/eventing-eventmesh/eventing-eventmesh/pkg/eventmesh"
	"github.com/eventing-eventmesh/eventing-eventmesh/pkg/eventmesh/eventmeshtest"
)

func numbered(i int) event.Event {
	e := sample()
	e.SetID(fmt.Sprint(i))
	return e
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
		g := &guard{publisher: p, logger: zap.NewNop().Sugar()}
		publish := func(i int) (took time.Duration, err error) {
			ctx, cancel := context.WithTimeout(t.Context(), 10*time.Second)
			defer cancel()
			began := time.Now()
			err = g.Publish(ctx, "orders", numbered(i))
			return time.Since(began), err
		}
		for i := range tripAfter {
			if _, err := publish(i); statusOf(err) != http.StatusServiceUnavailable {
				t.Fatalf("got %v", err)
			}
		}
		for i := range 100 {
			took, err := publish(1000 + i)
			if statusOf(err) != http.StatusServiceUnavailable || took != 0 {
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
	g := &guard{publisher: &fake{publish: func(context.Context, string) error { return eventmesh.ErrUnconfirmed }}, logger: zap.NewNop().Sugar()}
	for i := range tripAfter {
		e := sample()
		e.SetSource(fmt.Sprint("/shop/", i))
		_ = g.Publish(t.Context(), "orders", e)
	}
	if !g.circuit.open() {
		t.Errorf("EventMesh is asked on after %d events that it did not confirm in time", tripAfter)
	}
}

func TestInvalidRepliesShowThatEventMeshWorks(t *testing.T) {
	g := &guard{logger: zap.NewNop().Sugar(), publisher: &fake{
		publish: func(context.Context, string) error { return eventmesh.ErrUnconfirmed },
		request: func(context.Context, string) (*event.Event, error) { return nil, eventmesh.ErrInvalidReply },
	}}
	for i := range 2 * tripAfter {
		_ = g.Publish(t.Context(), "orders", numbered(i))
		if i%2 == 0 {
			_, _ = g.Request(t.Context(), "orders", numbered(i))
		}
	}
	if g.circuit.open() {
		t.Error("EventMesh is taken for stuck, though it brought a reply meanwhile")
	}
}

func TestNoTimeLeftSaysNothingAboutEventMesh(t *testing.T) {
	p := &fake{}
	g := &guard{publisher: p, logger: zap.NewNop().Sugar()}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	for i := range 2 * tripAfter {
		if err := g.Publish(ctx, "orders", numbered(i)); statusOf(err) != http.StatusServiceUnavailable {
			t.Fatalf("got %v, want 503", err)
		}
	}
	if events, _ := p.taken(); len(events) != 0 || g.circuit.open() {
		t.Errorf("got %d events published, open %t; want none", len(events), g.circuit.open())
	}
}

func TestPanicOfOneEvent(t *testing.T) {
	p := &fake{each: func(_ context.Context, e event.Event) error {
		if e.ID() == "poison" {
			panic("odd event")
		}
		return nil
	}}
	_, server, logs := serve(t, p)
	got, says := sendBatch(t, server.URL, batchOf("1", "poison", "2"))
	if got.status != http.StatusServiceUnavailable || len(says.Failed) != 1 || says.Failed[0].ID != "poison" || strings.Contains(got.body, "odd") {
		t.Errorf("got %d %q, want 503 for that event alone", got.status, got.body)
	}
	if logs.FilterMessageSnippet("panic").Len() != 1 {
		t.Errorf("got log %v, want one line about the panic", logs.All())
	}
}

func TestRefusedCredentials(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var answer error
		g := &guard{publisher: &fake{publish: func(context.Context, string) error { return answer }}, logger: zap.NewNop().Sugar()}
		publish := func(err error) {
			answer = err
			_ = g.Publish(t.Context(), "orders", numbered(1))
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
				got := post(t, s.url)
				if got.status != http.StatusServiceUnavailable || got.header.Get("Retry-After") == "" {
					t.Fatalf("got %d %q, want 503", got.status, got.body)
				}
			}
			s.awaitReadiness(t, http.StatusServiceUnavailable)
			if transport == "gRPC" {
				if n := s.logs.FilterMessageSnippet("does not take the credentials").Len(); n != 1 {
					t.Errorf("got %d lines about the credentials, want 1", n)
				}
			}
			write("right")
			eventually(t, func() string {
				if got := post(t, s.url); got.status != http.StatusAccepted {
					return got.body
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
			next := func() answer {
				ids++
				return postEvent(t, s.url, numbered(ids), false)
			}
			eventually(t, func() string {
				got := next()
				if got.status != http.StatusServiceUnavailable || got.header.Get("Retry-After") == "" {
					t.Fatalf("got %d %q, want 503", got.status, got.body)
				}
				if strings.Contains(got.body, "one at a time") {
					return ""
				}
				return got.body
			})
			server.SetFaults(eventmeshtest.Faults{})
			eventually(t, func() string {
				if got := next(); got.status != http.StatusAccepted {
					return got.body
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
