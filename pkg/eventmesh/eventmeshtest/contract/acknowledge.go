package contract

import (
	"context"
	"slices"
	"testing"

	"github.com/eventing-eventmesh/eventing-eventmesh/pkg/eventmesh"
)

func redelivery(t *testing.T, target Target) {
	if !target.acknowledged() {
		ackOnStream(t, target)
		return
	}
	topic, group := target.topic(t), unique("group")
	subscription := eventmesh.Subscription{Topics: []string{topic}}
	first := target.subscriber(t, group, subscription)
	p := target.publisher(t)
	target.warm(t, p, topic, first)
	publish(t, p, topic, numbered(1))
	ctx, cancel := context.WithTimeout(t.Context(), timeout)
	defer cancel()
	d, err := first.Receive(ctx)
	if err != nil {
		t.Fatal(err)
	}
	second := target.subscriber(t, group, subscription)
	_ = first.Close()
	if err := d.Ack(t.Context()); err == nil {
		t.Error("acknowledging on a closed session: got no error")
	}
	if again := receive(t, second); again.Event.ID() != d.Event.ID() {
		t.Errorf("got event %s, want %s again", again.Event.ID(), d.Event.ID())
	}
}

// acknowledgement acknowledges all that it receives but the first, which another member gets where EventMesh waits for acknowledgements.
func acknowledgement(t *testing.T, target Target) {
	const n = 5
	topic, group := target.topic(t), unique("group")
	subscription := eventmesh.Subscription{Topics: []string{topic}}
	first := target.subscriber(t, group, subscription)
	p := target.publisher(t)
	target.warm(t, p, topic, first)
	ctx, cancel := context.WithTimeout(t.Context(), timeout)
	defer cancel()
	var deliveries []*eventmesh.Delivery
	for i := range n {
		publish(t, p, topic, numbered(i))
		d, err := first.Receive(ctx)
		if err != nil {
			t.Fatal(err)
		}
		deliveries = append(deliveries, d)
	}
	second := target.subscriber(t, group, subscription)
	if err := eventmesh.Acknowledge(ctx, deliveries[1:]...); err != nil {
		t.Errorf("acknowledging %d deliveries: %v", n-1, err)
	}
	if err := deliveries[0].Release(ctx); err != nil {
		t.Errorf("releasing a delivery: %v", err)
	}
	if err := first.Leave(ctx); err != nil {
		t.Errorf("leaving with nothing in hand: %v", err)
	}
	if !target.acknowledged() { // EventMesh has forgotten all of them
		return
	}
	publish(t, p, topic, numbered(n))
	want := []string{deliveries[0].Event.ID(), numbered(n).ID()}
	for range want {
		if got := receive(t, second).Event.ID(); !slices.Contains(want, got) {
			t.Errorf("another member got event %s, want %v", got, want)
		}
	}
}

// ackOnStream: over gRPC there is no acknowledgement, so an Ack cannot fail.
func ackOnStream(t *testing.T, target Target) {
	topic := target.topic(t)
	s := target.subscriber(t, unique("group"), eventmesh.Subscription{Topics: []string{topic}})
	p := target.publisher(t)
	target.warm(t, p, topic, s)
	publish(t, p, topic, numbered(1))
	d := receive(t, s)
	_ = s.Close()
	if err := d.Ack(t.Context()); err != nil {
		t.Errorf("acknowledging: got %v, want nil", err)
	}
}
