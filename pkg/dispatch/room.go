package dispatch

import "context"

// awaitRoom waits until there is room for a message, also in each of its lanes.
func (d *Dispatcher) awaitRoom(ctx context.Context, m *Message, lanes []*Lane) error {
	if d.fits(m, lanes) {
		return nil
	}
	defer context.AfterFunc(ctx, func() {
		d.mu.Lock()
		defer d.mu.Unlock()
		d.room.Broadcast()
	})()
	for !d.fits(m, lanes) {
		if ctx.Err() != nil {
			return ctx.Err()
		}
		full := !d.bounded(m, lanes)
		if full {
			d.waiting++
		}
		d.room.Wait()
		if full {
			d.waiting--
		}
	}
	return nil
}

func (d *Dispatcher) fits(m *Message, lanes []*Lane) bool {
	return len(lanes) == 0 || d.unbounded || d.bounded(m, lanes) && d.store.admits(m)
}

// bounded tells whether a message is within the bounds.
func (d *Dispatcher) bounded(m *Message, lanes []*Lane) bool {
	n := int64(len(lanes))
	if !within(d.events, d.bytes, n, n*m.size, d.options.MaxEvents, d.options.MaxBytes) {
		return false
	}
	for _, l := range lanes {
		if !l.isClosed() && !l.keeper(m.size).admits(m.size) {
			return false
		}
	}
	return true
}

// admits tells whether there is room for one more event of a size.
func (l *Lane) admits(size int64) bool {
	o := l.options()
	return within(l.events, l.bytes, 1, size, o.MaxEvents, o.MaxBytes)
}

// Full tells whether the lane has no room for another event, and whether that would wait, instead of being given up.
func (l *Lane) Full() (full, waits bool) {
	l.dispatcher.mu.Lock()
	defer l.dispatcher.mu.Unlock()
	return !l.admits(overhead), !l.keeper(overhead).admits(overhead)
}

// filled is how much is kept of what may be, in the lane and, where it overflows, beside it: 1 when another event would wait.
func (l *Lane) filled() float64 {
	if l.overflows() {
		return (l.share() + l.beside.share()) / 2
	}
	return l.share()
}

// share is how much is kept of what may be in this lane alone, by events or bytes, whichever is more.
func (l *Lane) share() float64 {
	if !l.admits(overhead) {
		return 1
	}
	o, share := l.options(), 0.0
	if o.MaxEvents > 0 {
		share = float64(l.events) / float64(o.MaxEvents)
	}
	if o.MaxBytes > 0 {
		share = max(share, float64(l.bytes)/float64(o.MaxBytes))
	}
	return share
}

// within tells whether events can be kept besides those that are. 0 is no bound, and what is larger is kept alone.
func within(events, bytes, more, moreBytes, maxEvents, maxBytes int64) bool {
	return events == 0 || (maxEvents == 0 || events+more <= maxEvents) && (maxBytes == 0 || bytes+moreBytes <= maxBytes)
}

// Unbound lets Put keep whatever comes, where that is on disk: for the time in which a program ends what it receives.
func (d *Dispatcher) Unbound() {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.unbounded = d.options.Disk != nil
	d.room.Broadcast()
}
