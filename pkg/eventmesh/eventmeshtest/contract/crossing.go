package contract

import (
	"errors"
	"fmt"
	"math/rand/v2"
	"strings"
	"testing"
	"time"

	"github.com/eventing-eventmesh/eventing-eventmesh/pkg/eventmesh"
)

// other returns the target by its other transport, and who subscribes there.
func (target Target) other(t *testing.T) (Target, string) {
	t.Helper()
	if target.Other == nil {
		t.Skip("the other transport's address is not known")
	}
	target.Addresses, target.Transport = target.Other.Addresses, target.Other.Transport
	return target, target.Transport.Traits().Scheme
}

func crossing(t *testing.T, target Target) {
	receiving, subscribers := target.other(t)
	topic := target.topic(t)
	s := receiving.subscriber(t, unique("group"), eventmesh.Subscription{Topics: []string{topic}})
	p := target.publisherFor(t, subscribers)
	target.warm(t, p, topic, s)
	large := numbered(1)
	large.DataEncoded = []byte(strings.Repeat("x", 900)) // a server's default for TCP is 1,000 characters
	rows := append(Events(), NamedEvent{Name: "large", Event: large})
	seed := uint64(time.Now().UnixNano())
	r := rand.New(rand.NewPCG(seed, 0))
	for i := range 50 {
		rows = append(rows, NamedEvent{Name: fmt.Sprintf("any event %d of seed %d", i, seed), Event: RandomEvent(r)})
	}
	for _, c := range rows {
		t.Run(c.Name, func(t *testing.T) {
			publish(t, p, topic, c.Event)
			got := receive(t, s)
			if diff := Difference(got.Event, c.Event); diff != "" {
				t.Errorf("%sof %s", diff, c.Event)
			}
			if got.Topic != topic {
				t.Errorf("topic: got %q, want %q", got.Topic, topic)
			}
		})
	}
}

func crossingRequest(t *testing.T, target Target) {
	_, subscribers := target.other(t)
	_, err := target.publisherFor(t, subscribers).Request(t.Context(), unique("topic"), numbered(1))
	if !errors.Is(err, eventmesh.ErrUnsupported) || eventmesh.Temporary(err) {
		t.Errorf("got %v, want %v for good", err, eventmesh.ErrUnsupported)
	}
}
