package http

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"sync"

	"github.com/cloudevents/sdk-go/v2/event"

	"github.com/eventing-eventmesh/eventing-eventmesh/pkg/eventmesh"
	"github.com/eventing-eventmesh/eventing-eventmesh/pkg/eventmesh/internal/wire"
)

// acknowledgers is how many requests acknowledge at once: the API has one for each delivery.
const acknowledgers = 8

// acknowledgement is one that has to be sent, and where to.
type acknowledgement struct {
	there *session
	id    string
}

// acknowledgements sends them in the background. What does not arrive comes again, and is acknowledged again then.
type acknowledgements struct {
	mu      sync.Mutex
	queue   []acknowledgement
	waiting sync.Cond // for the queue
	ended   bool
	sending int
	idle    chan struct{} // holds a value when nothing is left
	workers sync.WaitGroup
}

// start starts to send until the session ends.
func (a *acknowledgements) start(s *session) {
	a.waiting.L = &a.mu
	a.idle = make(chan struct{}, 1)
	for range acknowledgers {
		a.workers.Go(a.send)
	}
	context.AfterFunc(s.ctx, func() {
		a.mu.Lock()
		defer a.mu.Unlock()
		a.ended = true
		a.waiting.Broadcast()
	})
}

func (a *acknowledgements) wait() { a.workers.Wait() }

// add has some sent.
func (a *acknowledgements) add(there *session, ids ...string) {
	a.mu.Lock()
	defer a.mu.Unlock()
	for _, id := range ids {
		a.queue = append(a.queue, acknowledgement{there, id})
		a.waiting.Signal()
	}
}

func (a *acknowledgements) send() {
	a.mu.Lock()
	defer a.mu.Unlock()
	for !a.ended {
		if len(a.queue) == 0 {
			a.waiting.Wait()
			continue
		}
		next := a.queue[0]
		a.queue = a.queue[1:]
		a.sending++
		a.mu.Unlock()
		next.send()
		a.mu.Lock()
		if a.sending--; a.sending == 0 && len(a.queue) == 0 {
			select {
			case a.idle <- struct{}{}:
			default:
			}
		}
	}
}

// flush waits until all are sent.
func (a *acknowledgements) flush(ctx context.Context) {
	for {
		a.mu.Lock()
		left := a.sending + len(a.queue)
		a.mu.Unlock()
		if left == 0 {
			return
		}
		select {
		case <-a.idle:
		case <-ctx.Done():
			return
		}
	}
}

// send sends one. EventMesh answers 404 to what it does not know any more: it was acknowledged before, or given up.
func (a acknowledgement) send() {
	_, _ = a.there.postJSON(a.there.ctx, pathAck, map[string]string{"deliveryId": a.id})
}

// Acknowledge sends the acknowledgements of deliveries in the background.
func (s *subscriber) Acknowledge(_ context.Context, deliveries []*eventmesh.Delivery) error {
	return s.settle(deliveries, false)
}

// Release does nothing but forget the delivery: when EventMesh does not hear of it for 30 s it delivers it again, to any member.
func (s *subscriber) Release(_ context.Context, d *eventmesh.Delivery) error {
	return s.settle([]*eventmesh.Delivery{d}, true)
}

func (s *subscriber) settle(deliveries []*eventmesh.Delivery, again bool) error {
	for _, d := range deliveries {
		r, ok := d.Receipt.(receipt)
		if !ok {
			continue
		}
		if ids := r.poller.ledger.leave(r.entry, again); !again {
			s.acks.add(r.poller.there.Load(), ids...)
		}
	}
	if s.ctx.Err() != nil {
		return fmt.Errorf("acknowledging: %w: the session has ended", eventmesh.ErrNotConnected)
	}
	return nil
}

// receipt is what a delivery is known by.
type receipt struct {
	poller *poller
	entry  *entry
}

// correlated is the body of a reply.
type correlated struct {
	ID    string          `json:"correlationId"`
	Event json.RawMessage `json:"event"`
}

// reply sends the reply to a request with a correlation ID.
func (s *session) reply(ctx context.Context, topic, correlation string, e event.Event) error {
	carried, err := wire.Encode(e, topic, wire.HTTPForm)
	if err != nil {
		return fmt.Errorf("replying: %w", err)
	}
	body, err := marshal(carried)
	if err != nil {
		return fmt.Errorf("replying: %w", err)
	}
	a, err := s.postJSON(ctx, pathReply, correlated{correlation, body})
	switch {
	case errors.Is(err, errNoAnswer):
		return fmt.Errorf("replying: %w: %w", eventmesh.ErrUnconfirmed, err)
	case err != nil && a.status == http.StatusNotFound: // nobody waits any more
		return nil
	case err != nil:
		return fmt.Errorf("replying: %w", err)
	}
	return nil
}
