package source

import (
	"context"
	"sync"
	"sync/atomic"
	"time"

	"github.com/cloudevents/sdk-go/v2/event"
	"golang.org/x/sync/semaphore"

	"github.com/eventing-eventmesh/eventing-eventmesh/pkg/eventmesh"
)

// kept is an event that EventMesh has delivered and the sink has not taken.
type kept struct {
	delivery *eventmesh.Delivery
	// event is the one to send: the delivery's, with the extensions that it gets.
	event event.Event
	// attempts counts requests that did not succeed.
	attempts int
	size     int64
}

// buffer keeps events in memory until they are released. It is bounded by number and by bytes. Its methods may be called by
// several goroutines.
type buffer struct {
	events, bytes *semaphore.Weighted
	maxBytes      int64
	ready         chan *kept
	count         atomic.Int64
	waiting       atomic.Bool

	closed  atomic.Bool
	drained chan struct{}
	once    sync.Once
}

func newBuffer(maxEvents int, maxBytes int64) *buffer {
	return &buffer{
		events: semaphore.NewWeighted(int64(maxEvents)), bytes: semaphore.NewWeighted(maxBytes), maxBytes: maxBytes,
		ready: make(chan *kept, maxEvents), drained: make(chan struct{}),
	}
}

// put keeps an event, and waits until there is room for it. It is called by one goroutine.
func (b *buffer) put(ctx context.Context, k *kept) error {
	k.size = min(sizeOf(k.event), b.maxBytes) // a larger one is kept alone
	if !b.events.TryAcquire(1) {
		b.waiting.Store(true)
		defer b.waiting.Store(false)
		if err := b.events.Acquire(ctx, 1); err != nil {
			return err
		}
	}
	if !b.bytes.TryAcquire(k.size) {
		b.waiting.Store(true)
		defer b.waiting.Store(false)
		if err := b.bytes.Acquire(ctx, k.size); err != nil {
			b.events.Release(1)
			return err
		}
	}
	b.count.Add(1)
	b.ready <- k // never blocks: it has room for all that is kept
	return nil
}

// later makes the event ready again after a while. Meanwhile it is kept.
func (b *buffer) later(k *kept, wait time.Duration) {
	time.AfterFunc(wait, func() { b.ready <- k })
}

// release forgets an event that has found its place of rest.
func (b *buffer) release(k *kept) {
	b.bytes.Release(k.size)
	b.events.Release(1)
	if b.count.Add(-1) == 0 && b.closed.Load() {
		b.once.Do(func() { close(b.drained) })
	}
}

// full tells whether an event waits for room.
func (b *buffer) full() bool { return b.waiting.Load() }

// close says that nothing will be put any more. It returns a channel that is closed once every event has been released.
func (b *buffer) close() <-chan struct{} {
	b.closed.Store(true)
	if b.count.Load() == 0 {
		b.once.Do(func() { close(b.drained) })
	}
	return b.drained
}

// overhead in bytes of a kept event besides its data: a round figure for its attributes.
const overhead = 1024

func sizeOf(e event.Event) int64 { return int64(len(e.Data())) + overhead }
