package dispatch

import (
	"context"
	"slices"
	"time"
)

// reload is the wait before what is on disk is read again that could not be read.
const reload = time.Second

// hire adds a worker, where all are busy and there may be more. The lock is held.
func (d *Dispatcher) hire(ctx context.Context) {
	if d.idle > 0 || d.hired >= d.options.Workers {
		return
	}
	d.hired++
	d.workers.Go(func() {
		for it := d.next(ctx); it != nil; it = d.next(ctx) {
			it.lane.deliver(ctx, it)
		}
	})
}

// next returns the event to send next, and waits until there is one. It returns nil when the context has ended, and when the dispatcher
// has stopped and nothing is left.
func (d *Dispatcher) next(ctx context.Context) *item {
	for {
		it, lane := d.pick(ctx)
		switch {
		case lane != nil:
			d.store.refill(lane)
		case it == nil, it.loaded():
			return it
		case d.store.load(it) != nil:
			d.with(func() { d.again(it, reload) })
		case it.lane.isClosed():
			d.with(func() { d.release(it, false) })
		default:
			return it
		}
	}
}

// with calls a function that needs the lock.
func (d *Dispatcher) with(f func()) {
	d.mu.Lock()
	defer d.mu.Unlock()
	f()
}

// pick returns an item to send, or a lane of which there is more on disk, and waits until there is one. It returns neither at the end.
func (d *Dispatcher) pick(ctx context.Context) (*item, *Lane) {
	d.mu.Lock()
	defer d.mu.Unlock()
	for ctx.Err() == nil && !d.isDrained() {
		it, lane, again := d.choose(time.Now())
		if it != nil {
			it.inFlight = true
			d.inFlight++
			it.lane.inFlight++
			if it.secondary || len(d.active) > 1 {
				d.changed.Signal() // there may be others whose time has come
			}
		}
		if it != nil || lane != nil {
			d.hire(ctx)
			return it, lane
		}
		d.wakeUp(again)
		d.idle++
		d.changed.Wait()
		d.idle--
	}
	return nil, nil
}

// choose asks the lanes in turn. Without an item it returns when to ask again, or the zero time.
func (d *Dispatcher) choose(now time.Time) (it *item, lane *Lane, again time.Time) {
	for asked := 0; asked < len(d.active); {
		d.turn %= len(d.active)
		l := d.active[d.turn]
		it, at := l.choose(now)
		if it != nil {
			d.turn++
			return it, nil, time.Time{}
		}
		if l.readsMore(now) {
			return nil, l, time.Time{}
		}
		if at.IsZero() && l.inFlight == 0 && l.idle() {
			l.active = false
			d.active = slices.Delete(d.active, d.turn, d.turn+1)
			continue
		}
		again = earlier(again, at)
		d.turn++
		asked++
	}
	return nil, nil, again
}

// readsMore tells whether a lane needs more of what it has on disk, which nobody reads already: what it has in memory is under way, or waits.
func (l *Lane) readsMore(now time.Time) bool {
	allowed, _ := l.sink.allows(now)
	return allowed && !l.dispatcher.stopped && !l.options().Paused && l.queue.fresh.len() == 0 && l.stored.begin()
}

// idle tells whether a lane has nothing to send.
func (l *Lane) idle() bool { return l.queue.len() == 0 && l.stored.unread == 0 }

// wakeUp makes one goroutine look again at a time.
func (d *Dispatcher) wakeUp(at time.Time) {
	if at.IsZero() || !d.wakeAt.IsZero() && !at.Before(d.wakeAt) {
		return
	}
	d.wakeAt = at
	time.AfterFunc(time.Until(at), func() {
		d.with(func() {
			if d.wakeAt.Equal(at) {
				d.wakeAt = time.Time{}
			}
			d.changed.Signal()
		})
	})
}

// Drain ends the dispatcher: nothing is put any more. In memory it delivers what there is, on disk what is not there yet, and what is in
// flight, until the context ends. What is left is lost, or stays on disk; Status tells how much. Requests that do not end with their
// context hold it up, and so does a disk that does not answer: Status tells which.
func (d *Dispatcher) Drain(ctx context.Context) {
	d.reach("writing the spool")
	d.store.flush(ctx)
	d.reach("delivering")
	d.stop()
	select {
	case <-d.drained:
	case <-ctx.Done():
	}
	d.abandon()
	d.reach("a request to the sink")
	d.workers.Wait()
	d.reach("writing the spool")
	d.store.finish(ctx)
	d.reach("")
}

func (d *Dispatcher) reach(stage string) { d.with(func() { d.stage = stage }) }

// stop hands out no more than what is left in memory alone.
func (d *Dispatcher) stop() {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.stopped = true
	for _, l := range d.lanes {
		d.store.stop(l)
	}
	d.changed.Broadcast()
	d.checkDrained()
}

func (d *Dispatcher) checkDrained() {
	left := d.inFlight
	for _, l := range d.lanes {
		left += int64(l.queue.len())
	}
	if left == 0 && !d.isDrained() {
		close(d.drained)
		d.changed.Broadcast()
	}
}

func (d *Dispatcher) isDrained() bool {
	select {
	case <-d.drained:
		return true
	default:
		return false
	}
}
