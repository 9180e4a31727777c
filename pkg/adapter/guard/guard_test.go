package guard

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/cloudevents/sdk-go/v2/event"
	"go.opentelemetry.io/otel/metric/noop"
	"go.uber.org/zap"

	"github.com/eventing-eventmesh/eventing-eventmesh/pkg/adapter/podevents"
	"github.com/eventing-eventmesh/eventing-eventmesh/pkg/eventmesh"
)

func numbered(i int) event.Event {
	e := event.New()
	e.SetID(fmt.Sprint(i))
	e.SetSource("/shop")
	e.SetType("order.placed")
	return e
}

// fake is a publisher that is always connected, and confirms everything, unless told otherwise.
type fake struct {
	publish func(ctx context.Context, topic string) error
	request func(ctx context.Context, topic string) (*event.Event, error)
}

func (f *fake) Publish(ctx context.Context, topic string, _ event.Event) error {
	if f.publish != nil {
		return f.publish(ctx, topic)
	}
	return nil
}

func (f *fake) Request(ctx context.Context, topic string, _ event.Event) (*event.Event, error) {
	return f.request(ctx, topic)
}

func (*fake) Ready() error { return nil }

// guardOf returns a guard of a publisher, without metrics.
func guardOf(t *testing.T, p Publisher) *Guard {
	t.Helper()
	g, err := New(p, Options{Meter: noop.Meter{}, Name: "test", Logger: zap.NewNop().Sugar()})
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
		if reason := podevents.ReasonOf(g.Trouble()); reason != podevents.NotConfirming {
			t.Errorf("got trouble %q, want that nothing is confirmed", reason)
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
		e := numbered(1)
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
		if reason := podevents.ReasonOf(g.Trouble()); reason != podevents.CredentialsRefused {
			t.Errorf("after %s: got trouble %q, want that credentials are refused", believedFor, reason)
		}
		publish(eventmesh.ErrUnauthorized)
		if g.Ready() == nil {
			t.Error("ready after another refusal")
		}
		publish(nil)
		if err := errors.Join(g.Ready(), g.Trouble()); err != nil {
			t.Errorf("after a confirmation: got %v, want ready", err)
		}
	})
}
