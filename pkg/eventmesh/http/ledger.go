package http

import (
	"context"
	"slices"
	"sync"
	"time"
)

const (
	// firstWindow is how many deliveries may be under way of which EventMesh wants to hear, before it is known how long they take, and
	// maxWindow how many at most.
	firstWindow, maxWindow = 16, 1000
	// promptly is how long a delivery may take while more of them may be under way at once. EventMesh waits 30 s.
	promptly = 5 * time.Second
	// remembered is how many deliveries are known that have been dealt with. EventMesh may deliver those again whose acknowledgements were
	// late, or did not arrive.
	remembered = 4096
)

// ledger knows the deliveries of one client: those under way, of which EventMesh delivers again what it does not hear of for 30 s, and
// those dealt with lately. Its methods may be called by several goroutines.
type ledger struct {
	mu     sync.Mutex
	open   map[string]*entry   // by their keys
	done   map[string]struct{} // those dealt with
	order  []string            // of done, the oldest at next, once it is full
	next   int
	window int
	shrunk time.Time     // when the window became smaller
	fewer  chan struct{} // holds a value when there may be fewer under way than before
}

// entry is a delivery under way.
type entry struct {
	key string
	// ids are those of all deliveries that brought it.
	ids   []string
	since time.Time
}

func newLedger() *ledger {
	return &ledger{open: map[string]*entry{}, done: map[string]struct{}{}, window: firstWindow, fewer: make(chan struct{}, 1)}
}

// enter notes a delivery. It returns nil where it is under way already, or was dealt with, so that it has to be acknowledged alone.
func (l *ledger) enter(key, id string) (e *entry, done bool) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if _, done = l.done[key]; done {
		return nil, true
	}
	if e := l.open[key]; e != nil {
		if !slices.Contains(e.ids, id) {
			e.ids = append(e.ids, id)
		}
		return nil, false
	}
	e = &entry{key: key, ids: []string{id}, since: time.Now()}
	l.open[key] = e
	return e, false
}

// leave ends a delivery, and returns the IDs to acknowledge: none the second time. With again it may come another time.
func (l *ledger) leave(e *entry, again bool) []string {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.open[e.key] != e {
		return nil
	}
	delete(l.open, e.key)
	if !again {
		l.remember(e.key)
	}
	if took := time.Since(e.since); took < promptly {
		l.window = min(l.window+1, maxWindow)
	} else {
		l.shrink()
	}
	select {
	case l.fewer <- struct{}{}:
	default:
	}
	return e.ids
}

func (l *ledger) remember(key string) {
	if len(l.order) < remembered {
		l.order = append(l.order, key)
	} else {
		delete(l.done, l.order[l.next])
		l.order[l.next] = key
		l.next = (l.next + 1) % remembered
	}
	l.done[key] = struct{}{}
}

// shrink halves the window, once for what was under way at a time.
func (l *ledger) shrink() {
	if time.Since(l.shrunk) >= promptly {
		l.window = max(l.window/2, 1)
		l.shrunk = time.Now()
	}
}

// room returns how many deliveries may come besides those under way; less than 1 for none.
func (l *ledger) room() int {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.window - len(l.open)
}

// late notes that what is under way takes long.
func (l *ledger) late() {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.shrink()
}

// underWay returns how many there are.
func (l *ledger) underWay() int {
	l.mu.Lock()
	defer l.mu.Unlock()
	return len(l.open)
}

// awaitNone waits until none is under way, and returns false when the context ends before, or the other thing does. One goroutine at a time
// waits.
func (l *ledger) awaitNone(ctx context.Context, ends <-chan struct{}) bool {
	for l.underWay() > 0 {
		select {
		case <-l.fewer:
		case <-ends:
			return false
		case <-ctx.Done():
			return false
		}
	}
	return true
}
