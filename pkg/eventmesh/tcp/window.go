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
	// leaking is how many confirmations of a session have to be lost to believe that permits are, and fewSlots how many slots
	// are then too few to go on with.
	leaking, fewSlots = 5, maxInFlight / 4
)

// window bounds what a session has in flight, for EventMesh to have a permit for each publish.
//
// EventMesh 1.12 may have fewer permits than the session's slots: its configuration can say so, and it returns permits by a field
// that all sessions share, so that they move from one session to another. A slot without a permit rests for a while.
type window struct {
	slots     chan struct{} // each in use by a publish, or at rest
	publishes atomic.Int32  // in slots
	resting   atomic.Int32  // slots
	lost      atomic.Int32  // confirmations
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

// leaks tells whether permits of the session are known to be lost.
func (w *window) leaks() bool { return w.lost.Load() >= leaking }

// rest gives the slot back later, and tells whether the session is exhausted: no other publish has a permit either, or permits are
// lost and few are left.
func (w *window) rest() (exhausted bool) {
	time.AfterFunc(restTime, func() {
		w.resting.Add(-1)
		<-w.slots
	})
	resting, others := w.resting.Add(1), w.publishes.Add(-1)
	if others == 0 || w.leaks() && resting >= maxInFlight-fewSlots {
		w.exhausted.Store(true)
	}
	return w.exhausted.Load()
}
