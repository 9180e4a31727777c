package eventmesh_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/eventing-eventmesh/eventing-eventmesh/internal/await"
	"github.com/eventing-eventmesh/eventing-eventmesh/pkg/eventmesh"
	"github.com/eventing-eventmesh/eventing-eventmesh/pkg/eventmesh/eventmeshtest"
)

func TestTCPSendsAgainWhatIsNotConfirmed(t *testing.T) {
	server := eventmeshtest.New(t, eventmeshtest.Options{})
	p, s, _, _ := pair(t, server.TCPURL())
	server.SetFaults(eventmeshtest.Faults{LoseAnswers: 1})
	published := make(chan error, 1)
	go func() { published <- p.Publish(bounded(t), "orders", newEvent("1")) }()
	expectFirst(t, s)
	expectFirst(t, s) // the second attempt: the first was not answered
	server.SetFaults(eventmeshtest.Faults{})
	if err := <-published; err != nil {
		t.Errorf("got %v, want nil once an attempt was confirmed", err)
	}
}

func TestTCPIsNotMisledByAnswersOfOthers(t *testing.T) {
	server := eventmeshtest.New(t, eventmeshtest.Options{})
	first, s, _, _ := pair(t, server.TCPURL())
	cfg, told := config(t, server.TCPURL())
	cfg.ClientID = "another"
	second := newPublisher(t, cfg)
	told.await(t, true)
	server.SetFaults(eventmeshtest.Faults{MixUpAcknowledgements: 0.2})
	const n = 40
	failed := make(chan error, n)
	for i, p := range []*eventmesh.Publisher{first, second} {
		for j := range n / 2 {
			go func() { failed <- p.Publish(bounded(t), "orders", newEvent(fmt.Sprintf("%d-%d", i, j))) }()
		}
	}
	got := map[string]bool{}
	for len(got) < n {
		d := expectAny(t, s)
		got[d.Event.ID()] = true
		_ = d.Ack(t.Context())
	}
	for range n {
		if err := <-failed; err != nil {
			t.Errorf("publishing: %v", err)
		}
	}
}

func TestTCPHasNewPermitsInANewSession(t *testing.T) {
	server := eventmeshtest.New(t, eventmeshtest.Options{Storage: eventmeshtest.RocketMQ, InFlightLimit: 1})
	cfg, told := config(t, server.TCPURL())
	p := newPublisher(t, cfg)
	told.await(t, true)
	another, connected := config(t, server.TCPURL())
	another.ClientID = "another"
	newPublisher(t, another)
	connected.await(t, true)

	server.SetFaults(eventmeshtest.Faults{MixUpAcknowledgements: 1})
	ctx, cancel := context.WithCancel(t.Context())
	failed := make(chan error)
	go func() { failed <- p.Publish(ctx, "orders", newEvent("1")) }()
	await.Until(t, timeout, func() string {
		if len(server.Published("orders")) == 0 {
			return "the first event is not in EventMesh"
		}
		return ""
	})
	cancel()
	if err := <-failed; !errors.Is(err, eventmesh.ErrUnconfirmed) {
		t.Fatalf("got %v, want %v", err, eventmesh.ErrUnconfirmed)
	}
	tooLarge := newEvent("large")
	tooLarge.DataEncoded = bytes.Repeat([]byte("x"), 2000)
	if err := p.Publish(bounded(t), "orders", tooLarge); !errors.Is(err, eventmesh.ErrTooLarge) { // EventMesh has done with the first
		t.Fatalf("got %v, want %v", err, eventmesh.ErrTooLarge)
	}
	server.SetFaults(eventmeshtest.Faults{})
	if err := p.Publish(bounded(t), "orders", newEvent("2")); err != nil {
		t.Errorf("got %v, want nil from the next session", err)
	}
	if lost := told.await(t, false); !strings.Contains(lost.Err.Error(), "no permit") {
		t.Errorf("told of %v, want why the session ended", lost.Err)
	}
}

func TestTCPFindsAServerOfFewPermits(t *testing.T) {
	server := eventmeshtest.New(t, eventmeshtest.Options{Storage: eventmeshtest.RocketMQ, InFlightLimit: 3, RateLimit: -1, InboundLimit: -1})
	server.SetFaults(eventmeshtest.Faults{Delay: 20 * time.Millisecond})
	cfg, told := config(t, server.TCPURL())
	p := newPublisher(t, cfg)
	told.await(t, true)
	var all sync.WaitGroup
	for i := range 100 {
		all.Go(func() {
			if err := p.Publish(bounded(t), "orders", newEvent(fmt.Sprint(i))); err != nil {
				t.Errorf("event %d: %v", i, err)
			}
		})
	}
	all.Wait()
	stored := map[string]bool{} // on a busy machine perhaps twice: what is confirmed late is published again
	for _, e := range server.Published("orders") {
		stored[e.GetId()] = true
	}
	if len(stored) != 100 {
		t.Errorf("EventMesh has %d events, want 100", len(stored))
	}
}

func TestTCPLeaveWaitsForAcknowledgements(t *testing.T) {
	server := eventmeshtest.New(t, eventmeshtest.Options{})
	p, s, _, _ := pair(t, server.TCPURL())
	if err := p.Publish(bounded(t), "orders", newEvent("1")); err != nil {
		t.Fatal(err)
	}
	d := expectFirst(t, s)
	ctx, cancel := context.WithTimeout(t.Context(), 100*time.Millisecond)
	defer cancel()
	if err := s.Leave(ctx); !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("with a delivery in hand: got %v, want %v", err, context.DeadlineExceeded)
	}
	for range 2 { // the second does nothing
		if err := d.Ack(t.Context()); err != nil {
			t.Error(err)
		}
	}
	if err := s.Leave(bounded(t)); err != nil {
		t.Errorf("after its acknowledgement: got %v, want nil", err)
	}
}

// A subscription to a topic that RocketMQ does not have says what to do, and works once somebody has done it.
func TestTCPMissingTopic(t *testing.T) {
	server := eventmeshtest.New(t, eventmeshtest.Options{Storage: eventmeshtest.RocketMQ, UnknownTopics: true})
	cfg, publishing := config(t, server.TCPURL())
	p := newPublisher(t, cfg)
	publishing.await(t, true)
	if err := p.Publish(bounded(t), "bills", newEvent("1")); err != nil {
		t.Fatal(err)
	}
	cfg, subscribing := config(t, server.TCPURL())
	newSubscriber(t, cfg, eventmesh.Subscription{Topics: []string{"bills", "orders"}})
	err := subscribing.await(t, false).Err
	if !errors.Is(err, eventmesh.ErrMissingTopic) || !eventmesh.Temporary(err) {
		t.Errorf("got %v, want %v, for now", err, eventmesh.ErrMissingTopic)
	}
	if text := fmt.Sprint(err); !strings.Contains(text, "mqadmin updateTopic -n NAMESERVER:9876 -c CLUSTER -t orders\"") || strings.Contains(text, "\n") {
		t.Errorf("got %q, want a line that says how to create the topic", text)
	}
	if err := p.Publish(bounded(t), "orders", newEvent("2")); err != nil {
		t.Fatal(err)
	}
	subscribing.await(t, true)
}
