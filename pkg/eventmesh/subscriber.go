package eventmesh

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"slices"
	"sync"
	"time"
)

// Subscriber receives the events of a [Subscription], as one member of a consumer group. While nobody calls Receive it stays in the group
// and holds at most one delivery; others wait in the connection and in the server.
type Subscriber struct {
	deliveries chan *Delivery
	supervisor supervisor[SubscriberSession]

	mu      sync.Mutex
	current SubscriberSession
	late    bool      // Leave or Close came while current was being opened, and did not see it
	quiet   time.Time // since when the session's next delivery is waited for, or zero

	closed chan struct{}
	once   sync.Once
}

// NewSubscriber returns a Subscriber that connects and subscribes in the background, and goes on trying until Leave or
// Close. The error is one of the configuration.
func NewSubscriber(cfg Config, subscription Subscription, transports ...Transport) (*Subscriber, error) {
	subscription.Mode = cmp.Or(subscription.Mode, Clustering)
	subscription.Type = cmp.Or(subscription.Type, Async)
	subscription.Topics = slices.Clone(subscription.Topics)
	if err := cmp.Or(cfg.validate(transports), subscription.validate()); err != nil {
		return nil, fmt.Errorf("creating subscriber: %w", err)
	}
	transport, returning := find(transports, cfg.Addresses[0].Transport()), false
	if validate := transport.Traits().ValidateTopic; validate != nil {
		for _, topic := range subscription.Topics {
			if err := validate(topic); err != nil {
				return nil, fmt.Errorf("creating subscriber: %w", err)
			}
		}
	}
	s := &Subscriber{deliveries: make(chan *Delivery), closed: make(chan struct{})}
	s.supervisor = supervisor[SubscriberSession]{
		addresses: cfg.Addresses,
		notify:    cfg.Notify,
		turns:     cfg.Turns,
		open: func(ctx context.Context, a Address) (SubscriberSession, error) {
			client, err := cfg.client(roleSubscriber)
			if err != nil {
				return nil, err
			}
			client.Returning = returning
			session, err := transport.OpenSubscriber(ctx, a, client, subscription)
			if err != nil {
				return nil, err
			}
			s.mu.Lock()
			defer s.mu.Unlock()
			s.current, returning = session, true
			s.late = s.supervisor.ctx.Err() != nil
			return session, nil
		},
		serve: s.serve,
		quietSince: func() time.Time {
			s.mu.Lock()
			defer s.mu.Unlock()
			return s.quiet
		},
	}
	s.supervisor.start()
	return s, nil
}

func (s Subscription) validate() error {
	if len(s.Topics) == 0 {
		return errors.New("no topic given")
	}
	for _, topic := range s.Topics {
		if err := ValidateTopic(topic); err != nil {
			return err
		}
	}
	if s.Mode != Clustering && s.Mode != Broadcasting {
		return fmt.Errorf("mode %q is neither %s nor %s", s.Mode, Clustering, Broadcasting)
	}
	if s.Type != Async && s.Type != Sync {
		return fmt.Errorf("type %q is neither %s nor %s", s.Type, Async, Sync)
	}
	return nil
}

// serve hands out what a session receives, to its end.
func (s *Subscriber) serve(session SubscriberSession) error {
	defer func() {
		s.mu.Lock()
		s.current, s.quiet = nil, time.Time{}
		s.mu.Unlock()
	}()
	s.mu.Lock()
	late := s.late
	s.mu.Unlock()
	select {
	case <-s.closed:
		return ErrClosed
	default:
	}
	if late {
		defer leaveMeanwhile(session)()
	}
	for {
		s.waits(time.Now())
		d, err := session.Receive()
		if err != nil {
			return err
		}
		s.waits(time.Time{})
		select {
		case s.deliveries <- d:
		case <-s.closed:
			return ErrClosed
		}
	}
}

// leaveMeanwhile ends a session's membership while its deliveries are received, and its answer may be among what is received. The function
// that it returns ends the session, and waits.
func leaveMeanwhile(session SubscriberSession) (end func()) {
	var leaving sync.WaitGroup
	leaving.Go(func() {
		ctx, cancel := context.WithTimeout(context.Background(), heartbeatDeadline)
		defer cancel()
		if err := session.Leave(ctx); err != nil && !errors.Is(err, ErrNotConnected) { // a broken connection ends after what it has brought
			_ = session.Close()
		}
	})
	return func() {
		_ = session.Close() // it has ended already
		leaving.Wait()
	}
}

// waits notes since when nothing has come; the zero time is for a delivery that nobody has received yet.
func (s *Subscriber) waits(since time.Time) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.quiet = since
}

// Receive returns the next delivery. It may be called by several goroutines, which then share the deliveries. It fails with the
// context's error, and with ErrClosed after Close, and after Leave once it has returned everything that was under way.
func (s *Subscriber) Receive(ctx context.Context) (*Delivery, error) {
	select {
	case d := <-s.deliveries:
		return d, nil
	case <-s.supervisor.done:
		return nil, ErrClosed
	case <-ctx.Done():
		return nil, ctx.Err()
	}
}

// Leave ends the membership in the group, so that EventMesh sends nothing more. What is under way still comes: call
// Receive until it returns ErrClosed. Over gRPC the other members of the group lose their streams too, and have to
// subscribe again, as a Subscriber does at once. The context bounds the wait for EventMesh's answer.
func (s *Subscriber) Leave(ctx context.Context) error {
	session := s.quit()
	if session == nil {
		return nil
	}
	if err := session.Leave(ctx); err != nil {
		return fmt.Errorf("leaving the group: %w", err)
	}
	return nil
}

// Ready returns nil while subscribed, and otherwise says why not.
func (s *Subscriber) Ready() error { return s.supervisor.ready() }

// Close ends the session without leaving the group, drops what nobody has received, and waits for the Subscriber's goroutines.
// Deliveries can no longer be acknowledged then. It may be called more than once.
func (s *Subscriber) Close() error {
	s.once.Do(func() { close(s.closed) })
	if session := s.quit(); session != nil {
		_ = session.Close() // it ends either way
	}
	<-s.supervisor.done
	return nil
}

// quit stops reconnecting, and returns the session that is left, if any.
func (s *Subscriber) quit() SubscriberSession {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.supervisor.quit()
	return s.current
}
