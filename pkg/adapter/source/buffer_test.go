package source

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/cloudevents/sdk-go/v2/event"
	bolt "go.etcd.io/bbolt"
	"go.uber.org/zap"

	"github.com/eventing-eventmesh/eventing-eventmesh/pkg/eventmesh"
)

// kib is a unit that an event without data fits into.
const kib = 2048

// sized is an event that takes so many bytes of a buffer.
func sized(id string, bytes int) *kept {
	e := sample(id)
	e.DataEncoded = nil
	e.DataEncoded = make([]byte, bytes-int(sizeOf(&e)))
	return &kept{event: e, topic: "orders", received: time.Now(), delivery: &eventmesh.Delivery{}}
}

// inMemory is a buffer in memory.
func inMemory(t *testing.T, maxEvents, maxBytes int64) *buffer {
	t.Helper()
	b := newBuffer(maxEvents, maxBytes, Unordered, slow, nil)
	b.workers = workers
	return b
}

// workers is how many events a test may have in flight.
const workers = 16

// onDisk is a buffer with a spool, which is written until the test ends, or until stop is called.
func onDisk(t *testing.T, dir string, maxEvents, maxBytes int64, ordering Ordering) (b *buffer, stop func()) {
	t.Helper()
	s, err := openSpool(dir)
	if err != nil {
		t.Fatal(err)
	}
	b = newBuffer(maxEvents, maxBytes, ordering, slow, s)
	b.workers = workers
	ctx, cancel := context.WithCancel(context.Background())
	var writer sync.WaitGroup
	writer.Go(func() { (&committer{buffer: b, metrics: noMetrics(t), logger: zap.NewNop().Sugar()}).run(ctx) })
	stop = sync.OnceFunc(func() {
		cancel()
		writer.Wait()
		if err := s.close(); err != nil {
			t.Error(err)
		}
	})
	t.Cleanup(stop)
	return b, stop
}

// buffers are both kinds.
func buffers(t *testing.T, maxEvents, maxBytes int64, ordering Ordering) map[string]*buffer {
	t.Helper()
	memory := newBuffer(maxEvents, maxBytes, ordering, slow, nil)
	memory.workers = workers
	disk, _ := onDisk(t, t.TempDir(), maxEvents, maxBytes, ordering)
	return map[string]*buffer{"memory": memory, "disk": disk}
}

// events counts what is kept.
func events(b *buffer) int64 { return b.status().totals.events }

func put(t *testing.T, b *buffer, all ...*kept) {
	t.Helper()
	for _, k := range all {
		if err := b.put(t.Context(), k); err != nil {
			t.Fatal(err)
		}
	}
}

func TestBufferIsBounded(t *testing.T) {
	tests := []struct {
		name   string
		events int64
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
		for name, b := range buffers(t, test.events, test.bytes, Unordered) {
			t.Run(test.name+"/"+name, func(t *testing.T) {
				for i, size := range test.sizes {
					put(t, b, sized(fmt.Sprint(i), size))
					if b.status().full {
						t.Errorf("full with %d events, though none waits", i+1)
					}
				}
				added := make(chan error, 1)
				go func() { added <- b.put(t.Context(), sized("more", test.more)) }()
				eventually(t, func() string {
					if !b.status().full {
						return "not full, though an event should wait"
					}
					return ""
				})
				if got := events(b); got != int64(len(test.sizes)) {
					t.Errorf("got %d events kept, want %d", got, len(test.sizes))
				}
				for range test.sizes {
					b.release(b.next(t.Context()), true)
				}
				if err := <-added; err != nil {
					t.Error(err)
				}
				if k := b.next(t.Context()); k.event.ID() != "more" || events(b) != 1 || b.status().full {
					t.Errorf("got event %s of %d, want more of 1, and room", k.event.ID(), events(b))
				}
			})
		}
	}
}

func TestPutEndsWithItsContext(t *testing.T) {
	for name, b := range buffers(t, 1, 100*kib, Unordered) {
		t.Run(name, func(t *testing.T) {
			put(t, b, sized("first", kib))
			ctx, cancel := context.WithCancel(t.Context())
			added := make(chan error, 1)
			go func() { added <- b.put(ctx, sized("second", kib)) }()
			eventually(t, func() string {
				if !b.status().full {
					return "not full"
				}
				return ""
			})
			cancel()
			if err := <-added; !errors.Is(err, context.Canceled) {
				t.Errorf("got %v, want the context's error", err)
			}
			if status := b.status(); status.full || status.totals.events != 1 || status.totals.bytes != kib {
				t.Errorf("got %+v, want nothing left of the second", status)
			}
		})
	}
}

func TestNextEndsWithItsContext(t *testing.T) {
	for name, b := range buffers(t, 1, 100*kib, Unordered) {
		t.Run(name, func(t *testing.T) {
			ctx, cancel := context.WithCancel(t.Context())
			defer b.serve(ctx, 1)()
			next := make(chan *kept)
			go func() { next <- b.next(ctx) }()
			cancel()
			if k := <-next; k != nil {
				t.Errorf("got %v, want nothing", k)
			}
		})
	}
}

func TestAgain(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := inMemory(t, 3, 100*kib)
		put(t, b, sized("a", kib), sized("b", kib))
		began := time.Now()
		b.again(b.next(t.Context()), time.Hour)
		b.again(b.next(t.Context()), time.Minute)
		if status := b.status(); status.totals.events != 2 || status.inFlight != 0 {
			t.Errorf("got %+v, want both kept meanwhile", status)
		}
		if k := b.next(t.Context()); k.event.ID() != "b" || time.Since(began) != time.Minute {
			t.Errorf("got %s after %s, want b after a minute", k.event.ID(), time.Since(began))
		}
		if k := b.next(t.Context()); k.event.ID() != "a" || time.Since(began) != time.Hour {
			t.Errorf("got %s after %s, want a after an hour", k.event.ID(), time.Since(began))
		}
	})
}

func TestAgainFromDisk(t *testing.T) {
	b, _ := onDisk(t, t.TempDir(), 3, 100*kib, Unordered)
	put(t, b, sized("a", kib+10))
	k := b.next(t.Context())
	k.attempts = 3
	b.again(k, time.Millisecond)
	if k.loaded() {
		t.Error("the event is still in memory")
	}
	got := b.next(t.Context())
	if diff := same(got.event, sized("a", kib+10).event); diff != "" || got.attempts != 3 || got.topic != "orders" {
		t.Errorf("%s; %d attempts, topic %s", diff, got.attempts, got.topic)
	}
}

func isClosed(c <-chan struct{}) bool {
	select {
	case <-c:
		return true
	default:
		return false
	}
}

func TestStopInMemory(t *testing.T) {
	empty := inMemory(t, 1, kib)
	if c := empty.stop(); !isClosed(c) || !isClosed(empty.stop()) || empty.next(t.Context()) != nil {
		t.Error("an empty buffer is not drained")
	}
	b := inMemory(t, 2, 100*kib)
	put(t, b, sized("a", kib), sized("b", kib))
	c := b.stop()
	for i := range 2 {
		if isClosed(c) {
			t.Errorf("drained with %d events kept", 2-i)
		}
		b.release(b.next(t.Context()), true)
	}
	if !isClosed(c) || b.next(t.Context()) != nil {
		t.Error("not drained with no event kept")
	}
}

// With a spool what is in flight is finished, and the rest stays.
func TestStopWithASpool(t *testing.T) {
	dir := t.TempDir()
	b, closeSpool := onDisk(t, dir, 10, 100*kib, Unordered)
	put(t, b, sized("a", kib), sized("b", kib), sized("c", kib), sized("d", kib))
	a, second := b.next(t.Context()), b.next(t.Context())
	eventually(t, func() string { return stored(t, b, 4) })
	eventually(t, func() string {
		if n := b.status().unsaved; n > 0 {
			return fmt.Sprintf("%d events not on disk", n)
		}
		return ""
	})
	c := b.stop()
	if isClosed(c) {
		t.Error("drained with two events in flight")
	}
	b.release(a, true)
	b.again(second, 0)
	if !isClosed(c) || b.next(t.Context()) != nil || events(b) != 3 {
		t.Errorf("got %d events kept, want nothing more to be handed out, and three kept", events(b))
	}
	closeSpool()
	b, _ = onDisk(t, dir, 10, 100*kib, Unordered)
	for _, want := range []string{"b", "c", "d"} {
		if k := b.next(t.Context()); k.event.ID() != want {
			t.Errorf("got %s, want %s", k.event.ID(), want)
		}
	}
}

func TestOldest(t *testing.T) {
	for name, b := range buffers(t, 10, 100*kib, Unordered) {
		t.Run(name, func(t *testing.T) {
			oldest := func() time.Time { return b.status().oldest }
			if !oldest().IsZero() {
				t.Errorf("got %s without an event", oldest())
			}
			began := time.Now()
			for i := range 3 {
				k := sized(fmt.Sprint(i), kib)
				k.received = began.Add(time.Duration(i) * time.Second)
				put(t, b, k)
			}
			taken := map[string]*kept{}
			for range 3 {
				k := b.next(t.Context())
				taken[k.event.ID()] = k
			}
			for i, id := range []string{"1", "0", "2"} {
				if want := began.Add(time.Duration([]int{0, 0, 2}[i]) * time.Second); !oldest().Equal(want.Round(0)) && !oldest().Equal(want) {
					t.Errorf("got %s, want %s", oldest(), want)
				}
				b.release(taken[id], true)
				eventually(t, func() string { return stored(t, b, 2-i) })
			}
			if !oldest().IsZero() {
				t.Errorf("got %s without an event", oldest())
			}
		})
	}
}

// stored tells whether the spool, if there is one, has forgotten what it should.
func stored(t *testing.T, b *buffer, want int) string {
	t.Helper()
	if b.spool == nil {
		return ""
	}
	if left := stock(t, b.spool).totals; left.events != int64(want) {
		return fmt.Sprintf("%d events on disk, want %d", left.events, want)
	}
	return ""
}

// TestBufferConcurrently lets one goroutine put and several release, as the source does.
func TestBufferConcurrently(t *testing.T) {
	seed := rand.Uint64()
	t.Logf("seed %d", seed)
	const n, maxEvents, maxBytes = 2000, 7, 20 * kib
	for _, ordering := range []Ordering{Unordered, ByKey, Strict} {
		for name, b := range buffers(t, maxEvents, maxBytes, ordering) {
			t.Run(name+"/"+string(ordering), func(t *testing.T) {
				r := rand.New(rand.NewPCG(seed, 0))
				var workers sync.WaitGroup
				seen := make(chan string, n)
				for range 4 {
					workers.Go(func() {
						for k := b.next(t.Context()); k != nil; k = b.next(t.Context()) {
							if k.attempts++; k.attempts == 1 && len(k.event.Data())%2 == 0 {
								b.again(k, time.Nanosecond)
								continue
							}
							if count := events(b); count > maxEvents {
								t.Errorf("%d events kept, want no more than %d", count, maxEvents)
							}
							seen <- k.event.ID()
							b.release(k, true)
						}
					})
				}
				for i := range n {
					k := sized(fmt.Sprint(i), kib+r.IntN(2*maxBytes))
					k.key = uint64(i % 5)
					put(t, b, k)
				}
				eventually(t, func() string {
					if left := events(b); left > 0 {
						return fmt.Sprintf("%d events left", left)
					}
					return ""
				})
				<-b.stop()
				workers.Wait()
				close(seen)
				ids := map[string]bool{}
				for id := range seen {
					ids[id] = true
				}
				if len(ids) != n {
					t.Errorf("got %d events out, want %d", len(ids), n)
				}
			})
		}
	}
}

// That events can be removed from a full disk does not mean that others can be added.
func TestSpoolIsWrittenAgainOnlyWhenEventsAre(t *testing.T) {
	s := open(t, t.TempDir())
	b := newBuffer(10, 100*kib, Unordered, slow, s)
	put(t, b, sized("a", kib))
	b.unwritten(errors.New("no room"))
	b.saved(nil, 0)
	if b.status().writing == nil {
		t.Error("the spool is said to be written, and an event is not on disk")
	}
	group, _ := b.group()
	b.saved(group, 0)
	if err := b.status().writing; err != nil {
		t.Errorf("got %v after everything was written", err)
	}
}

// EventMesh forgets what is acknowledged.
func TestEventIsAcknowledgedOnceItIsOnDisk(t *testing.T) {
	s := open(t, t.TempDir())
	b := newBuffer(10, 100*kib, Unordered, slow, s)
	var acknowledged atomic.Int32
	put(t, b, delivered(t, "a", &acknowledged, nil))
	c := &committer{buffer: b, metrics: noMetrics(t), logger: zap.NewNop().Sugar()}
	if err := s.close(); err != nil { // so that nothing can be written
		t.Fatal(err)
	}
	if written := c.commit(t.Context()); written || acknowledged.Load() != 0 {
		t.Errorf("got written %t, %d acknowledgements; want false, 0", written, acknowledged.Load())
	}
	*s = *open(t, filepath.Dir(s.path))
	if written := c.commit(t.Context()); !written || acknowledged.Load() != 1 {
		t.Errorf("got written %t, %d acknowledgements; want true, 1", written, acknowledged.Load())
	}
}

// However long the backlog, memory holds no more of it than the window.
func TestBacklogBeyondTheWindowIsOnDiskAlone(t *testing.T) {
	const n, size = 24, 1100 * kib
	b, _ := onDisk(t, t.TempDir(), n, n*size, Unordered)
	for i := range n - 1 {
		put(t, b, sized(fmt.Sprint(i), size))
	}
	put(t, b, sized(fmt.Sprint(n-1), kib)) // would fit into the window, but it is not its turn
	eventually(t, func() string {
		if left := b.status().unsaved; left > 0 {
			return fmt.Sprintf("%d events not on disk", left)
		}
		return ""
	})
	b.mu.Lock()
	held, unread := b.queue.bytes, b.unread
	b.mu.Unlock()
	if held > window || unread == 0 {
		t.Errorf("got %d bytes in memory and %d events on disk alone, want up to %d bytes in memory", held, unread, window)
	}
	for i := range n {
		k := b.next(t.Context())
		if k.event.ID() != fmt.Sprint(i) {
			t.Fatalf("got event %s, want %d", k.event.ID(), i)
		}
		b.release(k, true)
	}
}

// rot changes the records of a file that is not open.
func rot(t *testing.T, path string, records ...uint64) {
	t.Helper()
	db, err := bolt.Open(path, 0o600, nil)
	if err != nil {
		t.Fatal(err)
	}
	err = db.Update(func(tx *bolt.Tx) error {
		for _, seq := range records {
			value := bytes.Clone(tx.Bucket(eventsBucket).Get(sequenceKey(seq)))
			value[50]++
			if err := tx.Bucket(eventsBucket).Put(sequenceKey(seq), value); err != nil {
				return err
			}
		}
		return nil
	})
	if err := errors.Join(err, db.Close()); err != nil {
		t.Fatal(err)
	}
}

// A record that cannot be read is one event's loss, in whatever order: without a place for dead letters it is set aside, and with one it
// goes there, be it a process later.
func TestRecordsThatCannotBeRead(t *testing.T) {
	for _, ordering := range []Ordering{Unordered, ByKey, Strict} {
		t.Run(string(ordering), func(t *testing.T) {
			dir := t.TempDir()
			b, stop := onDisk(t, dir, 10, 100*kib, ordering)
			for i := range 6 {
				put(t, b, sized(fmt.Sprint(i+1), kib+i))
			}
			eventually(t, func() string { return stored(t, b, 6) })
			stop()
			rot(t, filepath.Join(dir, spoolFile), 1, 4)
			for range 2 {
				b, stop = onDisk(t, dir, 10, 100*kib, ordering)
				var told []uint64
				b.tell = func(k *kept) { told = append(told, k.seq) }
				for range 3 { // the others are there again for the next process
					k := b.next(t.Context())
					if k.unreadable != nil {
						t.Errorf("event %d was handed out", k.seq)
					}
					b.again(k, time.Hour)
					if ordering != Unordered {
						break
					}
				}
				if ordering == Unordered && fmt.Sprint(told) != "[1 4]" || ordering != Unordered && fmt.Sprint(told) != "[1]" {
					t.Errorf("told of %v", told)
				}
				if got := b.status(); got.aside != int64(len(told)) || got.totals.events != 6-got.aside {
					t.Errorf("got %+v, want %d of 6 set aside", got, len(told))
				}
				eventually(t, func() string { return stored(t, b, 6-len(told)) })
				stop()
			}
			b, _ = onDisk(t, dir, 10, 100*kib, ordering)
			b.buries = true
			var got []string
			for range 6 {
				k := b.next(t.Context())
				got = append(got, fmt.Sprint(k.seq, k.undecodable))
				b.release(k, true)
			}
			if fmt.Sprint(got) != "[1 true 2 false 3 false 4 true 5 false 6 false]" {
				t.Errorf("got %v", got)
			}
			if status := b.status(); status.aside != 0 || status.totals != (totals{}) {
				t.Errorf("got %+v, want nothing left", status)
			}
			put(t, b, sized("new", kib))
			if k := b.next(t.Context()); k.seq != 7 {
				t.Errorf("got number %d, want one that no record has", k.seq)
			}
		})
	}
}

// What is written to a file that the next process would not find is not safe, and no other process gets the directory meanwhile.
func TestSpoolThatIsMoved(t *testing.T) {
	tests := []struct {
		name       string
		move, back func(dir string) error
	}{
		{"file moved", func(dir string) error {
			return os.Rename(filepath.Join(dir, spoolFile), filepath.Join(dir, "away"))
		}, func(dir string) error { return os.Rename(filepath.Join(dir, "away"), filepath.Join(dir, spoolFile)) }},
		{"file deleted", func(dir string) error { return os.Remove(filepath.Join(dir, spoolFile)) }, nil},
		{"another file", func(dir string) error {
			return errors.Join(os.Remove(filepath.Join(dir, spoolFile)), os.WriteFile(filepath.Join(dir, spoolFile), []byte("x"), 0o600))
		}, nil},
		{"directory moved", func(dir string) error { return os.Rename(dir, dir+" away") }, func(dir string) error { return os.Rename(dir+" away", dir) }},
		{"directory deleted", os.RemoveAll, nil},
		{"another directory", func(dir string) error {
			return errors.Join(os.Rename(dir, dir+" away"), os.Mkdir(dir, 0o700))
		}, func(dir string) error { return errors.Join(os.RemoveAll(dir), os.Rename(dir+" away", dir)) }},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			dir := filepath.Join(t.TempDir(), "spool")
			b, _ := onDisk(t, dir, 10, 100*kib, Unordered)
			put(t, b, sized("before", kib))
			eventually(t, func() string {
				if n := b.status().unsaved; n > 0 {
					return "it is not on disk"
				}
				return ""
			})
			if err := test.move(dir); err != nil {
				t.Fatal(err)
			}
			eventually(t, func() string { // though nothing is written
				if err := b.status().writing; err == nil || !strings.Contains(err.Error(), filepath.Join(dir, spoolFile)) || !strings.Contains(err.Error(), "moved or deleted") {
					return fmt.Sprintf("got %v, want that the file has been moved", err)
				}
				return ""
			})
			var acknowledged atomic.Int32
			put(t, b, delivered(t, "after", &acknowledged, nil))
			eventually(t, func() string { return stored(t, b, 2) }) // in the file that is open
			if acknowledged.Load() != 0 || b.status().unsaved != 1 {
				t.Error("an event was acknowledged that the next process does not find")
			}
			if _, err := os.Stat(dir); err == nil && test.name != "another directory" {
				if _, err := openSpool(dir); !errors.Is(err, errInUse) {
					t.Errorf("got %v, want that the directory is in use", err)
				}
			}
			if k := b.next(t.Context()); k.event.ID() != "before" { // what is in the file is delivered
				t.Errorf("got %s", k.event.ID())
			}
			if test.back == nil {
				return
			}
			if err := test.back(dir); err != nil {
				t.Fatal(err)
			}
			eventually(t, func() string {
				if err := b.status().writing; err != nil || acknowledged.Load() != 1 {
					return fmt.Sprintf("got %d acknowledgements, %v", acknowledged.Load(), err)
				}
				return ""
			})
			if k := b.next(t.Context()); k.event.ID() != "after" {
				t.Errorf("got %s", k.event.ID())
			}
		})
	}
}

// An event counts with what it takes, be it in its data or in its attributes, wherever there is a bound.
func TestAttributesCount(t *testing.T) {
	const size = 900 * 1000
	many := map[string]any{}
	for i := range 5000 {
		many[fmt.Sprintf("a%d", i)] = "b"
	}
	text := strings.Repeat("x", size)
	large := map[string]func(*event.EventContextV1){
		"extension":  func(c *event.EventContextV1) { c.Extensions = map[string]any{"large": text} },
		"name":       func(c *event.EventContextV1) { c.Extensions = map[string]any{text: "large"} },
		"extensions": func(c *event.EventContextV1) { c.Extensions = many },
		"bytes":      func(c *event.EventContextV1) { c.Extensions = map[string]any{"large": []byte(text)} },
		"id":         func(c *event.EventContextV1) { c.ID = text },
		"source":     func(c *event.EventContextV1) { c.Source.Path = text },
		"subject":    func(c *event.EventContextV1) { c.Subject = &text },
		"type":       func(c *event.EventContextV1) { c.Type = text },
		"content":    func(c *event.EventContextV1) { c.DataContentType = &text },
		"schema":     func(c *event.EventContextV1) { c.DataSchema.RawQuery = text },
	}
	for what, enlarge := range large {
		for name, b := range buffers(t, 100, 4*size, Unordered) {
			t.Run(what+"/"+name, func(t *testing.T) {
				want := int64(size)
				if what == "extensions" {
					want = 5000 * extensionOverhead
				}
				for i := range 3 {
					k := sized(fmt.Sprint(i), kib)
					enlarge(k.event.Context.(*event.EventContextV1))
					put(t, b, k)
				}
				if got := b.status().totals.bytes; got < 3*want || got > 3*(want+100*kib) {
					t.Errorf("got %d bytes, want three times %d and little more", got, want)
				}
				if b.spool == nil {
					return
				}
				eventually(t, func() string { return stored(t, b, 3) })
				if got, want := stock(t, b.spool).totals.bytes, b.status().totals.bytes; got != want {
					t.Errorf("the file has %d bytes by its own account, want %d", got, want)
				}
				for range 3 {
					b.release(b.next(t.Context()), true)
				}
				if got := b.status().totals.bytes; got != 0 {
					t.Errorf("got %d bytes of no event", got)
				}
			})
		}
	}
}

// What waits for the disk is in memory twice, as an event and as its record.
func TestPendingIsBounded(t *testing.T) {
	b := newBuffer(1000, 1<<30, Unordered, slow, open(t, t.TempDir()))
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	var held int64
	for b.fits(&kept{pending: 2 << 20}) {
		k := sized("a", 900*kib)
		if err := b.put(ctx, k); err != nil {
			t.Fatal(err)
		}
		held += int64(len(k.record) + len(k.event.DataEncoded))
	}
	if held > maxPending {
		t.Errorf("got %d bytes in memory that wait for the disk, want up to %d", held, maxPending)
	}
}
