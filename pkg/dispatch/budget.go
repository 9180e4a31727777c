package dispatch

import (
	"slices"
	"time"
)

const (
	// repeatEvery is the time that pays for one repeat, so that a destination which refuses everything gets 10 of them a second.
	repeatEvery = 100 * time.Millisecond
	// finiteRepeatEvery is that where the retries of an event are numbered: they end by themselves, and dead letters are not to wait for long.
	finiteRepeatEvery = 10 * time.Millisecond
	// repeatBurst is how many repeats may be unpaid.
	repeatBurst = 20
	// repeatsPerSuccess is what a delivered event pays for. With a half, a destination that fails every second time keeps up.
	repeatsPerSuccess = 0.5
)

// budget bounds the repeats that come to nothing. A repeat is paid for by time, by events that are delivered, and at once when its own
// event has found its place of rest. So repeats that help are not held back, however many there are. All lanes share it. It belongs to
// a dispatcher, which guards it.
type budget struct {
	every  time.Duration // pays for one repeat
	unpaid []*item       // of repeats, the oldest repeat first
	since  time.Time     // up to when time has been paid with
	earned float64       // below one repeat
}

// allows tells whether a repeat may go out now; if not, from when on.
func (b *budget) allows(now time.Time) (bool, time.Time) {
	if n := min(int(now.Sub(b.since)/b.every), len(b.unpaid)); n > 0 {
		b.pay(n)
		b.since = b.since.Add(time.Duration(n) * b.every)
	}
	return len(b.unpaid) < repeatBurst, b.since.Add(b.every)
}

// repeat counts a repeat that was allowed.
func (b *budget) repeat(it *item, now time.Time) {
	if len(b.unpaid) == 0 {
		b.since = now
	}
	b.unpaid = append(b.unpaid, it)
}

// rested says that an event has found its place of rest, and whether that is its destination.
func (b *budget) rested(it *item, delivered bool) {
	b.unpaid = slices.DeleteFunc(b.unpaid, func(other *item) bool { return other == it })
	if !delivered {
		return
	}
	if b.earned = min(b.earned+repeatsPerSuccess, 1); b.earned == 1 && len(b.unpaid) > 0 {
		b.pay(1)
		b.earned = 0
	}
}

func (b *budget) pay(repeats int) { b.unpaid = slices.Delete(b.unpaid, 0, repeats) }
