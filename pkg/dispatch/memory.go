package dispatch

import (
	"context"
	"time"
)

// memory keeps messages in memory. A message is acknowledged when its last item has found its place of rest.
type memory struct {
	dispatcher  *Dispatcher
	first, last *Message // in the order of reception
}

func (*memory) attach(*Lane) {}

func (s *memory) detach(l *Lane) (safe []*Message) {
	for m := s.first; m != nil; {
		newer := m.newer
		for it := range m.waitingFor(l) {
			if s.rested(it) != nil {
				safe = append(safe, m)
			}
		}
		m = newer
	}
	return safe
}

func (*memory) sweep() int64 { return 0 }

func (*memory) prepare(*Message) error { return nil }

func (*memory) admits(*Message) bool { return true }

func (s *memory) put(m *Message) {
	m.older = s.last
	if m.older == nil {
		s.first = m
	} else {
		m.older.newer = m
	}
	s.last = m
	for i := range m.items {
		s.dispatcher.ready(&m.items[i])
	}
}

func (s *memory) rested(it *item) *Message {
	m := it.message
	it.rested = true
	if m.open--; m.open > 0 {
		return nil
	}
	if m.older == nil {
		s.first = m.newer
	} else {
		m.older.newer = m.newer
	}
	if m.newer == nil {
		s.last = m.older
	} else {
		m.newer.older = m.older
	}
	m.older, m.newer = nil, nil
	return m
}

func (s *memory) status(status *Status) {
	if s.first != nil {
		status.Oldest = s.first.Received
	}
}

func (s *memory) oldest(l *Lane) time.Time {
	for m := s.first; m != nil; m = m.newer {
		for i := range m.items {
			if it := &m.items[i]; it.lane == l && !it.rested {
				return m.Received
			}
		}
	}
	return time.Time{}
}

func (*memory) refill(*Lane) {}

func (*memory) load(*item) error { return nil }

func (*memory) stop(*Lane) {}

func (*memory) start(context.Context) {}

func (*memory) flush(context.Context) {}

func (*memory) finish(context.Context) {}
