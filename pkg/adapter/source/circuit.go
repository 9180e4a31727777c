package source

import (
	"time"

	"github.com/eventing-eventmesh/eventing-eventmesh/internal/backoff"
)

// tripAfter is how many failures in a row it takes to believe that a destination is away.
const tripAfter = 5

// circuit holds requests back from a destination that is away: one probe goes out at a time, after waits that grow. A destination that
// answers is not away, whatever it says of an event: see verdict. It belongs to a buffer, which guards it. A library's circuit breaker
// waits for a fixed time, and knows of no Retry-After.
type circuit struct {
	backoff  backoff.Exponential
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
			c.until = now.Add(c.backoff.Wait(c.probes, retryAfter))
		}
		return
	}
	if c.failures == 0 || c.last != k.seq {
		c.failures++
		c.last = k.seq
	}
	if c.failures >= tripAfter {
		c.open, c.probes = true, 1
		c.until = now.Add(c.backoff.Wait(1, retryAfter))
	}
}
