package contract

import (
	"context"
	"errors"
	"math"
	"strconv"
	"testing"
	"time"

	"github.com/eventing-eventmesh/eventing-eventmesh/pkg/eventmesh"
)

// clustering publishes for as long as it takes until each member has a share: over HTTP the poll that is there takes all that waits.
func clustering(t *testing.T, target Target) {
	topic, group := target.topic(t), unique("group")
	subscription := eventmesh.Subscription{Topics: []string{topic}}
	p := target.publisher(t)
	members := []*eventmesh.Subscriber{target.subscriber(t, group, subscription), target.subscriber(t, group, subscription)}
	target.warm(t, p, topic, members...)
	c := collect(t, math.MaxInt, members...)
	ctx, cancel := context.WithTimeout(t.Context(), timeout)
	defer cancel()
	n := 0
	for ; n < 60 || c.share(0) == 0 || c.share(1) == 0; n++ {
		if ctx.Err() != nil {
			t.Fatalf("the members got %d and %d of %d events, want a share each", c.share(0), c.share(1), n)
		}
		publish(t, p, topic, numbered(n))
	}
	c.expect(n)
	await(t, c.all, "all events")
}

func broadcasting(t *testing.T, target Target) {
	topic, group := target.topic(t), unique("group")
	subscription := eventmesh.Subscription{Topics: []string{topic}, Mode: eventmesh.Broadcasting}
	members := []*eventmesh.Subscriber{target.subscriber(t, group, subscription), target.subscriber(t, group, subscription)}
	p := target.publisher(t)
	target.warm(t, p, topic, members[:1]...)
	publish(t, p, topic, numbered(17))
	for _, member := range members {
		if d := receive(t, member); d.Event.ID() != "17" {
			t.Errorf("got event %s, want 17", d.Event.ID())
		}
	}
}

func leaving(t *testing.T, target Target) {
	topic, group := target.topic(t), unique("group")
	subscription := eventmesh.Subscription{Topics: []string{topic}}
	stays := target.subscriber(t, group, subscription)
	leaves := target.subscriber(t, group, subscription)
	ctx, cancel := context.WithTimeout(t.Context(), timeout)
	defer cancel()
	left := make(chan error, 1)
	go func() { left <- leaves.Leave(ctx) }()
	for { // what made the topic may have come
		d, err := leaves.Receive(ctx)
		if errors.Is(err, eventmesh.ErrClosed) {
			break
		}
		if err != nil {
			t.Fatalf("receiving after leaving: got %v, want %v", err, eventmesh.ErrClosed)
		}
		_ = d.Ack(t.Context())
	}
	if err := <-left; err != nil {
		t.Fatal(err)
	}
	// Over gRPC the other member has lost its stream too; until it has subscribed again, events are lost.
	p := target.publisher(t)
	for i := 0; ; i++ {
		publish(t, p, topic, numbered(i))
		attempt, cancel := context.WithTimeout(ctx, time.Second)
		d, err := stays.Receive(attempt)
		cancel()
		if err == nil {
			_ = d.Ack(t.Context())
			break
		}
		if ctx.Err() != nil {
			t.Fatal("the member that stayed gets nothing")
		}
	}
}

// returning lets the only member of a group die, and come back under its name: what a storage held for it comes, and what is published
// from then on arrives. What RocketMQ was about to deliver when the member came back it delivers again.
func returning(t *testing.T, target Target) {
	if target.tcp() {
		t.Skip("a dead TCP session is no member of its group any more")
	}
	topic, group, connected := target.topic(t), unique("group"), make(chan struct{}, 1)
	cfg := target.config(group, connected)
	join := func() *eventmesh.Subscriber {
		t.Helper()
		s, err := eventmesh.NewSubscriber(cfg, eventmesh.Subscription{Topics: []string{topic}}, target.Transport)
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { _ = s.Close() })
		await(t, connected, "the subscription")
		return s
	}
	p, member := target.publisher(t), join()
	target.warm(t, p, topic, member)
	_ = member.Close()
	const n = 200
	held := n // the first of those published meanwhile that came; EventMesh may have written those before to the dying stream
	if target.Storage.HoldsEvents {
		for i := range n {
			publish(t, p, topic, numbered(i))
		}
	}
	member = join()
	for i := n; i < 2*n; i++ {
		publish(t, p, topic, numbered(i))
	}
	came := map[int]bool{}
	for want := n; len(came) < want; want = 2*n - held {
		d := receive(t, member)
		i, err := strconv.Atoi(d.Event.ID())
		if err != nil || came[i] && !target.Storage.HoldsEvents {
			t.Fatalf("got event %s again, %v", d.Event.ID(), err)
		}
		came[i] = true
		held = min(held, i)
	}
	if target.Storage.HoldsEvents && held == n {
		t.Error("nothing came of what was published while there was no member")
	}
}

// makingTopics subscribes to a topic that nobody has used, and gets what is published to it, and nothing else.
func makingTopics(t *testing.T, target Target) {
	topic := unique("topic")
	s := target.subscriber(t, unique("group"), eventmesh.Subscription{Topics: []string{topic}, MakeTopics: true})
	p := target.publisher(t)
	const n = 20
	came := map[string]bool{}
	for i := range n {
		publish(t, p, topic, numbered(i))
	}
	for len(came) < n {
		d := receive(t, s)
		if i, err := strconv.Atoi(d.Event.ID()); err != nil || i >= n {
			t.Fatalf("got event %s, want those that were published", d.Event.ID())
		}
		came[d.Event.ID()] = true
	}
}
