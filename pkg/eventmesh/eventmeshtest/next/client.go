package next

import (
	"context"
	"errors"
	"maps"
	"time"

	"github.com/eventing-eventmesh/eventing-eventmesh/pkg/eventmesh/eventmeshtest"
)

// client is a clientId: one buffer, whoever polls it, however many subscriptions it has.
type client struct {
	buffer []*flight
	filled chan struct{} // closed, and made anew, when something is put into the buffer
}

// patienceToStall is how many events in a row above the limit of a buffer stall its client.
const patienceToStall = 3

// client returns a client, which it makes where there is none. The broker is locked.
func (b *broker) client(id string) *client {
	c := b.clients[id]
	if c == nil {
		c = &client{filled: make(chan struct{})}
		b.clients[id] = c
	}
	return c
}

func (b *broker) stalled(id string) bool { return b.above[id] >= patienceToStall }

// offer puts a delivery into a client's buffer, and reports false where that is full or stalled. The broker is locked.
func (b *broker) offer(f *flight) bool {
	c := b.client(f.client)
	if b.stalled(f.client) {
		return false
	}
	full := len(c.buffer) >= b.options.BufferLimit
	if full || len(c.buffer) >= b.options.StallAbove {
		if b.above[f.client]++; b.stalled(f.client) {
			b.options.Logf("client %q is stalled until the server restarts: its buffer holds %d events", f.client, len(c.buffer))
		}
	} else {
		delete(b.above, f.client)
	}
	if full {
		return false
	}
	c.buffer = append(c.buffer, f)
	b.acknowledgeable[f.id] = f
	close(c.filled)
	c.filled = make(chan struct{})
	return true
}

// subscribe adds a subscription, beside those that the client may have already.
func (b *broker) subscribe(id, topic, mode string) (subscriptionID string) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.client(id)
	return b.addSubscription(id, topic, mode)
}

// addSubscription makes a subscription of a client. The broker is locked.
func (b *broker) addSubscription(client, topic, mode string) (id string) {
	s := &subscription{id: newID(), client: client, mode: mode, made: time.Now()}
	b.topic(topic).subscriptions[s.id] = s
	return s.id
}

// unsubscribe removes one subscription to a topic, of however many there are, and reports whether there was any.
func (b *broker) unsubscribe(id, topic string) bool {
	b.mu.Lock()
	defer b.mu.Unlock()
	subscriptions := b.topic(topic).subscriptions
	for key, s := range subscriptions {
		if s.client == id {
			delete(subscriptions, key)
			return true
		}
	}
	return false
}

// leave removes a client with all that it has, and reports whether it had a subscription.
func (b *broker) leave(id string) bool {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.remove(id)
}

// remove forgets a client, with its subscriptions and its buffer, and reports whether it had a subscription. The broker is locked.
func (b *broker) remove(id string) (removed bool) {
	delete(b.clients, id)
	for _, t := range b.topics {
		before := len(t.subscriptions)
		maps.DeleteFunc(t.subscriptions, func(_ string, s *subscription) bool { return s.client == id })
		removed = removed || len(t.subscriptions) < before
	}
	return removed
}

var errNegative = errors.New("the number of events is negative")

// poll takes up to most deliveries out of a client's buffer, at least one where there is any, and waits for the first. It returns at once
// where there is no such client, and errNegative where there is.
func (b *broker) poll(ctx context.Context, id string, patience time.Duration, most int, by *eventmeshtest.Session) ([]*flight, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.polled[id] = time.Now()
	c := b.clients[id]
	if c == nil {
		return nil, nil
	}
	if most < 0 {
		return nil, errNegative
	}
	if patience > 0 {
		b.pollers[id]++
		defer func() { b.pollers[id]-- }()
	}
	if !b.await(ctx, c, patience) {
		return nil, nil
	}
	n := min(len(c.buffer), max(most, 1))
	taken := c.buffer[:n:n]
	c.buffer = c.buffer[n:]
	for _, f := range taken {
		b.take(f, by)
	}
	return taken, nil
}

// await waits until a client's buffer holds something, and reports false where it does not in time. The broker is locked, and is not while
// it waits.
func (b *broker) await(ctx context.Context, c *client, patience time.Duration) bool {
	timer := time.NewTimer(patience)
	defer timer.Stop()
	for len(c.buffer) == 0 {
		filled, over := c.filled, false
		b.mu.Unlock()
		select {
		case <-filled:
		case <-timer.C:
			over = true
		case <-ctx.Done():
			over = true
		}
		b.mu.Lock()
		if over && len(c.buffer) == 0 {
			return false
		}
	}
	return ctx.Err() == nil
}

// stay counts a stream among the polls that are under way, until the function that it returns is called.
func (b *broker) stay(id string) (leave func()) {
	add := func(n int) {
		b.mu.Lock()
		defer b.mu.Unlock()
		b.pollers[id] += n
	}
	add(1)
	return func() { add(-1) }
}
