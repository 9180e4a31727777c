package dispatch

import (
	"fmt"
	"strings"
	"testing"
	"time"
)

// TestCircuit plays scripts: a number is the failure of that event, "ok" a success, "probe" lets a probe out as soon as one may go,
// "probed" is its failure, and "open" and "closed" say what is wanted.
func TestCircuit(t *testing.T) {
	tests := []struct{ name, script string }{
		{"few failures", "1 2 3 4 closed"},
		{"failures of different events in a row", "1 2 3 4 5 open"},
		{"one event again and again", "1 1 1 1 1 1 1 1 closed"},
		{"two events in turn", "1 2 1 2 1 open"},
		{"a success between", "1 2 3 4 ok 5 6 7 8 closed"},
		{"a probe that succeeds", "1 2 3 4 5 open probe ok closed 6 7 8 9 closed"},
		{"a probe that fails", "1 2 3 4 5 open probe probed open probe probed open probe ok closed"},
		{"late failures of requests before", "1 2 3 4 5 open 6 7 8 open probe ok closed"},
	}
	const slowest = 30 * time.Second
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			now := time.Unix(1000, 0)
			c := circuit{backoff: Exponential(100*time.Millisecond, slowest)}
			probe := &item{seq: 100}
			for i, step := range strings.Fields(test.script) {
				switch step {
				case "ok":
					c.succeed()
					c.end(probe)
				case "open":
					if allowed, at := c.allows(now); allowed || at.IsZero() || at.Sub(now) > slowest {
						t.Errorf("step %d: allowed %t, again at %s; want a wait", i, allowed, at)
					}
				case "closed":
					if allowed, _ := c.allows(now); !allowed {
						t.Errorf("step %d: want that requests are allowed", i)
					}
				case "probe":
					_, now = c.allows(now)
					if allowed, _ := c.allows(now); !allowed {
						t.Errorf("step %d: no probe", i)
					}
					probe.seq++
					c.begin(probe)
					if allowed, at := c.allows(now.Add(time.Hour)); allowed || !at.IsZero() {
						t.Errorf("step %d: allowed %t beside a probe", i, allowed)
					}
				case "probed":
					c.fail(probe, now, 0)
					c.end(probe)
				default:
					var it item
					if _, err := fmt.Sscan(step, &it.seq); err != nil {
						t.Fatal(err)
					}
					c.fail(&it, now, 0)
				}
			}
		})
	}
}

func TestProbesBecomeRarer(t *testing.T) {
	now := time.Unix(1000, 0)
	c := circuit{backoff: Exponential(time.Second, time.Hour)}
	for i := range tripAfter {
		c.fail(&item{seq: uint64(i)}, now, 0)
	}
	var total time.Duration
	for i := range 30 {
		it := &item{seq: uint64(100 + i)}
		total += c.until.Sub(now)
		now = c.until
		c.begin(it)
		c.fail(it, now, 0)
		c.end(it)
	}
	if total < time.Hour { // of waits up to an hour each, all but 12
		t.Errorf("got 30 probes in %s, want waits that grow", total)
	}
	it := &item{}
	c.begin(it)
	c.fail(it, now, 2*time.Hour)
	if got := c.until.Sub(now); got != time.Hour {
		t.Errorf("got a wait of %s, want what the destination asks for, up to the ceiling", got)
	}
}
