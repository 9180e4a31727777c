package dispatch

import (
	"slices"
	"time"
)

// Status is what a dispatcher tells of itself.
type Status struct {
	// Events and Bytes are kept, as the bounds count them.
	Events, Bytes int64
	// Oldest is when the oldest event was received that is kept; zero without one.
	Oldest time.Time
	// InFlight counts requests that have no answer yet.
	InFlight int64
	// Full says that a message waits for room.
	Full bool
	// Writing is why the disk accepts nothing, if so.
	Writing error
	// Unsaved counts messages that are not on disk yet, where there is one, Unremoved the events that have found their place of rest and
	// are still there, and Aside those that are set aside there since their records cannot be read.
	Unsaved, Unremoved, Aside int64
	// Stage is what Drain waits for.
	Stage string
}

// Status returns the present one.
func (d *Dispatcher) Status() Status {
	d.mu.Lock()
	defer d.mu.Unlock()
	s := Status{Events: d.events, Bytes: d.bytes, InFlight: d.inFlight, Full: d.waiting > 0, Stage: d.stage}
	d.store.status(&s)
	return s
}

func (s *Disk) status(status *Status) {
	status.Writing = s.writing
	if status.Writing == nil {
		status.Writing = s.journal.Hangs()
	}
	status.Unsaved, status.Unremoved, status.Aside = int64(len(s.unsaved)), int64(len(s.done)), 0
	for _, l := range s.dispatcher.lanes {
		status.Aside += l.stored.aside
		status.Oldest = earlier(status.Oldest, s.oldest(l))
	}
	if len(s.unsaved) > 0 {
		status.Oldest = earlier(status.Oldest, s.unsaved[0].Received)
	}
	if status.Events == 0 {
		status.Oldest = time.Time{}
	}
}

// oldest knows events that are on disk alone: the others have just come, or status says that the disk cannot be written.
func (s *Disk) oldest(l *Lane) time.Time { return s.journal.Contents(l.stored.reader).Oldest }

// laneState is what metrics show of a lane, or of several together.
type laneState struct {
	events int64
	filled float64   // how much is kept of what may be, where it is most; 1: more would wait
	oldest time.Time // when the oldest event was received; zero without one
	away   bool      // the destination does not answer, by the last attempt
}

// with returns the state of both together.
func (s laneState) with(o laneState) laneState {
	return laneState{s.events + o.events, max(s.filled, o.filled), earlier(s.oldest, o.oldest), s.away || o.away}
}

// states returns those of the lanes, by their labels.
func (d *Dispatcher) states() map[string]laneState {
	d.mu.Lock()
	defer d.mu.Unlock()
	states := make(map[string]laneState, len(d.lanes))
	for _, l := range d.lanes {
		s := laneState{events: l.events, away: !l.Available()}
		if !l.overflow { // which is a part of the one that it is beside
			s.filled = l.filled()
		}
		if l.events > 0 {
			s.oldest = d.store.oldest(l)
		}
		label := l.options().Label
		states[label] = states[label].with(s)
	}
	return states
}

// Available tells whether all destinations answer.
func (d *Dispatcher) Available() bool {
	d.mu.Lock()
	defer d.mu.Unlock()
	return !slices.ContainsFunc(d.lanes, func(l *Lane) bool { return !l.Available() })
}
