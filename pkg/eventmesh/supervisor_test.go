package eventmesh

import (
	"context"
	"errors"
	"io"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/eventing-eventmesh/eventing-eventmesh/pkg/eventmesh/internal/wire"
)

// fakeSession lasts until it is closed, or until its heartbeat fails.
type fakeSession struct {
	heartbeat func(context.Context) error
	beats     atomic.Int64
	closed    chan struct{}
	isClosed  atomic.Bool
}

func newFakeSession() *fakeSession {
	return &fakeSession{closed: make(chan struct{}), heartbeat: func(context.Context) error { return nil }}
}

func (f *fakeSession) Heartbeat(ctx context.Context) error {
	f.beats.Add(1)
	return f.heartbeat(ctx)
}

func (f *fakeSession) Close() error {
	if !f.isClosed.Swap(true) {
		close(f.closed)
	}
	return nil
}

func supervise(open func(context.Context, Address) (*fakeSession, error), told *[]Status, addresses ...Address) *supervisor[*fakeSession] {
	if addresses == nil {
		addresses = []Address{{Scheme: "grpc", Host: "a:1"}}
	}
	s := &supervisor[*fakeSession]{
		addresses: addresses,
		open:      open,
		serve:     func(f *fakeSession) error { <-f.closed; return io.EOF },
		notify:    func(status Status) { *told = append(*told, status) },
	}
	s.start()
	return s
}

func TestSupervisorTriesAtOnceThenBacksOff(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		began := time.Now()
		var attempts []time.Duration
		var told []Status
		s := supervise(func(context.Context, Address) (*fakeSession, error) {
			attempts = append(attempts, time.Since(began))
			return nil, errors.New("refused")
		}, &told)
		time.Sleep(10 * time.Minute)
		synctest.Wait()
		s.quit()
		<-s.done
		if len(attempts) < 3 || attempts[0] != 0 || attempts[1] != 0 {
			t.Fatalf("attempts at %v, want the first two at once", attempts)
		}
		for i := 2; i < len(attempts); i++ {
			if wait := attempts[i] - attempts[i-1]; wait > reconnect.Min<<min(i-2, 16) || wait > reconnect.Max {
				t.Errorf("wait %d is %s, above its ceiling", i-1, wait)
			}
		}
		if n := len(attempts); n < 20 || n > 500 {
			t.Errorf("%d attempts in 10 minutes, want the waits to grow to 30 s", n)
		}
		if len(told) != 2 { // not connected, and closed
			t.Errorf("told %d times of %v, want once for each change", len(told), told)
		}
	})
}

func TestSupervisorReconnectsAtOnceAfterAHealthySession(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		began := time.Now()
		var attempts []time.Duration
		var told []Status
		s := supervise(func(context.Context, Address) (*fakeSession, error) {
			attempts = append(attempts, time.Since(began))
			f := newFakeSession()
			time.AfterFunc(healthyAfter, func() { _ = f.Close() })
			return f, nil
		}, &told)
		time.Sleep(3*healthyAfter + time.Second)
		synctest.Wait()
		for i, at := range attempts {
			if want := time.Duration(i) * healthyAfter; at != want {
				t.Errorf("attempt %d at %s, want %s", i, at, want)
			}
		}
		if err := s.ready(); err != nil {
			t.Errorf("ready: got %v, want nil", err)
		}
		s.quit() // the session ends by itself
		<-s.done
		if err := s.ready(); !errors.Is(err, ErrClosed) {
			t.Errorf("ready after the end: got %v, want %v", err, ErrClosed)
		}
	})
}

func TestSupervisorTakesTheNextAddressAfterAFailure(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		a, b := Address{Scheme: "tcp", Host: "a:1"}, Address{Scheme: "tcp", Host: "b:1"}
		var tried []string
		var told []Status
		session := newFakeSession()
		s := supervise(func(_ context.Context, address Address) (*fakeSession, error) {
			tried = append(tried, address.Host)
			if address == a {
				return nil, errors.New("refused")
			}
			return session, nil
		}, &told, a, b)
		synctest.Wait()
		if len(tried) != 2 || tried[1] != b.Host || !s.status.Load().Connected {
			t.Errorf("tried %v, want a:1, then b:1", tried)
		}
		s.quit()
		_ = session.Close()
		<-s.done
	})
}

func TestSupervisorEndsASessionWhoseHeartbeatFails(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		lost := errors.New("no answer")
		var sessions []*fakeSession
		var told []Status
		s := supervise(func(context.Context, Address) (*fakeSession, error) {
			f := newFakeSession()
			if len(sessions) == 0 {
				f.heartbeat = func(ctx context.Context) error {
					<-ctx.Done()
					return lost
				}
			}
			sessions = append(sessions, f)
			return f, nil
		}, &told)
		time.Sleep(heartbeatInterval + heartbeatDeadline + time.Second)
		synctest.Wait()
		if len(sessions) != 2 || !sessions[0].isClosed.Load() || sessions[1].isClosed.Load() {
			t.Fatalf("%d sessions, want a second one in place of the first", len(sessions))
		}
		if len(told) != 3 || !errors.Is(told[1].Err, lost) || !told[2].Connected {
			t.Errorf("told of %v, want connected, lost, connected", told)
		}
		time.Sleep(3 * heartbeatInterval)
		if n := sessions[1].beats.Load(); n != 3 {
			t.Errorf("%d heartbeats in three intervals", n)
		}
		s.quit()
		_ = sessions[1].Close()
		<-s.done
	})
}

func TestSupervisorFollowsARedirect(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var tried []string
		session := newFakeSession()
		s := &supervisor[*fakeSession]{
			addresses: []Address{{Scheme: "tcp", Host: "a:1"}},
			open: func(_ context.Context, address Address) (*fakeSession, error) {
				tried = append(tried, address.String())
				if len(tried) == 1 {
					return newFakeSession(), nil
				}
				return session, nil
			},
			serve: func(f *fakeSession) error {
				if len(tried) == 1 {
					return &wire.RedirectError{Host: "b:2"}
				}
				<-f.closed
				return io.EOF
			},
		}
		s.start()
		synctest.Wait()
		if len(tried) != 2 || tried[1] != "tcp://b:2" {
			t.Errorf("tried %v, want tcp://b:2 second", tried)
		}
		s.quit()
		_ = session.Close()
		<-s.done
	})
}

func TestSessionsAreOpenedInTurn(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		turns := make(chan struct{}, 2)
		var opening, most atomic.Int64
		var all []*supervisor[*fakeSession]
		for range 5 {
			f := newFakeSession()
			s := &supervisor[*fakeSession]{
				addresses: []Address{{Scheme: "grpc", Host: "a:1"}}, turns: turns,
				open: func(context.Context, Address) (*fakeSession, error) {
					most.Store(max(most.Load(), opening.Add(1)))
					time.Sleep(openTimeout * 3 / 4)
					opening.Add(-1)
					return f, nil
				},
				serve: func(f *fakeSession) error { <-f.closed; return io.EOF },
			}
			s.start()
			all = append(all, s)
			defer func() { s.quit(); _ = f.Close(); <-s.done }()
		}
		time.Sleep(3 * openTimeout)
		for i, s := range all {
			if !s.status.Load().Connected {
				t.Errorf("session %d: %v", i, s.status.Load().Err)
			}
		}
		if most.Load() != 2 {
			t.Errorf("%d sessions were opened at once, want 2", most.Load())
		}
	})
}
