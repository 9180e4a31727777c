package source

import (
	"slices"
	"time"
)

// queue decides which of the kept events is sent next. It belongs to a buffer, which guards it.
type queue struct {
	ordering Ordering
	fresh    fifo[*kept] // in the order of reception, and never tried
	bytes    int64       // of fresh
	freed    fifo[*kept]
	// lanes holds the keys of the events that are being sent, or wait to be sent again, with those that have to wait for them.
	lanes    map[uint64]*fifo[waiting]
	retries  schedule // to be sent again
	givenUps schedule // for the place of dead letters
}

// waiting is an event that waits for another one with its key. Of one that is on disk only the number stays in memory.
type waiting struct {
	seq   uint64
	event *kept
}

func newQueue(ordering Ordering) queue {
	return queue{ordering: ordering, lanes: map[uint64]*fifo[waiting]{}}
}

// add adds an event that has not been tried.
func (q *queue) add(k *kept) {
	q.fresh.push(k)
	q.bytes += k.size
}

// nextFresh returns an event that has not been tried and whose key is free, and takes its key.
func (q *queue) nextFresh() *kept {
	if q.freed.len() > 0 {
		return q.freed.pop()
	}
	for q.fresh.len() > 0 {
		k := q.fresh.pop()
		q.bytes -= k.size
		if q.ordering == Unordered {
			return k
		}
		lane, busy := q.lanes[q.key(k)]
		if !busy {
			q.lanes[q.key(k)] = &fifo[waiting]{}
			return k
		}
		w := waiting{seq: k.seq, event: k}
		if k.spooled {
			w.event = nil
		}
		lane.push(w)
	}
	return nil
}

// wait keeps an event for another attempt at a time, and its key with it.
func (q *queue) wait(k *kept, until time.Time) {
	k.due = until
	if k.spooled {
		k.unload()
	}
	if k.givenUp != nil {
		q.givenUps.add(k)
	} else {
		q.retries.add(k)
	}
}

// len counts the events, but for those that wait for another one with their key.
func (q *queue) len() int { return q.fresh.len() + q.freed.len() + len(q.retries) + len(q.givenUps) }

// done frees the key of an event that has found its place of rest.
func (q *queue) done(k *kept) {
	if q.ordering == Unordered {
		return
	}
	switch lane, ok := q.lanes[q.key(k)]; {
	case !ok: // it is an event of before the buffer stopped
	case lane.len() == 0:
		delete(q.lanes, q.key(k))
	default:
		w := lane.pop()
		if w.event == nil {
			w.event = &kept{seq: w.seq, key: k.key, spooled: true}
		}
		q.freed.push(w.event)
	}
}

// key returns what events have to have in common to be sent one after the other.
func (q *queue) key(k *kept) uint64 {
	if q.ordering == Strict {
		return 0
	}
	return k.key
}

// schedule holds events until they are due. The one that is due first is the last.
type schedule []*kept

func (s *schedule) add(k *kept) {
	i, _ := slices.BinarySearchFunc(*s, k, func(a, b *kept) int { return b.due.Compare(a.due) })
	*s = slices.Insert(*s, i, k)
}

// next returns when the first event is due; the zero time where there is none.
func (s schedule) next() time.Time {
	if len(s) == 0 {
		return time.Time{}
	}
	return s[len(s)-1].due
}

// pop returns the event that is due first.
func (s *schedule) pop() *kept {
	last := len(*s) - 1
	k := (*s)[last]
	*s = slices.Delete(*s, last, last+1)
	return k
}

// fifo is a queue of values. The zero value is empty.
type fifo[T any] struct {
	items []T
	head  int
}

func (f *fifo[T]) len() int { return len(f.items) - f.head }

func (f *fifo[T]) push(v T) { f.items = append(f.items, v) }

func (f *fifo[T]) pop() T {
	var none T
	v := f.items[f.head]
	f.items[f.head] = none
	f.head++
	if f.head > len(f.items)/2 {
		f.items = slices.Delete(f.items, 0, f.head)
		f.head = 0
	}
	return v
}
