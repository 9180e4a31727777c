package eventmesh

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"sync/atomic"
	"time"

	"github.com/cloudevents/sdk-go/v2/event"
)

// Publisher publishes events to EventMesh. Its methods may be called from any number of goroutines; all of them share one
// connection, and EventMesh keeps no order between concurrent calls.
type Publisher struct {
	config     Config
	timeout    time.Duration
	crosses    bool
	session    atomic.Pointer[openPublisher]
	supervisor supervisor[PublisherSession]
}

// reconnectGrace is how long a publish whose session ends waits for the next one. The first attempt to open it is made at once.
const reconnectGrace = time.Second

// openPublisher is a session with the credentials that it was opened with.
type openPublisher struct {
	PublisherSession
	credentials Credentials
	// succeeded is closed when another session has taken its place, or none could be opened.
	succeeded chan struct{}
}

// NewPublisher returns a Publisher that connects in the background, and goes on trying until Close. The error is one of the
// configuration.
func NewPublisher(cfg Config, transports ...Transport) (*Publisher, error) {
	if err := cfg.validate(transports); err != nil {
		return nil, fmt.Errorf("creating publisher: %w", err)
	}
	own := cfg.Addresses[0].Transport()
	transport, rendering := find(transports, own), find(transports, cfg.subscribers()).Traits().Rendering
	p := &Publisher{config: cfg, timeout: cmp.Or(cfg.Timeout, defaultTimeout), crosses: cfg.subscribers() != own}
	p.supervisor = supervisor[PublisherSession]{
		addresses: cfg.Addresses,
		notify:    cfg.Notify,
		turns:     cfg.Turns,
		open: func(ctx context.Context, a Address) (PublisherSession, error) {
			client, err := cfg.client(rolePublisher)
			if err != nil {
				return nil, err
			}
			client.Rendering = rendering
			session, err := transport.OpenPublisher(ctx, a, client)
			if err != nil {
				p.replace(nil)
				return nil, err
			}
			p.replace(&openPublisher{PublisherSession: session, credentials: client.Credentials, succeeded: make(chan struct{})})
			return session, nil
		},
		serve: func(session PublisherSession) error {
			defer p.leave(p.session.Load())
			stop := context.AfterFunc(p.supervisor.ctx, func() { _ = session.Close() })
			defer stop()
			return session.Wait()
		},
	}
	p.supervisor.start()
	return p, nil
}

// Publish publishes the event to topic, and returns nil only when EventMesh has confirmed it. When the connection breaks it publishes
// again over the next one, if that opens at the first attempt; without a connection it fails at once with ErrNotConnected. After an
// error that is [Temporary] EventMesh may have the event all the same.
func (p *Publisher) Publish(ctx context.Context, topic string, e event.Event) error {
	_, err := p.do(ctx, topic, func(ctx context.Context, session *openPublisher) (*event.Event, error) {
		for {
			err := session.Publish(ctx, topic, e)
			if !errors.Is(err, ErrNotConnected) {
				return nil, err
			}
			if session = p.successor(ctx, session); session == nil {
				return nil, cmp.Or(p.Ready(), err)
			}
		}
	})
	return err
}

// Request publishes the event to topic, and returns what a [Sync] subscriber replies. It fails as Publish does, and with
// ErrNoReply and ErrInvalidReply. EventMesh's standalone storage refuses requests over TCP. A Publisher for subscribers of another transport
// fails with ErrUnsupported, since EventMesh would not deliver their replies.
func (p *Publisher) Request(ctx context.Context, topic string, e event.Event) (*event.Event, error) {
	if p.crosses {
		return nil, fmt.Errorf("requesting from %s: %w: a reply does not come back from subscribers of another transport", topic, ErrUnsupported)
	}
	return p.do(ctx, topic, func(ctx context.Context, s *openPublisher) (*event.Event, error) {
		return s.Request(ctx, topic, e)
	})
}

func (p *Publisher) do(ctx context.Context, topic string, call func(context.Context, *openPublisher) (*event.Event, error)) (*event.Event, error) {
	session := p.session.Load()
	if session == nil {
		if err := p.Ready(); err != nil {
			return nil, fmt.Errorf("publishing to %s: %w", topic, err)
		}
		return nil, fmt.Errorf("publishing to %s: %w", topic, ErrNotConnected)
	}
	if _, bounded := ctx.Deadline(); !bounded {
		var cancel context.CancelFunc
		ctx, cancel = context.WithTimeout(ctx, p.timeout)
		defer cancel()
	}
	reply, err := call(ctx, session)
	if errors.Is(err, ErrUnauthorized) {
		p.renew(session)
	}
	if errors.Is(err, context.DeadlineExceeded) && !errors.Is(err, ErrUnconfirmed) && !errors.Is(err, ErrNoReply) {
		err = fmt.Errorf("%w: %w", ErrUnconfirmed, err)
	}
	if err != nil {
		return nil, fmt.Errorf("publishing to %s: %w", topic, err)
	}
	return reply, nil
}

// replace puts a session, or none, in the place of the one before.
func (p *Publisher) replace(session *openPublisher) {
	if before := p.session.Swap(session); before != nil {
		close(before.succeeded)
	}
}

// leave makes publishes fail at once when no other session comes in time.
func (p *Publisher) leave(session *openPublisher) {
	if p.supervisor.ctx.Err() != nil {
		p.session.Store(nil)
		return
	}
	time.AfterFunc(reconnectGrace, func() { p.session.CompareAndSwap(session, nil) })
}

// successor waits for the session after one that ends; nil where there is none in time.
func (p *Publisher) successor(ctx context.Context, session *openPublisher) *openPublisher {
	timer := time.NewTimer(reconnectGrace)
	defer timer.Stop()
	select {
	case <-session.succeeded:
		return p.session.Load()
	case <-timer.C:
	case <-ctx.Done():
	case <-p.supervisor.ctx.Done():
	}
	return nil
}

// renew ends a session whose credentials EventMesh refuses, if there are others by now: the next session has those.
func (p *Publisher) renew(session *openPublisher) {
	if client, err := p.config.client(rolePublisher); err == nil && client.Credentials != session.credentials {
		_ = session.Close()
	}
}

// Ready returns nil while a session is up, and otherwise says why not.
func (p *Publisher) Ready() error { return p.supervisor.ready() }

// Close ends the session and calls that are under way, and waits for the Publisher's goroutines. It may be called more than once.
func (p *Publisher) Close() error {
	p.supervisor.quit()
	<-p.supervisor.done
	return nil
}
