package source

import "time"

// This is the part of a buffer that decides which event is attempted next.

// choose returns the event to attempt next. Without one it returns when to ask again, or the zero time.
//
// What an event is sent for the first time never waits for other events' repeats: these, and dead letters, take half of the workers at
// most, and repeats have a budget besides. Within that they come first, or under load they would never come.
func (b *buffer) choose(now time.Time) (k *kept, again time.Time) {
	if b.secondary < max(1, b.workers/2) {
		if k, again = b.nextGivenUp(now); k != nil {
			return b.asSecondary(k), time.Time{}
		}
		k, at := b.nextRetry(now)
		if k != nil {
			return b.asSecondary(k), time.Time{}
		}
		again = earlier(again, at)
	}
	allowed, at := b.sink.allows(now)
	if !allowed {
		return nil, earlier(again, at)
	}
	if k = b.queue.nextFresh(); k == nil && b.sink.open {
		if at := b.queue.retries.next(); at.IsZero() || at.After(now) {
			return nil, earlier(again, at)
		}
		k = b.queue.retries.pop()
	}
	if k != nil {
		b.sink.begin(k)
	}
	return k, again
}

// nextRetry returns an event to send again. While the sink is away there are probes alone.
func (b *buffer) nextRetry(now time.Time) (*kept, time.Time) {
	due := b.queue.retries.next()
	switch {
	case due.IsZero(), b.sink.open:
		return nil, time.Time{}
	case due.After(now):
		return nil, due
	}
	if allowed, at := b.budget.allows(now); !allowed {
		return nil, at
	}
	k := b.queue.retries.pop()
	b.budget.repeat(k, now)
	return k, time.Time{}
}

// nextGivenUp returns an event for the place of dead letters.
func (b *buffer) nextGivenUp(now time.Time) (*kept, time.Time) {
	due := b.queue.givenUps.next()
	if due.IsZero() || due.After(now) {
		return nil, due
	}
	if allowed, at := b.dead.allows(now); !allowed {
		return nil, at
	}
	k := b.queue.givenUps.pop()
	b.dead.begin(k)
	return k, time.Time{}
}

func (b *buffer) asSecondary(k *kept) *kept {
	k.secondary = true
	b.secondary++
	return k
}

// returned takes back what choose noted of an attempt.
func (b *buffer) returned(k *kept) {
	b.inFlight--
	if k.secondary {
		k.secondary = false
		b.secondary--
	}
	if k.probe != nil {
		k.probe.end(k)
	}
}

// heard takes note of what an attempt says of its destination, before the event is released, given up or kept.
func (b *buffer) heard(k *kept, v verdict) {
	b.mu.Lock()
	defer b.mu.Unlock()
	c := &b.sink
	if k.givenUp != nil {
		c = &b.dead
	}
	switch {
	case v.silent:
		return
	case v.away:
		c.fail(k, time.Now(), v.retryAfter)
		return
	}
	if c.open {
		b.changed.Broadcast()
	}
	c.succeed()
}

// earlier returns the earlier of two times, where the zero time is none.
func earlier(a, b time.Time) time.Time {
	if a.IsZero() || !b.IsZero() && b.Before(a) {
		return b
	}
	return a
}
