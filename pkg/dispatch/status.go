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

// kept returns how many events are kept for each lane, by its label.
func (d *Dispatcher) kept() map[string]int64 {
	d.mu.Lock()
	defer d.mu.Unlock()
	events := make(map[string]int64, len(d.lanes))
	for _, l := range d.lanes {
		events[l.options().Label] += l.events
	}
	return events
}

// Available tells whether all destinations answer.
func (d *Dispatcher) Available() bool {
	d.mu.Lock()
	defer d.mu.Unlock()
	return !slices.ContainsFunc(d.lanes, func(l *Lane) bool { return !l.Available() })
}
