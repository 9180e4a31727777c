package source

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/cloudevents/sdk-go/v2/event"
)

// sized is an event that takes so many bytes of a buffer.
func sized(id string, bytes int) *kept {
	e := event.New()
	e.SetID(id)
	e.DataEncoded = make([]byte, bytes-overhead)
	return &kept{event: e}
}

const kib = 1024

func TestBufferIsBounded(t *testing.T) {
	tests := []struct {
		name   string
		events int
		bytes  int64
		sizes  []int // of the events that find room
		more   int   // the size of one that does not
	}{
		{"one event", 1, 100 * kib, []int{kib}, kib},
		{"by events", 3, 100 * kib, []int{kib, 2 * kib, kib}, kib},
		{"by bytes", 100, 10 * kib, []int{4 * kib, 5 * kib}, 2 * kib},
		{"by bytes to the last", 100, 10 * kib, []int{4 * kib, 6 * kib}, kib},
		{"a larger event is kept alone", 100, 10 * kib, []int{50 * kib}, kib},
		{"a larger event waits to be alone", 100, 10 * kib, []int{kib}, 50 * kib},
		{"smaller than one event's attributes", 100, 1, []int{kib}, kib},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				b := newBuffer(test.events, test.bytes)
				for i, size := range test.sizes {
					if err := b.put(t.Context(), sized(fmt.Sprint(i), size)); err != nil {
						t.Fatal(err)
					}
					if b.full() {
						t.Errorf("full with %d events, though none waits", i+1)
					}
				}
				put := make(chan error, 1)
				go func() { put <- b.put(t.Context(), sized("more", test.more)) }()
				synctest.Wait()
				select {
				case err := <-put:
					t.Fatalf("put returned %v, want it to wait for room", err)
				default:
				}
				if !b.full() {
					t.Error("not full, though an event waits")
				}
				if got := b.count.Load(); got != int64(len(test.sizes)) {
					t.Errorf("got %d events kept, want %d", got, len(test.sizes))
				}
				for range test.sizes {
					b.release(<-b.ready)
				}
				if err := <-put; err != nil {
					t.Error(err)
				}
				if b.full() {
					t.Error("full, though no event waits any more")
				}
				if k := <-b.ready; k.event.ID() != "more" || b.count.Load() != 1 {
					t.Errorf("got event %s of %d, want more of 1", k.event.ID(), b.count.Load())
				}
			})
		})
	}
}

func TestPutEndsWithItsContext(t *testing.T) {
	tests := []struct {
		name   string
		events int
		bytes  int64
	}{
		{"no room for events", 1, 100 * kib},
		{"no room for bytes", 2, 2 * kib},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				b := newBuffer(test.events, test.bytes)
				first := sized("first", 2*kib)
				if err := b.put(t.Context(), first); err != nil {
					t.Fatal(err)
				}
				ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
				defer cancel()
				if err := b.put(ctx, sized("second", 2*kib)); !errors.Is(err, context.DeadlineExceeded) {
					t.Errorf("got %v, want the context's error", err)
				}
				if b.full() || b.count.Load() != 1 || len(b.ready) != 1 {
					t.Errorf("full %t, %d events, %d ready; want nothing left of the second", b.full(), b.count.Load(), len(b.ready))
				}
				b.release(<-b.ready)
				for range test.events {
					if err := b.put(t.Context(), sized("later", kib)); err != nil || b.full() {
						t.Errorf("the second took room with it: %v", err)
					}
				}
			})
		})
	}
}

func TestLater(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newBuffer(2, 100*kib)
		if err := b.put(t.Context(), sized("a", kib)); err != nil {
			t.Fatal(err)
		}
		began := time.Now()
		b.later(<-b.ready, time.Minute)
		if b.count.Load() != 1 {
			t.Errorf("got %d events, want it kept meanwhile", b.count.Load())
		}
		if k := <-b.ready; k.event.ID() != "a" || time.Since(began) != time.Minute {
			t.Errorf("got %s after %s, want a after a minute", k.event.ID(), time.Since(began))
		}
	})
}

func TestClose(t *testing.T) {
	drained := func(c <-chan struct{}) bool {
		select {
		case <-c:
			return true
		default:
			return false
		}
	}
	empty := newBuffer(1, kib)
	if c := empty.close(); !drained(c) || !drained(empty.close()) {
		t.Error("an empty buffer is not drained")
	}
	b := newBuffer(2, 100*kib)
	for _, id := range []string{"a", "b"} {
		if err := b.put(t.Context(), sized(id, kib)); err != nil {
			t.Fatal(err)
		}
	}
	c := b.close()
	for i := range 2 {
		if drained(c) {
			t.Errorf("drained with %d events kept", 2-i)
		}
		b.release(<-b.ready)
	}
	if !drained(c) {
		t.Error("not drained with no event kept")
	}
}

// TestBufferConcurrently lets one goroutine put and several release, as the source does.
func TestBufferConcurrently(t *testing.T) {
	seed := rand.Uint64()
	t.Logf("seed %d", seed)
	r := rand.New(rand.NewPCG(seed, 0))
	const n, maxEvents, maxBytes = 2000, 7, 20 * kib
	b := newBuffer(maxEvents, maxBytes)
	var workers sync.WaitGroup
	done := make(chan struct{})
	seen := make(chan string, n)
	for range 4 {
		workers.Go(func() {
			for {
				select {
				case k := <-b.ready:
					if k.attempts++; k.attempts == 1 && len(k.event.Data())%2 == 0 {
						b.later(k, time.Nanosecond)
						continue
					}
					if count := b.count.Load(); count > maxEvents {
						t.Errorf("%d events kept, want no more than %d", count, maxEvents)
					}
					seen <- k.event.ID()
					b.release(k)
				case <-done:
					return
				}
			}
		})
	}
	for i := range n {
		if err := b.put(t.Context(), sized(fmt.Sprint(i), kib+r.IntN(2*maxBytes))); err != nil {
			t.Fatal(err)
		}
	}
	<-b.close()
	close(done)
	workers.Wait()
	close(seen)
	ids := map[string]bool{}
	for id := range seen {
		ids[id] = true
	}
	if len(ids) != n {
		t.Errorf("got %d events out, want %d", len(ids), n)
	}
}
