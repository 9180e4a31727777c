package dispatcher

import (
	"context"
	"errors"
	"sync"
	"time"

	"go.uber.org/zap"

	"github.com/eventing-eventmesh/eventing-eventmesh/pkg/adapter"
	"github.com/eventing-eventmesh/eventing-eventmesh/pkg/broker/table"
	"github.com/eventing-eventmesh/eventing-eventmesh/pkg/eventmesh"
)

// membership is where a Broker's events are received.
type membership struct {
	mesh         table.Mesh
	topic, group string
}

// maxOpening is how many sessions with one EventMesh are opened at once.
const maxOpening = 2

// leaveTimeout bounds the goodbye to a group that is not needed any more.
const leaveTimeout = 10 * time.Second

var errConnecting = errors.New("connecting to EventMesh")

// member is a member of a group. It lives from join to the end of leave.
type member struct {
	of    membership
	turns chan struct{} // of opening sessions
	ended chan struct{} // closed when nothing more is received

	mu         sync.Mutex
	subscriber *eventmesh.Subscriber
	err        error // why there is none
	leaving    bool
}

// join becomes a member, in the background, once the one before has left, if there is one. keep is called with each delivery, by one
// goroutine, and ends the receiving by its error.
func (d *dispatcher) join(of membership, before *member, keep func(context.Context, *eventmesh.Delivery) error) *member {
	turns := d.turns[of.mesh.URL]
	if turns == nil {
		turns = make(chan struct{}, maxOpening)
		d.turns[of.mesh.URL] = turns
	}
	m := &member{of: of, turns: turns, ended: make(chan struct{}), err: errConnecting}
	d.members.Go(func() {
		defer close(m.ended)
		if before != nil {
			<-before.ended
		}
		if !m.open(d) {
			return
		}
		for {
			delivery, err := m.subscriber.Receive(d.receiving)
			if err != nil {
				break // closed, or the context's end: the one who did that knows
			}
			if keep(d.receiving, delivery) != nil {
				break
			}
		}
	})
	return m
}

// open subscribes, unless it is not wanted any more.
func (m *member) open(d *dispatcher) bool {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.leaving {
		return false
	}
	client, err := d.config.Client(m.of.mesh, m.of.group, d.logger.With("topic", m.of.topic))
	client.Turns = m.turns
	if err == nil {
		m.subscriber, err = eventmesh.NewSubscriber(client, eventmesh.Subscription{Topics: []string{m.of.topic}, MakeTopics: true}, adapter.Transports...)
	}
	m.err = err
	if err != nil {
		d.logger.Errorw("a topic cannot be subscribed to", "topic", m.of.topic, zap.Error(err))
	}
	return err == nil
}

// ready returns nil while events are received, and otherwise says why not.
func (m *member) ready() error {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.err != nil {
		return m.err
	}
	return m.subscriber.Ready()
}

// leave leaves the group, and returns when all that was under way has been received, or the context ends.
func (m *member) leave(ctx context.Context, logger *zap.SugaredLogger) {
	m.mu.Lock()
	m.leaving = true
	subscriber := m.subscriber
	m.mu.Unlock()
	if subscriber == nil {
		return
	}
	if err := subscriber.Leave(ctx); err != nil {
		logger.Warnw("EventMesh did not let this replica leave a group", "topic", m.of.topic, zap.Error(err))
		_ = subscriber.Close() // what is not acknowledged comes again
		return
	}
	select {
	case <-m.ended:
	case <-ctx.Done():
	}
	_ = subscriber.Close()
}
