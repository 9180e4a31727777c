// Package outbox queues what is sent to a client.
package outbox

import (
	"context"
	"sync"
)

// Outbox is a queue without a limit, since EventMesh has no push window: it never keeps its filler waiting. Its methods may be called from
// several goroutines.
type Outbox[T any] struct {
	mu     sync.Mutex
	items  []T
	closed bool
	ready  chan struct{}
}

// New returns an empty outbox.
func New[T any]() *Outbox[T] { return &Outbox[T]{ready: make(chan struct{}, 1)} }

// Put appends, and reports false when the outbox is closed.
func (o *Outbox[T]) Put(v T) bool {
	o.mu.Lock()
	defer o.mu.Unlock()
	if o.closed {
		return false
	}
	o.items = append(o.items, v)
	o.wake()
	return true
}

// Close ends the outbox; what is in it can still be taken.
func (o *Outbox[T]) Close() {
	o.mu.Lock()
	defer o.mu.Unlock()
	o.closed = true
	o.wake()
}

func (o *Outbox[T]) wake() {
	select {
	case o.ready <- struct{}{}:
	default:
	}
}

// Take waits for the next item; false says that there will be none.
func (o *Outbox[T]) Take(ctx context.Context) (T, bool) {
	for {
		if v, ok, closed := o.next(); ok || closed {
			return v, ok
		}
		select {
		case <-o.ready:
		case <-ctx.Done():
			var none T
			return none, false
		}
	}
}

func (o *Outbox[T]) next() (v T, ok, closed bool) {
	o.mu.Lock()
	defer o.mu.Unlock()
	if len(o.items) == 0 {
		return v, false, o.closed
	}
	v = o.items[0]
	o.items = o.items[1:]
	return v, true, o.closed
}

// Drain closes the outbox and returns what nobody will take.
func (o *Outbox[T]) Drain() []T {
	o.mu.Lock()
	defer o.mu.Unlock()
	o.closed = true
	left := o.items
	o.items = nil
	o.wake()
	return left
}
