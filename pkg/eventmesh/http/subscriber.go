package http

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"strings"
	"sync"
	"time"

	"github.com/eventing-eventmesh/eventing-eventmesh/pkg/eventmesh"
)

// subscriber polls for one client a topic. It has no connection of its own: EventMesh knows it by the names of its clients.
type subscriber struct {
	*session
	pollers    []*poller
	deliveries chan *eventmesh.Delivery
	acks       acknowledgements
	polling    sync.WaitGroup
	ended      chan struct{} // when all pollers have
	leaving    chan struct{} // closed by Leave
	leave      sync.Once
	left       time.Time // when leaving was closed
}

// OpenSubscriber subscribes to all topics, and begins to poll.
func (t Transport) OpenSubscriber(ctx context.Context, a eventmesh.Address, c eventmesh.Client, sub eventmesh.Subscription) (eventmesh.SubscriberSession, error) {
	for _, topic := range sub.Topics {
		if err := validateTopic(topic); err != nil {
			return nil, err
		}
	}
	s := &subscriber{
		session: t.newSession(a, c), deliveries: make(chan *eventmesh.Delivery),
		ended: make(chan struct{}), leaving: make(chan struct{}),
	}
	s.acks.start(s.session)
	for _, topic := range sub.Topics {
		p := &poller{
			s: s, topic: topic, client: clientID(c, topic, sub.Mode), ledger: newLedger(), broadcasting: sub.Mode == eventmesh.Broadcasting,
			known: make(chan struct{}),
		}
		p.there.Store(s.session)
		p.requests = make(chan struct{}, 1)
		if err := p.subscribe(ctx); err != nil {
			_ = s.Close()
			return nil, err
		}
		s.pollers = append(s.pollers, p)
	}
	for _, p := range s.pollers {
		s.polling.Go(func() { //nolint:contextcheck // it lasts as long as the session
			if err := p.run(); err != nil {
				s.fail(err)
			}
		})
	}
	go func() {
		defer close(s.ended)
		s.polling.Wait()
	}()
	return s, nil
}

// clientID names a client to EventMesh: all members of a group, or where all of them get everything one member. Different groups and
// topics have different ones, whatever EventMesh cannot read of their names.
func clientID(c eventmesh.Client, topic string, mode eventmesh.Mode) string {
	who := []string{c.Group, topic}
	if mode == eventmesh.Broadcasting {
		who = append(who, c.IP, fmt.Sprint(c.PID))
	}
	const enough = 8 // bytes of the sum
	sum := sha256.Sum256([]byte(strings.Join(who, "\x00")))
	readable := strings.Map(func(r rune) rune {
		if notInNames(r) {
			return '_'
		}
		return r
	}, c.Group+"."+topic)
	return readable + "." + hex.EncodeToString(sum[:enough])
}

// Receive returns the next delivery of any topic.
func (s *subscriber) Receive() (*eventmesh.Delivery, error) {
	select {
	case d := <-s.deliveries:
		return d, nil
	case <-s.ctx.Done():
	}
	if err := context.Cause(s.ctx); !errors.Is(err, errLeft) {
		return nil, err
	}
	return nil, io.EOF
}

// Heartbeat subscribes again where that is due.
func (s *subscriber) Heartbeat(ctx context.Context) error {
	for _, p := range s.pollers {
		if err := p.renew(ctx); err != nil {
			return err
		}
	}
	return nil
}

// drainTimeout bounds how long a session that leaves polls for what EventMesh has taken out of its storage for it. Where other members of
// the group stay there is always more.
const drainTimeout = 2 * time.Second

// errLeft ends the session of a member that has left.
var errLeft = errors.New("left the group")

// Leave ends the subscriptions of this member, receives what EventMesh has for it, and waits for its acknowledgements. What is released,
// or comes later, the other members poll.
func (s *subscriber) Leave(ctx context.Context) error {
	s.leave.Do(func() {
		soon, cancel := context.WithTimeout(ctx, 2*round)
		defer cancel()
		for _, p := range s.pollers {
			p.awaitDispatch(soon)
		}
		s.left = time.Now()
		close(s.leaving)
	})
	defer s.fail(errLeft)
	var failures error
	for _, p := range s.pollers {
		failures = errors.Join(failures, p.leave(ctx))
	}
	select {
	case <-s.ended:
	case <-s.ctx.Done():
		return failures
	case <-ctx.Done():
		return errors.Join(failures, ctx.Err())
	}
	for _, p := range s.pollers {
		if !p.ledger.awaitNone(ctx, s.ctx.Done()) {
			failures = errors.Join(failures, fmt.Errorf("%d deliveries of topic %s are not acknowledged: %w", p.ledger.underWay(), p.topic, ctx.Err()))
		}
	}
	s.acks.flush(ctx)
	for _, p := range s.pollers {
		if p.drained {
			failures = errors.Join(failures, p.forget(ctx))
		}
	}
	return failures
}

// leaves tells whether Leave was called.
func (s *subscriber) leaves() bool {
	select {
	case <-s.leaving:
		return true
	default:
		return false
	}
}

// late tells whether a member that leaves has polled for long enough.
func (s *subscriber) late() bool { return time.Since(s.left) > drainTimeout }

// Close ends the session, and waits for its goroutines.
func (s *subscriber) Close() error {
	err := s.session.Close()
	s.polling.Wait()
	s.acks.wait()
	return err
}
