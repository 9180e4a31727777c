package source

import (
	"context"
	"errors"
	"slices"
	"sync"
	"time"

	"github.com/eventing-eventmesh/eventing-eventmesh/internal/backoff"
)

// maxPending is how many bytes may wait for the disk.
const maxPending = 8 << 20

// buffer keeps events until they are released: in memory, or in a spool. It is bounded by number and by bytes, and hands events out
// in the order asked for. Its methods may be called by several goroutines.
type buffer struct {
	maxEvents, maxBytes int64
	spool               *spool // nil: in memory

	mu        sync.Mutex
	changed   sync.Cond // there may be an event to send
	room      sync.Cond
	wakeAt    time.Time // when changed is signalled by a timer, if ever
	totals    totals
	sequence  uint64
	queue     queue
	sink      circuit
	dead      circuit // of the place for dead letters
	budget    budget
	inFlight  int64
	workers   int  // that ask for events
	secondary int  // attempts in flight that are none for the first time
	waiting   bool // an event for room
	leaving   bool
	stopped   bool
	drained   chan struct{} // closed when stopped and nothing is left to hand out
	failure   error         // after which nothing can be handed out

	oldest, newest *kept // the events in memory, in the order of reception; of no use with a spool

	// What follows is for the spool; see backlog.go.
	before     uint64 // the last event of earlier processes
	last       uint64 // the last event that is on disk
	cursor     uint64 // the last event that has been in the queue
	unread     int64  // how many events come after the cursor
	reading    bool
	unsaved    []*kept // received, and not yet on disk
	unsavedSum int64   // bytes
	forgotten  []removal
	aside      int64         // how many records have been set aside since they cannot be read
	buries     bool          // such records become dead letters instead
	tell       func(*kept)   // is told of such a record
	work       chan struct{} // holds a value when the spool has something to write
	writing    error         // the latest failure to do so
}

func newBuffer(maxEvents, maxBytes int64, ordering Ordering, wait backoff.Exponential, s *spool) *buffer {
	b := &buffer{
		maxEvents: maxEvents, maxBytes: maxBytes, spool: s, queue: newQueue(ordering),
		sink: circuit{backoff: wait}, dead: circuit{backoff: wait}, budget: newBudget(-1),
		drained: make(chan struct{}), work: make(chan struct{}, 1), tell: func(*kept) {},
	}
	b.changed.L, b.room.L = &b.mu, &b.mu
	if s == nil {
		return b
	}
	b.totals, b.last = s.found.totals, s.found.last
	b.unread, b.before, b.sequence, b.aside = b.totals.events, b.last, b.last, s.found.aside
	return b
}

// prepare makes an event ready to be put. With a spool the error is that its record could not be read, now or later.
func (b *buffer) prepare(k *kept) (err error) {
	k.size = sizeOf(&k.event)
	if b.spool != nil {
		k.record, err = writeRecord(k)
		k.pending = k.size + int64(len(k.record))
	}
	return err
}

// put keeps an event, and waits until there is room for it. With a spool it does not wait until the event is on disk. It is called by
// one goroutine. The error is the context's, or of an event that has not been prepared.
func (b *buffer) put(ctx context.Context, k *kept) error {
	if k.size == 0 {
		if err := b.prepare(k); err != nil {
			return err
		}
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	if err := b.awaitRoom(ctx, k); err != nil {
		return err
	}
	b.sequence++
	k.seq = b.sequence
	b.totals.events, b.totals.bytes = b.totals.events+1, b.totals.bytes+k.size
	if b.spool == nil {
		b.link(k)
		b.queue.add(k)
		b.changed.Signal()
		return nil
	}
	b.unsaved = append(b.unsaved, k)
	b.unsavedSum += k.pending
	b.wake()
	return nil
}

func (b *buffer) awaitRoom(ctx context.Context, k *kept) error {
	if b.fits(k) {
		return nil
	}
	defer context.AfterFunc(ctx, func() {
		b.mu.Lock()
		defer b.mu.Unlock()
		b.room.Broadcast()
	})()
	defer func() { b.waiting = false }()
	for !b.fits(k) {
		if ctx.Err() != nil {
			return ctx.Err()
		}
		b.waiting = !b.bounded(k.size)
		b.room.Wait()
	}
	return nil
}

// fits tells whether an event can be kept now. A spool takes what comes while the source leaves its group.
func (b *buffer) fits(k *kept) bool {
	if b.spool != nil && b.leaving {
		return true
	}
	return b.bounded(k.size) && (b.unsavedSum == 0 || b.unsavedSum+k.pending <= maxPending)
}

// bounded tells whether an event of that size is within the bounds. A larger one is kept alone.
func (b *buffer) bounded(size int64) bool {
	return b.totals.events == 0 || b.totals.events < b.maxEvents && b.totals.bytes+size <= b.maxBytes
}

// next returns the event to send next, and waits until there is one. It returns nil when the context has ended, when the buffer has
// stopped and nothing is left, and after a failure of the spool.
func (b *buffer) next(ctx context.Context) *kept {
	for {
		k := b.pick(ctx)
		if k == nil || k.loaded() {
			return k
		}
		switch err := b.load(k); {
		case errors.Is(err, errUnavailable):
			b.again(k, rewrite)
		case err != nil:
			b.fail(err)
			return nil
		case b.setsAside(k):
			b.release(k, false)
		default:
			return k
		}
	}
}

func (b *buffer) pick(ctx context.Context) *kept {
	b.mu.Lock()
	defer b.mu.Unlock()
	for ctx.Err() == nil && b.failure == nil && !b.isDrained() {
		now := time.Now()
		k, at := b.choose(now)
		if k != nil {
			b.inFlight++
			if k.secondary {
				b.changed.Signal() // there may be others whose time has come
			}
			return k
		}
		if allowed, _ := b.sink.allows(now); allowed && b.unread > 0 && !b.reading && !b.stopped {
			b.read()
			continue
		}
		b.wakeUp(at)
		b.changed.Wait()
	}
	return nil
}

// serve tells how many goroutines call next, and makes it return when the context ends.
func (b *buffer) serve(ctx context.Context, workers int) (stop func() bool) {
	b.mu.Lock()
	b.workers = workers
	b.mu.Unlock()
	return context.AfterFunc(ctx, func() {
		b.mu.Lock()
		defer b.mu.Unlock()
		b.changed.Broadcast()
	})
}

// wakeUp makes one goroutine look again at a time.
func (b *buffer) wakeUp(at time.Time) {
	if at.IsZero() || !b.wakeAt.IsZero() && !at.Before(b.wakeAt) {
		return
	}
	b.wakeAt = at
	time.AfterFunc(time.Until(at), func() {
		b.mu.Lock()
		defer b.mu.Unlock()
		if b.wakeAt.Equal(at) {
			b.wakeAt = time.Time{}
		}
		b.changed.Signal()
	})
}

// again keeps an event that was not taken, for another attempt after a while.
func (b *buffer) again(k *kept, wait time.Duration) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.returned(k)
	if b.stopped && k.spooled {
		b.checkDrained() // it stays on disk
		return
	}
	b.queue.wait(k, time.Now().Add(wait))
	b.changed.Signal()
}

// release forgets an event that has found its place of rest, be it the sink.
func (b *buffer) release(k *kept, taken bool) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.returned(k)
	b.budget.rested(k, taken)
	b.queue.done(k)
	b.totals.events, b.totals.bytes = b.totals.events-1, b.totals.bytes-k.size
	switch {
	case b.spool == nil:
		b.unlink(k)
	case k.spooled:
		b.forget(k)
	default: // it was handed out since the disk did not take it
		b.unsaved = slices.DeleteFunc(b.unsaved, func(other *kept) bool { return other == k })
		b.unsavedSum -= k.pending
		k.released = true
	}
	b.room.Signal()
	b.changed.Signal()
	if b.stopped {
		b.checkDrained()
	}
}

// leave says that the source leaves its group.
func (b *buffer) leave() {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.leaving = true
	b.room.Broadcast()
}

// stop says that nothing will be put any more. With a spool nothing more is handed out, but what the spool did not take. It returns
// a channel that is closed when all that is handed out has been released.
func (b *buffer) stop() <-chan struct{} {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.stopped = true
	if b.spool != nil {
		b.queue = newQueue(b.queue.ordering)
		for _, k := range b.unsaved {
			k.out = true
			b.queue.add(k)
		}
		b.changed.Broadcast()
	}
	b.checkDrained()
	return b.drained
}

func (b *buffer) checkDrained() {
	left := b.totals.events
	if b.spool != nil {
		left = b.inFlight + int64(b.queue.len())
	}
	if left == 0 && !b.isDrained() {
		close(b.drained)
		b.changed.Broadcast()
	}
}

func (b *buffer) isDrained() bool {
	select {
	case <-b.drained:
		return true
	default:
		return false
	}
}

// fail ends the handing out of events.
func (b *buffer) fail(err error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.failLocked(err)
}

func (b *buffer) failLocked(err error) {
	if b.failure == nil {
		b.failure = err
	}
	b.changed.Broadcast()
}

// status is what a buffer tells of itself.
type status struct {
	totals   totals
	oldest   time.Time // zero without an event
	inFlight int64
	full     bool  // an event waits for room
	writing  error // why the spool takes nothing, if so
	failure  error
	unsaved  int64
	aside    int64
	// forgotten counts events that have been delivered, and that the spool still has.
	forgotten int64
}

func (b *buffer) status() status {
	b.mu.Lock()
	defer b.mu.Unlock()
	s := status{
		totals: b.totals, inFlight: b.inFlight, full: b.waiting, writing: b.writing, failure: b.failure, unsaved: int64(len(b.unsaved)),
		aside: b.aside, forgotten: int64(len(b.forgotten)),
	}
	if b.spool != nil && s.writing == nil {
		s.writing = b.spool.hangs()
	}
	switch {
	case b.oldest != nil:
		s.oldest = b.oldest.received
	case b.spool != nil && b.totals.events > 0:
		if s.oldest = b.spool.oldest(); s.oldest.IsZero() && len(b.unsaved) > 0 {
			s.oldest = b.unsaved[0].received
		}
	}
	return s
}

// link and unlink keep the list of the events in memory.
func (b *buffer) link(k *kept) {
	k.older = b.newest
	if k.older == nil {
		b.oldest = k
	} else {
		k.older.newer = k
	}
	b.newest = k
}

func (b *buffer) unlink(k *kept) {
	if k.older == nil {
		b.oldest = k.newer
	} else {
		k.older.newer = k.newer
	}
	if k.newer == nil {
		b.newest = k.older
	} else {
		k.newer.older = k.older
	}
	k.older, k.newer = nil, nil
}
