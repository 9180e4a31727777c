package contract

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/cloudevents/sdk-go/v2/event"

	"github.com/eventing-eventmesh/eventing-eventmesh/pkg/eventmesh"
)

func events(t *testing.T, target Target) {
	topic := target.topic(t)
	s := target.subscriber(t, unique("group"), eventmesh.Subscription{Topics: []string{topic}})
	p := target.publisher(t)
	target.warm(t, p, topic, s)
	for _, c := range Events() {
		t.Run(c.Name, func(t *testing.T) {
			publish(t, p, topic, c.Event)
			got := receive(t, s)
			if diff := Difference(got.Event, c.Event); diff != "" {
				t.Error(diff)
			}
			if got.Topic != topic {
				t.Errorf("topic: got %q, want %q", got.Topic, topic)
			}
		})
	}
}

func anyEvent(t *testing.T, target Target) {
	seed := uint64(time.Now().UnixNano())
	t.Logf("seed %d", seed)
	r := rand.New(rand.NewPCG(seed, 0))
	topic := target.topic(t)
	s := target.subscriber(t, unique("group"), eventmesh.Subscription{Topics: []string{topic}})
	p := target.publisher(t)
	target.warm(t, p, topic, s)
	for range 100 {
		e := RandomEvent(r)
		publish(t, p, topic, e)
		if diff := Difference(receive(t, s).Event, e); diff != "" {
			t.Fatalf("%sof %s", diff, e)
		}
	}
}

func severalTopics(t *testing.T, target Target) {
	topics := []string{target.topic(t), target.topic(t), target.topic(t)}
	s := target.subscriber(t, unique("group"), eventmesh.Subscription{Topics: topics})
	p := target.publisher(t)
	for _, topic := range topics {
		target.warm(t, p, topic, s)
	}
	for i, topic := range topics {
		publish(t, p, topic, numbered(i))
		if d := receive(t, s); d.Topic != topic || d.Event.ID() != fmt.Sprint(i) {
			t.Errorf("got event %s of topic %s, want event %d of %s", d.Event.ID(), d.Topic, i, topic)
		}
	}
}

func concurrentPublishes(t *testing.T, target Target) {
	const publishers, each = 4, 50
	topic := target.topic(t)
	s := target.subscriber(t, unique("group"), eventmesh.Subscription{Topics: []string{topic}})
	target.warm(t, target.publisher(t), topic, s)
	c := collect(t, publishers*each, s)
	var running sync.WaitGroup
	for i := range publishers {
		p := target.publisher(t)
		for j := range 2 {
			running.Go(func() {
				for k := j; k < each; k += 2 {
					if err := p.Publish(t.Context(), topic, numbered(i*each+k)); err != nil {
						t.Errorf("publishing: %v", err)
					}
				}
			})
		}
	}
	running.Wait()
	await(t, c.all, "every event that was confirmed")
}

// manyInFlight publishes over one connection. What is not confirmed is published again, and arrives twice.
func manyInFlight(t *testing.T, target Target) {
	const goroutines, each = 20, 15
	topic := target.topic(t)
	s := target.subscriber(t, unique("group"), eventmesh.Subscription{Topics: []string{topic}})
	p := target.publisher(t)
	target.warm(t, p, topic, s)
	c := collect(t, goroutines*each+1, s)
	var running sync.WaitGroup
	for i := range goroutines {
		running.Go(func() {
			for k := range each {
				if err := p.Publish(t.Context(), topic, numbered(i*each+k)); err != nil {
					t.Errorf("publishing: %v", err)
				}
			}
		})
	}
	running.Wait()
	publish(t, p, topic, numbered(goroutines*each))
	await(t, c.all, "every event that was confirmed")
	c.mu.Lock()
	defer c.mu.Unlock()
	for id, by := range c.by {
		if len(by) > 1 {
			t.Errorf("event %s arrived %d times", id, len(by))
		}
	}
}

func tooLarge(t *testing.T, target Target) {
	topic := target.topic(t)
	s := target.subscriber(t, unique("group"), eventmesh.Subscription{Topics: []string{topic}})
	p := target.publisher(t)
	target.warm(t, p, topic, s)
	large := numbered(1)
	large.DataEncoded = []byte(strings.Repeat("x", 900)) // a server's default for TCP is 1,000 characters
	publish(t, p, topic, large)
	if diff := Difference(receive(t, s).Event, large); diff != "" {
		t.Error(diff)
	}
	large.DataEncoded = make([]byte, 5<<20)
	if err := p.Publish(t.Context(), topic, large); !errors.Is(err, eventmesh.ErrTooLarge) {
		t.Errorf("5 MiB: got %v, want %v", err, eventmesh.ErrTooLarge)
	}
	publish(t, p, topic, numbered(2)) // the session has survived
	if d := receive(t, s); d.Event.ID() != "2" {
		t.Errorf("got event %s, want 2", d.Event.ID())
	}
}

func refused(t *testing.T, target Target) {
	p := target.publisher(t)
	noID := newEvent("")
	for name, c := range map[string]struct {
		event event.Event
		topic string
		want  error
	}{
		"no id":         {noID, unique("topic"), eventmesh.ErrInvalidEvent},
		"invalid topic": {numbered(1), "no topic", eventmesh.ErrInvalidTopic},
	} {
		err := p.Publish(t.Context(), c.topic, c.event)
		if !errors.Is(err, c.want) || eventmesh.Temporary(err) {
			t.Errorf("%s: got %v, want %v for good", name, err, c.want)
		}
	}
}

func noSubscriber(t *testing.T, target Target) {
	err := target.publisher(t).Publish(t.Context(), unique("topic"), numbered(1))
	if target.Storage.HoldsEvents {
		if err != nil {
			t.Errorf("got %v, want nil", err)
		}
		return
	}
	if !errors.Is(err, eventmesh.ErrNoSubscriber) || !eventmesh.Temporary(err) {
		t.Errorf("got %v, want %v for now", err, eventmesh.ErrNoSubscriber)
	}
}

func request(t *testing.T, target Target) {
	topic := target.topic(t)
	p := target.publisher(t)
	responder := target.subscriber(t, unique("group"), eventmesh.Subscription{Topics: []string{topic}, Type: eventmesh.Sync})
	if !target.Storage.Requests {
		ctx, cancel := context.WithTimeout(t.Context(), timeout)
		defer cancel()
		if reply, err := p.Request(ctx, topic, numbered(1)); err == nil || !eventmesh.Temporary(err) {
			t.Errorf("got %v, %v; want a refusal", reply, err)
		}
		return
	}
	target.warm(t, p, topic, responder)
	want := newEvent("reply")
	want.SetSubject("its own subject")
	want.SetExtension("env", "own")
	want.SetExtension("count", int32(3))
	want.SetDataContentType("application/json")
	want.DataEncoded = []byte(`{"answer": 42.0}`)
	defer respond(t, responder, func(ctx context.Context, d *eventmesh.Delivery) error {
		switch d.Event.ID() {
		case "1":
			return d.Reply(ctx, want)
		case "2":
			return d.ReplyInvalid(ctx, errors.New("it is no event\nat all"))
		default:
			return nil
		}
	})()
	// RocketMQ loses replies until its broker knows EventMesh's new producer, which can take half a minute.
	for deadline := time.Now().Add(3 * timeout); ; {
		attempt, cancel := context.WithTimeout(t.Context(), timeout/4)
		got, err := p.Request(attempt, topic, numbered(1))
		cancel()
		if err == nil {
			if diff := Difference(*got, want); diff != "" {
				t.Error(diff)
			}
			break
		}
		if !errors.Is(err, eventmesh.ErrNoReply) || time.Now().After(deadline) {
			t.Fatalf("requesting: %v", err)
		}
	}
	if got, err := p.Request(t.Context(), topic, numbered(2)); !errors.Is(err, eventmesh.ErrInvalidReply) || !strings.HasSuffix(err.Error(), ": it is no event") {
		t.Errorf("got %v, %v; want an error that says why there is no reply", got, err)
	}
}

func away(t *testing.T, target Target) {
	nowhere := target
	nowhere.Addresses = []eventmesh.Address{{Scheme: target.Addresses[0].Scheme, Host: "127.0.0.1:1"}}
	tried := make(chan error, 1)
	cfg := nowhere.config(unique("producers"), nil)
	cfg.Notify = func(s eventmesh.Status) {
		select {
		case tried <- s.Err:
		default:
		}
	}
	transports := []eventmesh.Transport{target.Transport}
	if target.Other != nil {
		transports = append(transports, target.Other.Transport)
	}
	p, err := eventmesh.NewPublisher(cfg, transports...)
	if err != nil {
		t.Fatal(err)
	}
	defer p.Close()
	if err := p.Publish(t.Context(), unique("topic"), numbered(1)); !errors.Is(err, eventmesh.ErrNotConnected) || !eventmesh.Temporary(err) {
		t.Errorf("got %v, want %v for now", err, eventmesh.ErrNotConnected)
	}
	select {
	case err := <-tried:
		if !errors.Is(err, eventmesh.ErrNotConnected) || !strings.Contains(err.Error(), "127.0.0.1:1") {
			t.Errorf("told of %v, want %v with the address", err, eventmesh.ErrNotConnected)
		}
	case <-time.After(timeout):
		t.Error("told of nothing")
	}
}
