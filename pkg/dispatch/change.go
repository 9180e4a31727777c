package dispatch

import (
	"fmt"
	"slices"

	"github.com/eventing-eventmesh/eventing-eventmesh/pkg/dispatch/internal/journal"
)

// Update changes where events of the lane go, and how, from the next attempt on, but for its name, its label and the order of events.
func (l *Lane) Update(o LaneOptions) {
	d := l.dispatcher
	d.mu.Lock()
	defer d.mu.Unlock()
	l.update(o)
	switch {
	case l.beside != nil:
		l.beside.update(l.options().beside())
	case o.Overflow && !l.isClosed():
		l.openBeside()
	}
	d.changed.Broadcast()
	d.room.Broadcast()
}

func (l *Lane) update(o LaneOptions) {
	o.Name, o.Label, o.Ordering = l.options().Name, l.options().Label, l.options().Ordering
	o = o.withDefaults(l.dispatcher)
	l.current.Store(&o)
	*l.sink, *l.dead = circuit{backoff: o.Backoff}, circuit{backoff: o.DeadLetterBackoff} // nothing is known of what may be elsewhere
}

// Close ends a lane, and forgets what is kept for it: how many events it returns. Requests that are under way are not waited for, and
// whatever comes of them changes nothing. Another lane
// may have the name from then on, and has nothing of this one.
func (l *Lane) Close() (left int64) {
	d := l.dispatcher
	var safe []*Message
	d.with(func() {
		if l.isClosed() {
			return
		}
		left, safe = l.close()
		if l.beside != nil {
			more, others := l.beside.close()
			left, safe = left+more, append(safe, others...)
		}
		d.room.Broadcast()
		d.changed.Broadcast()
		if d.stopped {
			d.checkDrained()
		}
	})
	if len(safe) > 0 {
		d.options.Acknowledge(safe)
	}
	return left
}

func (l *Lane) close() (left int64, safe []*Message) {
	d := l.dispatcher
	l.closed.Store(true)
	d.lanes = slices.DeleteFunc(d.lanes, func(other *Lane) bool { return other == l })
	d.active = slices.DeleteFunc(d.active, func(other *Lane) bool { return other == l })
	safe = d.store.detach(l)
	d.events, d.bytes = d.events-l.events, d.bytes-l.bytes
	l.queue = newQueue(l.options().Ordering)
	l.stored.unread = 0
	return l.events, safe
}

func (s *Disk) detach(l *Lane) (safe []*Message) {
	for _, m := range slices.Clone(s.unsaved) {
		for it := range m.waitingFor(l) {
			if s.unneeded(it) != nil {
				safe = append(safe, m)
			}
		}
	}
	s.dropped = append(s.dropped, drop{l.stored.reader, s.dispatcher.sequence})
	s.wake()
	return safe
}

func (s *Disk) sweep() (events int64) {
	known := []journal.Reader{journal.ReaderOf(boltFile)}
	for _, dropped := range s.dropped {
		known = append(known, dropped.reader)
	}
	for _, l := range s.dispatcher.lanes {
		known = append(known, l.stored.reader)
	}
	for _, reader := range s.journal.Readers() {
		if !slices.Contains(known, reader) {
			events += s.journal.Contents(reader).Events
			s.dropped = append(s.dropped, drop{reader, s.dispatcher.sequence})
		}
	}
	s.wake()
	return events
}

// drop removes all that is kept for lanes that are closed, and tells whether it could.
func (s *Disk) drop() bool {
	var dropped []drop
	s.dispatcher.with(func() { dropped = slices.Clone(s.dropped) })
	for _, one := range dropped {
		if err := s.journal.Drop(one.reader, one.upTo); err != nil {
			s.fail(fmt.Errorf("writing %s: %w", s.dir, err))
			return false
		}
		s.dispatcher.with(func() { s.dropped = s.dropped[1:] })
	}
	return true
}
