package tcp

import (
	"context"
	"fmt"
	"sync/atomic"
	"time"

	"github.com/eventing-eventmesh/eventing-eventmesh/pkg/eventmesh"
)

const (
	// maxInFlight is how many unconfirmed publishes a session may have: eventMesh.server.session.upstreamBufferSize in a
	// server's default configuration.
	maxInFlight = 20
	// restTime is for how long a slot is not used for which EventMesh had no permit.
	restTime = 10 * time.Second
)

// window bounds what a session has in flight, for EventMesh to have a permit for each publish.
//
// EventMesh 1.12 may have fewer permits than the session's slots: its configuration can say so, and it returns permits by a field
// that all sessions share, so that they move from one session to another. A slot without a permit rests for a while.
type window struct {
	slots     chan struct{} // each taken by a publish, or at rest
	publishes atomic.Int32  // in slots
	exhausted atomic.Bool
}

func newWindow() window { return window{slots: make(chan struct{}, maxInFlight)} }

// enter waits for a slot, which leave or rest gives back.
func (w *window) enter(ctx context.Context, done <-chan struct{}) error {
	select {
	case w.slots <- struct{}{}:
		w.publishes.Add(1)
		return nil
	case <-done:
		return fmt.Errorf("%w: the connection broke", eventmesh.ErrNotConnected)
	case <-ctx.Done():
		return fmt.Errorf("%w: %d publishes wait for their confirmation: %w", eventmesh.ErrUnconfirmed, maxInFlight, ctx.Err())
	}
}

func (w *window) leave() {
	w.publishes.Add(-1)
	<-w.slots
}

// rest gives the slot back later, and tells whether the session is exhausted: no other publish has a permit either.
func (w *window) rest() (exhausted bool) {
	time.AfterFunc(restTime, func() { <-w.slots })
	if w.publishes.Add(-1) == 0 {
		w.exhausted.Store(true)
	}
	return w.exhausted.Load()
}
