package dispatch

import "time"

// tripAfter is how many failures in a row it takes to believe that a destination is away.
const tripAfter = 5

// circuit holds requests back from a destination that is away: one probe goes out at a time, after waits that grow. A destination that
// answers is not away, whatever it says of an event: see verdict. It belongs to a dispatcher, which guards it. A library's circuit breaker
// waits for a fixed time, and knows of no Retry-After.
type circuit struct {
	backoff  Backoff
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
func (c *circuit) begin(it *item) {
	if c.open {
		it.probe, c.probing = c, true
	}
}

// end takes back what begin said. It does not tell how the request went.
func (c *circuit) end(it *item) {
	if it.probe == c {
		it.probe, c.probing = nil, false
	}
}

// succeed says that the destination accepted an event, or refused this one alone.
func (c *circuit) succeed() { c.failures, c.open, c.probes = 0, false, 0 }

// fail says that the destination is away, by the attempt at an event. One event again and again proves nothing about others.
func (c *circuit) fail(it *item, now time.Time, retryAfter time.Duration) {
	if c.open {
		if it.probe == c {
			c.probes++
			c.until = now.Add(c.backoff(c.probes, retryAfter))
		}
		return
	}
	if c.failures == 0 || c.last != it.seq {
		c.failures++
		c.last = it.seq
	}
	if c.failures >= tripAfter {
		c.open, c.probes = true, 1
		c.until = now.Add(c.backoff(1, retryAfter))
	}
}
