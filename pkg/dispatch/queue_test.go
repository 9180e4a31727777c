package dispatch

import (
	"fmt"
	"math/rand/v2"
	"strings"
	"testing"
	"time"

	"github.com/cloudevents/sdk-go/v2/event"
)

// TestQueueOrder plays scripts against a queue. Of the events a1, a2, b1, … the letter is the key and the number the order.
// "+a1" adds one, "a1" wants it to come next, "-" wants none, "!a1" keeps it for a retry at once, "?a1" for one much later, and
// "/a1" is done with it.
func TestQueueOrder(t *testing.T) {
	tests := []struct {
		name, script string
		ordering     Ordering
	}{
		{"unordered", "+a1 +a2 a1 a2 - !a1 +b1 a1 b1", Unordered},
		{"unordered: a retry does not wait for its turn", "+a1 +a2 +a3 a1 ?a1 a2 a3 -", Unordered},
		{"key: one of each at once", "+a1 +a2 +b1 +b2 a1 b1 - /a1 a2 - /b1 b2", ByKey},
		{"key: a retry holds its key, and no other", "+a1 +a2 +b1 a1 ?a1 b1 - /b1 -", ByKey},
		{"key: a retry comes before what waits for it", "+a1 +a2 a1 - !a1 a1 - /a1 a2", ByKey},
		{"key: freed before fresh", "+a1 +a2 a1 - +b1 /a1 a2 b1", ByKey},
		{"key: what comes later waits", "+a1 a1 +a2 - +a3 - /a1 a2 - /a2 a3 /a3 +a4 a4", ByKey},
		{"strict: one at once", "+a1 +b1 +c1 a1 - /a1 b1 - /b1 c1 /c1 -", Strict},
		{"strict: a retry holds everything", "+a1 +b1 a1 ?a1 - +c1 -", Strict},
	}
	for _, test := range tests {
		for _, saved := range []bool{false, true} {
			t.Run(fmt.Sprintf("%s, saved %t", test.name, saved), func(t *testing.T) {
				q, now := newQueue(test.ordering), time.Unix(1000, 0)
				names, all := map[uint64]string{}, map[string]*item{}
				for i, step := range strings.Fields(test.script) {
					name := strings.TrimLeft(step, "+!?/")
					switch step[0] {
					case '+':
						it := &item{seq: uint64(i + 1), key: uint64(name[0]), saved: saved, event: event.New()}
						names[it.seq] = name
						q.add(it)
					case '!':
						q.wait(all[name], now)
					case '?':
						q.wait(all[name], now.Add(time.Hour))
					case '/':
						q.done(all[name])
					default:
						it := nextOf(&q, now)
						got := "-"
						if it != nil {
							it.key = uint64(names[it.seq][0]) // as a disk does that reads it again
							got = names[it.seq]
							all[got] = it
						}
						if got != step {
							t.Fatalf("step %d: got %s, want %s", i, got, step)
						}
					}
				}
			})
		}
	}
}

// nextOf returns the event that a lane would send: a retry that is due, or else one that was not tried.
func nextOf(q *queue, now time.Time) *item {
	if due := q.retries.next(); !due.IsZero() && !due.After(now) {
		return q.retries.pop()
	}
	return q.nextFresh()
}

func TestSchedule(t *testing.T) {
	var s schedule
	if !s.next().IsZero() {
		t.Errorf("empty: got %s, want no time", s.next())
	}
	for i, seconds := range []int64{5, 2, 9, 2} {
		s.add(&item{seq: uint64(i), due: time.Unix(seconds, 0)})
	}
	for i, want := range []uint64{1, 3, 0, 2} {
		due := s.next()
		if it := s.pop(); it.seq != want || !it.due.Equal(due) {
			t.Errorf("place %d: got event %d, due at %s, want %d, due at %s", i, it.seq, it.due, want, due)
		}
	}
}

// A queue of events on disk holds little of those that wait.
func TestQueueUnloads(t *testing.T) {
	q := newQueue(Strict)
	for i := range 3 {
		q.add(&item{seq: uint64(i), saved: true, event: event.New(), size: 10})
	}
	if q.bytes != 30 {
		t.Errorf("got %d bytes, want 30", q.bytes)
	}
	first := q.nextFresh()
	_ = q.nextFresh()
	if q.bytes != 0 {
		t.Errorf("got %d bytes, want none of those that wait for the first", q.bytes)
	}
	q.wait(first, time.Now().Add(time.Hour))
	if first.loaded() {
		t.Error("the event that waits for its retry is in memory")
	}
}

func TestFIFO(t *testing.T) {
	seed := rand.Uint64()
	t.Logf("seed %d", seed)
	r := rand.New(rand.NewPCG(seed, 0))
	var f fifo[int]
	var want []int
	for i := range 10000 {
		if r.IntN(2) == 0 || len(want) == 0 {
			f.push(i)
			want = append(want, i)
		} else if got := f.pop(); got != want[0] {
			t.Fatalf("got %d, want %d", got, want[0])
		} else {
			want = want[1:]
		}
		if f.len() != len(want) {
			t.Fatalf("got length %d, want %d", f.len(), len(want))
		}
	}
}
