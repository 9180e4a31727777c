package source

import (
	"math/rand/v2"
	"time"
)

// tripAfter is how many failures in a row it takes to believe that a destination is away.
const tripAfter = 5

// circuit holds requests back from a destination that is away: one probe goes out at a time, after waits that grow. A destination that
// answers is not away, whatever it says of an event: see verdict. It belongs to a buffer, which guards it. A library's circuit breaker
// waits for a fixed time, and knows of no Retry-After.
type circuit struct {
	backoff  backoff
	failures int
	last     uint64 // the event of the latest failure
	open     bool
	probing  bool
	probes   int
	until    time.Time
}

// allows tells whether a request may go out now; if not, from when on, or the zero time while a probe is out.
func (c *circuit) allows(now time.Time) (bool, time.Time) {
	switch {
	case !c.open:
		return true, time.Time{}
	case c.probing:
		return false, time.Time{}
	default:
		return !now.Before(c.until), c.until
	}
}

// begin marks the event of a request that was allowed.
func (c *circuit) begin(k *kept) {
	if c.open {
		k.probe, c.probing = c, true
	}
}

// end takes back what begin said. It does not tell how the request went.
func (c *circuit) end(k *kept) {
	if k.probe == c {
		k.probe, c.probing = nil, false
	}
}

// succeed says that the destination took an event, or refused just this one.
func (c *circuit) succeed() { c.failures, c.open, c.probes = 0, false, 0 }

// fail says that the destination is away, by the attempt at an event. One event again and again proves nothing about others.
func (c *circuit) fail(k *kept, now time.Time, retryAfter time.Duration) {
	if c.open {
		if k.probe == c {
			c.probes++
			c.until = now.Add(c.backoff.wait(c.probes, retryAfter))
		}
		return
	}
	if c.failures == 0 || c.last != k.seq {
		c.failures++
		c.last = k.seq
	}
	if c.failures >= tripAfter {
		c.open, c.probes = true, 1
		c.until = now.Add(c.backoff.wait(1, retryAfter))
	}
}

// backoff is exponential, with full jitter.
type backoff struct{ min, max time.Duration }

// wait returns the time to the next attempt: a random one below a ceiling that doubles with each, and no less than the sink has
// asked for, as far as the largest ceiling allows.
func (b backoff) wait(attempts int, retryAfter time.Duration) time.Duration {
	ceiling := b.max
	if doubled := b.min << min(attempts-1, 20); doubled > 0 && doubled < ceiling {
		ceiling = doubled
	}
	return max(rand.N(ceiling)+1, min(retryAfter, b.max)) //nolint:gosec // not a secret
}

// after returns the time to the next attempt at an event, after so many. What is refused for good has only a change of the destination to
// wait for.
func (b backoff) after(attempts int, v verdict) time.Duration {
	if v.final {
		attempts = manyAttempts
	}
	return b.wait(attempts, v.retryAfter)
}

// manyAttempts stands for a wait up to the largest ceiling.
const manyAttempts = 1 << 20
