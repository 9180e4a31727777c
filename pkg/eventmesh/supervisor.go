package eventmesh

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"sync/atomic"
	"time"

	"github.com/eventing-eventmesh/eventing-eventmesh/internal/backoff"
	"github.com/eventing-eventmesh/eventing-eventmesh/pkg/eventmesh/internal/wire"
)

const (
	// heartbeatInterval is well below the 60 s after which a server expires a session, and finds a dead connection early:
	// EventMesh punishes keepalive pings, so nothing below the heartbeat may look for it.
	heartbeatInterval = 10 * time.Second
	// heartbeatDeadline bounds one heartbeat. A machine that is busy answers late, and is not away: the end of a session costs events
	// over gRPC, and on EventMesh's standalone storage the topic.
	heartbeatDeadline = 15 * time.Second
	// quietBefore is the least time without a delivery before a session is ended whose heartbeat has failed.
	quietBefore = time.Second
	// openTimeout bounds one attempt to open a session; the first call to a cold server can last 2 s.
	openTimeout = 10 * time.Second
	// healthyAfter is how long a session has to last for the next attempt to be the first again, which is made at once:
	// while no member of a gRPC group is subscribed, EventMesh loses what is published.
	healthyAfter = time.Second
)

var reconnect = backoff.Exponential{Min: 100 * time.Millisecond, Max: 30 * time.Second}

// supervisor keeps one session open: connect, heartbeat, and after its end connect again. It alone decides when.
type supervisor[S Session] struct {
	addresses []Address
	// open opens a session with one server.
	open func(context.Context, Address) (S, error)
	// serve uses the session until it has ended, and returns why.
	serve func(S) error
	// quietSince tells since when serve has waited for what comes over the session; zero while it does not wait. Without it nothing comes.
	quietSince func() time.Time
	// notify is told of changes.
	notify func(Status)
	// turns bounds how many sessions are opened at once, if it is not nil.
	turns chan struct{}

	status atomic.Pointer[Status]
	ctx    context.Context
	cancel context.CancelFunc
	done   chan struct{}
}

// start begins to connect, until stop.
func (s *supervisor[S]) start() {
	s.ctx, s.cancel = context.WithCancel(context.Background()) //nolint:gosec // quit calls it
	s.done = make(chan struct{})
	s.status.Store(&Status{Address: s.addresses[0]})
	go func() {
		defer close(s.done)
		s.run()
	}()
}

// quit makes the supervisor open no other session; the current one goes on.
func (s *supervisor[S]) quit() { s.cancel() }

func (s *supervisor[S]) run() {
	failures, next := 0, 0
	var redirect *wire.RedirectError
	for s.ctx.Err() == nil {
		address := s.addresses[next%len(s.addresses)]
		if redirect != nil {
			address.Host = redirect.Host
		}
		began := time.Now()
		err := s.once(address)
		if s.ctx.Err() != nil {
			break
		}
		s.set(Status{Address: address, Err: err})
		redirect = nil
		switch redirected := errors.As(err, &redirect); {
		case time.Since(began) >= healthyAfter:
			failures = 0
		case !redirected:
			next++
		}
		if failures > 0 {
			select {
			case <-s.ctx.Done():
			case <-time.After(reconnect.Wait(failures, 0)):
			}
		}
		failures++
	}
	s.set(Status{Address: s.status.Load().Address, Err: ErrClosed})
}

// once opens a session and uses it to its end.
func (s *supervisor[S]) once(address Address) error {
	session, err := s.openInTurn(address)
	if err != nil {
		return fmt.Errorf("connecting to %s: %w", address, err)
	}
	s.set(Status{Connected: true, Address: address})

	stop := make(chan struct{})
	var heartbeats sync.WaitGroup
	var lost error
	heartbeats.Go(func() {
		if lost = s.heartbeat(session, stop); lost != nil {
			_ = session.Close() // serve returns, and tells
		}
	})
	err = s.serve(session)
	close(stop)
	_ = session.Close() // it has ended already
	heartbeats.Wait()
	if lost != nil {
		err = fmt.Errorf("%w: %w", lost, err)
	}
	return fmt.Errorf("session with %s ended: %w", address, err)
}

// openInTurn opens a session when it may.
func (s *supervisor[S]) openInTurn(address Address) (session S, err error) {
	if s.turns != nil {
		select {
		case s.turns <- struct{}{}:
			defer func() { <-s.turns }()
		case <-s.ctx.Done():
			return session, s.ctx.Err()
		}
	}
	ctx, cancel := context.WithTimeout(s.ctx, openTimeout)
	defer cancel()
	return s.open(ctx, address)
}

// heartbeat sends heartbeats until stop is closed, or one fails while nothing comes over the session: what has come is received first,
// and a session that delivers is alive. It returns why the last one failed, if it did.
func (s *supervisor[S]) heartbeat(session Session, stop <-chan struct{}) error {
	ticker := time.NewTicker(heartbeatInterval)
	defer ticker.Stop()
	var failed error
	for {
		select {
		case <-stop:
			return failed
		case <-ticker.C:
		}
		began := time.Now()
		ctx, cancel := context.WithTimeout(context.Background(), heartbeatDeadline)
		failed = session.Heartbeat(ctx)
		cancel()
		if failed == nil {
			continue
		}
		failed = fmt.Errorf("heartbeat: %w", failed)
		if s.quiet(began, stop) {
			return failed
		}
	}
}

// quiet tells whether nothing has come over the session since a time, which is quietBefore ago at least.
func (s *supervisor[S]) quiet(since time.Time, stop <-chan struct{}) bool {
	if s.quietSince == nil {
		return true
	}
	select {
	case <-stop:
	case <-time.After(quietBefore - time.Since(since)):
	}
	waits := s.quietSince()
	return !waits.IsZero() && !waits.After(since)
}

// set stores the status, and tells of it when it says something new.
func (s *supervisor[S]) set(status Status) {
	before := s.status.Swap(&status)
	if s.notify == nil || before.Connected == status.Connected && message(before.Err) == message(status.Err) {
		return
	}
	s.notify(status)
}

// ready returns nil, or an ErrNotConnected that says why.
func (s *supervisor[S]) ready() error {
	status := s.status.Load()
	switch {
	case status.Connected:
		return nil
	case errors.Is(status.Err, ErrClosed):
		return ErrClosed
	case status.Err == nil:
		return fmt.Errorf("%w: connecting to %s", ErrNotConnected, status.Address)
	case errors.Is(status.Err, ErrNotConnected):
		return status.Err
	default:
		return fmt.Errorf("%w: %w", ErrNotConnected, status.Err)
	}
}

func message(err error) string {
	if err == nil {
		return ""
	}
	return err.Error()
}
