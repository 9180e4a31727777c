package dispatch

import (
	"slices"
	"time"
)

// queue decides which of a lane's events is sent next. It belongs to a dispatcher, which guards it.
type queue struct {
	ordering Ordering
	fresh    fifo[*item] // in the order of reception, and never tried
	bytes    int64       // of fresh
	freed    fifo[*item]
	// busy holds the keys of the events that are being sent, or wait to be sent again, with those that have to wait for them.
	busy     map[uint64]*fifo[waiting]
	retries  schedule // to be sent again
	givenUps schedule // for the place of dead letters
}

// waiting is an event that waits for another one with its key. Of one that is on disk only the number stays in memory.
type waiting struct {
	seq  uint64
	item *item
}

func newQueue(ordering Ordering) queue {
	return queue{ordering: ordering, busy: map[uint64]*fifo[waiting]{}}
}

// add adds an event that has not been tried.
func (q *queue) add(it *item) {
	q.fresh.push(it)
	q.bytes += it.size
}

// nextFresh returns an event that has not been tried and whose key is free, and makes its key busy.
func (q *queue) nextFresh() *item {
	if q.freed.len() > 0 {
		return q.freed.pop()
	}
	for q.fresh.len() > 0 {
		it := q.fresh.pop()
		q.bytes -= it.size
		if q.ordering == Unordered {
			return it
		}
		behind, busy := q.busy[q.key(it)]
		if !busy {
			q.busy[q.key(it)] = &fifo[waiting]{}
			return it
		}
		w := waiting{seq: it.seq, item: it}
		if it.saved {
			w.item = nil
		}
		behind.push(w)
	}
	return nil
}

// wait keeps an event for another attempt at a time, and its key with it.
func (q *queue) wait(it *item, until time.Time) {
	it.due = until
	if it.saved {
		it.unload()
	}
	if it.givenUp != nil {
		q.givenUps.add(it)
	} else {
		q.retries.add(it)
	}
}

// len counts the events, but for those that wait for another one with their key.
func (q *queue) len() int { return q.fresh.len() + q.freed.len() + len(q.retries) + len(q.givenUps) }

// done frees the key of an event that has found its place of rest.
func (q *queue) done(it *item) {
	if q.ordering == Unordered {
		return
	}
	switch behind, ok := q.busy[q.key(it)]; {
	case !ok: // it is an event of before the dispatcher stopped
	case behind.len() == 0:
		delete(q.busy, q.key(it))
	default:
		w := behind.pop()
		if w.item == nil {
			w.item = &item{lane: it.lane, seq: w.seq, key: it.key, saved: true}
		}
		q.freed.push(w.item)
	}
}

// key returns what events have to have in common to be sent one after the other.
func (q *queue) key(it *item) uint64 {
	if q.ordering == Strict {
		return 0
	}
	return it.key
}

// schedule holds events until they are due. The one that is due first is the last.
type schedule []*item

func (s *schedule) add(it *item) {
	i, _ := slices.BinarySearchFunc(*s, it, func(a, b *item) int { return b.due.Compare(a.due) })
	*s = slices.Insert(*s, i, it)
}

// next returns when the first event is due; the zero time where there is none.
func (s schedule) next() time.Time {
	if len(s) == 0 {
		return time.Time{}
	}
	return s[len(s)-1].due
}

// pop returns the event that is due first.
func (s *schedule) pop() *item {
	last := len(*s) - 1
	it := (*s)[last]
	*s = slices.Delete(*s, last, last+1)
	return it
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
