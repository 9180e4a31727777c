package eventmesh

import (
	"context"
	"errors"
	"io"
	"testing"
	"testing/synctest"
	"time"
)

// pushing is a transport whose only session has got deliveries, which are gone when it is closed.
type pushing struct {
	*fakeSession
	deliveries chan *Delivery
}

func (pushing) Traits() Traits { return Traits{Scheme: "push", Port: "1"} }

func (p pushing) OpenSubscriber(context.Context, Address, Client, Subscription) (SubscriberSession, error) {
	if p.isClosed.Load() {
		return nil, errors.New("there is no second session")
	}
	return p, nil
}

func (pushing) OpenPublisher(context.Context, Address, Client) (PublisherSession, error) {
	return nil, ErrUnsupported
}

func (p pushing) Receive() (*Delivery, error) {
	select {
	case <-p.closed:
		return nil, io.EOF
	default:
	}
	select {
	case d := <-p.deliveries:
		return d, nil
	case <-p.closed:
		return nil, io.EOF
	}
}

func (p pushing) Leave(context.Context) error { return p.Close() }

// TestWhatHasComeIsReceived lets heartbeats fail while nobody calls Receive: what EventMesh has delivered over gRPC it does not deliver
// again.
func TestWhatHasComeIsReceived(t *testing.T) {
	for name, heartbeat := range map[string]func(context.Context) error{
		"refused": func(context.Context) error { return ErrRefused },
		"no answer": func(ctx context.Context) error {
			<-ctx.Done()
			return ErrUnconfirmed
		},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				const deliveries = 10
				transport := pushing{fakeSession: newFakeSession(), deliveries: make(chan *Delivery, deliveries)}
				transport.heartbeat = heartbeat
				for range deliveries {
					transport.deliveries <- &Delivery{}
				}
				s, err := NewSubscriber(Config{Addresses: []Address{{Scheme: "push", Host: "a:1"}}, ClientID: "c", Group: "g"},
					Subscription{Topics: []string{"orders"}}, transport)
				if err != nil {
					t.Fatal(err)
				}
				defer s.Close()
				for i := range deliveries {
					time.Sleep(heartbeatInterval / 2)
					ctx, cancel := context.WithTimeout(t.Context(), time.Second)
					if _, err := s.Receive(ctx); err != nil {
						t.Fatalf("delivery %d: %v", i, err)
					}
					cancel()
				}
				time.Sleep(2*heartbeatInterval + heartbeatDeadline + quietBefore)
				synctest.Wait()
				if !transport.isClosed.Load() {
					t.Error("the session goes on, though nothing comes")
				}
			})
		})
	}
}

// answering is a transport whose session has to be received from while it leaves, as over TCP: the answer is among what comes. It opens
// when it is let.
type answering struct {
	pushing
	let      chan struct{}
	received chan struct{}
	failure  error
}

func (a answering) OpenSubscriber(context.Context, Address, Client, Subscription) (SubscriberSession, error) {
	<-a.let
	return a, nil
}

func (a answering) Receive() (*Delivery, error) {
	d, err := a.pushing.Receive()
	if err == nil {
		a.received <- struct{}{}
	}
	return d, err
}

func (a answering) Leave(ctx context.Context) error {
	for range cap(a.deliveries) {
		select {
		case <-a.received:
		case <-ctx.Done():
			return ctx.Err()
		}
	}
	if a.failure == nil {
		return a.Close()
	}
	time.AfterFunc(time.Second, func() { _ = a.Close() }) // it is a moment later that Receive sees the end
	return a.failure
}

// TestLeavingWhileOpening leaves before the session is there: what it delivers is received all the same.
func TestLeavingWhileOpening(t *testing.T) {
	for name, failure := range map[string]error{"left": nil, "the connection breaks": ErrNotConnected} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				const deliveries = 3
				transport := answering{
					pushing: pushing{fakeSession: newFakeSession(), deliveries: make(chan *Delivery, deliveries)},
					let:     make(chan struct{}), received: make(chan struct{}, deliveries), failure: failure,
				}
				for range deliveries {
					transport.deliveries <- &Delivery{}
				}
				s, err := NewSubscriber(Config{Addresses: []Address{{Scheme: "push", Host: "a:1"}}, ClientID: "c", Group: "g"},
					Subscription{Topics: []string{"orders"}}, transport)
				if err != nil {
					t.Fatal(err)
				}
				defer s.Close()
				synctest.Wait()
				if err := s.Leave(t.Context()); err != nil {
					t.Error(err)
				}
				close(transport.let)
				began := time.Now()
				for i := range deliveries {
					if _, err := s.Receive(t.Context()); err != nil {
						t.Fatalf("delivery %d: %v", i, err)
					}
				}
				if _, err := s.Receive(t.Context()); !errors.Is(err, ErrClosed) {
					t.Errorf("got %v, want %v", err, ErrClosed)
				}
				if took := time.Since(began); took > time.Second {
					t.Errorf("it took %s", took)
				}
			})
		})
	}
}
