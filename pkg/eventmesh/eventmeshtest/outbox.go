package eventmeshtest

import (
	"context"
	"sync"
)

// outbox is a queue without a limit, since EventMesh has no push window: it never keeps its filler waiting.
type outbox[T any] struct {
	mu     sync.Mutex
	items  []T
	closed bool
	ready  chan struct{}
}

func newOutbox[T any]() *outbox[T] { return &outbox[T]{ready: make(chan struct{}, 1)} }

// put appends, and reports false when the outbox is closed.
func (o *outbox[T]) put(v T) bool {
	o.mu.Lock()
	defer o.mu.Unlock()
	if o.closed {
		return false
	}
	o.items = append(o.items, v)
	o.wake()
	return true
}

// close ends the outbox; what is in it can still be taken.
func (o *outbox[T]) close() {
	o.mu.Lock()
	defer o.mu.Unlock()
	o.closed = true
	o.wake()
}

func (o *outbox[T]) wake() {
	select {
	case o.ready <- struct{}{}:
	default:
	}
}

// take waits for the next item; false says that there will be none.
func (o *outbox[T]) take(ctx context.Context) (T, bool) {
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

func (o *outbox[T]) next() (v T, ok, closed bool) {
	o.mu.Lock()
	defer o.mu.Unlock()
	if len(o.items) == 0 {
		return v, false, o.closed
	}
	v = o.items[0]
	o.items = o.items[1:]
	return v, true, o.closed
}

// drain closes the outbox and returns what nobody will take.
func (o *outbox[T]) drain() []T {
	o.mu.Lock()
	defer o.mu.Unlock()
	o.closed = true
	left := o.items
	o.items = nil
	o.wake()
	return left
}
