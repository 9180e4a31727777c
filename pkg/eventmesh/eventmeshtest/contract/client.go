package contract

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/cloudevents/sdk-go/v2/event"

	"github.com/eventing-eventmesh/eventing-eventmesh/pkg/eventmesh"
)

func (target Target) config(group string, connected chan<- struct{}) eventmesh.Config {
	return eventmesh.Config{
		Addresses: target.Addresses, ClientID: unique("client"), Group: group, Credentials: target.Credentials, Timeout: timeout,
		Notify: func(s eventmesh.Status) {
			if s.Connected {
				select {
				case connected <- struct{}{}:
				default:
				}
			}
		},
	}
}

func (target Target) publisher(t *testing.T) *eventmesh.Publisher {
	t.Helper()
	return target.publisherFor(t, "")
}

func (target Target) publisherFor(t *testing.T, subscribers string) *eventmesh.Publisher {
	t.Helper()
	connected := make(chan struct{}, 1)
	cfg := target.config(unique("producers"), connected)
	cfg.Subscribers = subscribers
	transports := []eventmesh.Transport{target.Transport}
	if target.Other != nil {
		transports = append(transports, target.Other.Transport)
	}
	p, err := eventmesh.NewPublisher(cfg, transports...)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = p.Close() })
	await(t, connected, "the publisher's connection")
	return p
}

// subscriber returns one that has subscribed.
func (target Target) subscriber(t *testing.T, group string, s eventmesh.Subscription) *eventmesh.Subscriber {
	t.Helper()
	connected := make(chan struct{}, 1)
	subscriber, err := eventmesh.NewSubscriber(target.config(group, connected), s, target.Transport)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = subscriber.Close() })
	await(t, connected, "the subscription")
	return subscriber
}

func await(t *testing.T, c <-chan struct{}, what string) {
	t.Helper()
	select {
	case <-c:
	case <-time.After(timeout):
		t.Fatalf("waited %s in vain for %s", timeout, what)
	}
}

// topic returns the name of one that exists, as far as the storage knows topics.
func (target Target) topic(t *testing.T) string {
	t.Helper()
	topic := unique("topic")
	if target.Storage.HoldsEvents {
		publish(t, target.publisher(t), topic, warmUp(0))
	}
	return topic
}

// warmUpType is the type of events that tests ignore.
const warmUpType = "com.example.warm-up"

func warmUp(i int) event.Event {
	e := numbered(i)
	e.SetType(warmUpType)
	return e
}

// warm publishes until everything that it publishes arrives, which a storage that holds events needs for a new group.
func (target Target) warm(t *testing.T, p *eventmesh.Publisher, topic string, members ...*eventmesh.Subscriber) {
	t.Helper()
	if !target.Storage.HoldsEvents {
		return
	}
	const n = 16 // several for each of a topic's queues
	for deadline, round := time.Now().Add(2*timeout), 1; ; round++ {
		ctx, cancel := context.WithTimeout(t.Context(), 2*time.Second)
		got := make(chan struct{}, 2*n*len(members))
		var receiving sync.WaitGroup
		for _, member := range members {
			receiving.Go(func() {
				for {
					d, err := member.Receive(ctx)
					if err != nil {
						return
					}
					_ = d.Ack(ctx)
					if strings.HasPrefix(d.Event.ID(), fmt.Sprintf("%d-", round)) {
						got <- struct{}{}
					}
				}
			})
		}
		for i := range n {
			e := warmUp(i)
			e.SetID(fmt.Sprintf("%d-%d", round, i))
			publish(t, p, topic, e)
		}
		for range n {
			select {
			case <-got:
			case <-ctx.Done():
			}
		}
		complete := ctx.Err() == nil
		cancel()
		receiving.Wait()
		if complete {
			return
		}
		if time.Now().After(deadline) {
			t.Fatalf("new events on topic %s do not reach its new group", topic)
		}
	}
}

func publish(t *testing.T, p *eventmesh.Publisher, topic string, e event.Event) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), timeout)
	defer cancel()
	if err := p.Publish(ctx, topic, e); err != nil {
		t.Fatalf("publishing %s: %v", e.ID(), err)
	}
}

// receive returns the next delivery, acknowledged.
func receive(t *testing.T, s *eventmesh.Subscriber) *eventmesh.Delivery {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), timeout)
	defer cancel()
	for {
		d, err := s.Receive(ctx)
		if err != nil {
			t.Fatalf("receiving: %v", err)
		}
		if d.Err != nil {
			t.Fatalf("receiving: %v, from %q", d.Err, d.Raw)
		}
		if err := d.Ack(t.Context()); err != nil {
			t.Fatal(err)
		}
		if d.Event.Type() != warmUpType {
			return d
		}
	}
}

// respond acknowledges what a responder receives, and answers it, until stop is called.
func respond(t *testing.T, responder *eventmesh.Subscriber, answer func(context.Context, *eventmesh.Delivery) error) (stop func()) {
	t.Helper()
	ctx, cancel := context.WithCancel(t.Context())
	var responding sync.WaitGroup
	responding.Go(func() {
		for {
			d, err := responder.Receive(ctx)
			if err != nil {
				return
			}
			_ = d.Ack(ctx)
			if err := answer(ctx, d); err != nil && !errors.Is(err, context.Canceled) {
				t.Errorf("replying: %v", err)
			}
		}
	})
	return func() {
		cancel()
		responding.Wait()
	}
}

func numbered(i int) event.Event {
	e := newEvent(fmt.Sprint(i))
	e.SetDataContentType("text/plain")
	e.DataEncoded = fmt.Append(nil, i)
	return e
}

// collector receives from several subscribers until it has seen all numbers below n.
type collector struct {
	mu   sync.Mutex
	by   map[string][]int // event ID to the members that got it
	all  chan struct{}
	want int
}

func collect(t *testing.T, n int, members ...*eventmesh.Subscriber) *collector {
	t.Helper()
	c := &collector{by: map[string][]int{}, all: make(chan struct{}), want: n}
	ctx, cancel := context.WithCancel(context.Background())
	var receivers sync.WaitGroup
	for i, member := range members {
		receivers.Go(func() {
			for {
				d, err := member.Receive(ctx)
				if err != nil {
					return
				}
				_ = d.Ack(ctx)
				if d.Event.Type() != warmUpType {
					c.add(i, d.Event.ID())
				}
			}
		})
	}
	t.Cleanup(func() { cancel(); receivers.Wait() })
	return c
}

func (c *collector) add(member int, id string) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.by[id] = append(c.by[id], member)
	if len(c.by) == c.want && len(c.by[id]) == 1 {
		close(c.all)
	}
}

// expect says how many events are all, when that shows later.
func (c *collector) expect(n int) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.want = n; len(c.by) == n {
		close(c.all)
	}
}

// share returns how many events a member was the first to get.
func (c *collector) share(member int) (n int) {
	c.mu.Lock()
	defer c.mu.Unlock()
	for _, members := range c.by {
		if members[0] == member {
			n++
		}
	}
	return n
}
