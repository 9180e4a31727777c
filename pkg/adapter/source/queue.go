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
	lanes   map[uint64]*fifo[waiting]
	retries []*kept // the one whose time comes first is the last
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

// next returns the event to send next. Without one it returns when to ask again, or the zero time. Events that have not been tried
// come before retries where freshFirst is set.
func (q *queue) next(now time.Time, freshFirst bool) (*kept, time.Time) {
	if freshFirst {
		if k := q.nextFresh(); k != nil {
			return k, time.Time{}
		}
	}
	n := len(q.retries)
	if n > 0 && !q.retries[n-1].due.After(now) {
		k := q.retries[n-1]
		q.retries = slices.Delete(q.retries, n-1, n)
		return k, time.Time{}
	}
	if k := q.nextFresh(); k != nil {
		return k, time.Time{}
	}
	if n > 0 {
		return nil, q.retries[n-1].due
	}
	return nil, time.Time{}
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

// retry keeps an event that was not taken for another attempt, and its key with it.
func (q *queue) retry(k *kept, at time.Time) {
	k.due = at
	if k.spooled {
		k.unload()
	}
	i, _ := slices.BinarySearchFunc(q.retries, k, func(a, b *kept) int { return b.due.Compare(a.due) })
	q.retries = slices.Insert(q.retries, i, k)
}

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
