package guard

import (
	"errors"
	"sync"
	"time"

	"github.com/eventing-eventmesh/eventing-eventmesh/pkg/eventmesh"
)

const (
	// tripAfter is how many publishes in a row have to be unconfirmed to believe that EventMesh confirms none.
	tripAfter = 5
	// probeAfter is the time between two probes; a sender that is held back is asked to wait as long.
	probeAfter = time.Second
)

// circuit holds publishes back from an EventMesh that is connected and confirms nothing, since each would take its whole time-out
// to fail: one goes out at a time, as a probe, and the first answer ends it.
//
// Libraries such as gobreaker count failures alone. This one does not mistake a topic that is stuck, or an event that comes again and
// again, for an EventMesh that is, nor publishes that began before its latest answer; and what EventMesh refuses counts as answered.
// That there is no connection does not count at all: the client says so at once.
type circuit struct {
	mu       sync.Mutex
	failures int
	last     string // the event of the latest failure
	topic    string // of the first failure
	several  bool   // whether other topics have failed, too
	answered time.Time
	probing  bool
	until    time.Time
}

// attempt is one publish that the circuit has let through.
type attempt struct {
	topic, event string
	began        time.Time
	probe        bool
}

// begin returns nil where the publish has to be held back.
func (c *circuit) begin(topic, event string, now time.Time) *attempt {
	c.mu.Lock()
	defer c.mu.Unlock()
	a := &attempt{topic: topic, event: event, began: now}
	if !c.isOpen() || !c.several && topic != c.topic {
		return a
	}
	if c.probing || now.Before(c.until) {
		return nil
	}
	c.probing, a.probe = true, true
	return a
}

// end tells what became of an attempt, and returns whether that has opened or closed the circuit.
func (c *circuit) end(a *attempt, err error, now time.Time) (opened, closed bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	was := c.isOpen()
	if a.probe {
		c.probing = false
	}
	switch {
	case err == nil, isRefusal(err):
		c.failures, c.several, c.last = 0, false, ""
		c.answered = now
	case errors.Is(err, eventmesh.ErrUnconfirmed) && !errors.Is(err, eventmesh.ErrNoReply):
		c.fail(a, now)
	}
	return !was && c.isOpen(), was && !c.isOpen()
}

func isRefusal(err error) bool {
	var refusal *eventmesh.RefusalError
	return errors.As(err, &refusal)
}

func (c *circuit) fail(a *attempt, now time.Time) {
	switch {
	case a.probe:
		c.until = now.Add(probeAfter)
		return
	case a.began.Before(c.answered):
		return
	case c.failures == 0:
		c.topic = a.topic
	case a.topic != c.topic:
		c.several = true
	}
	if a.event == c.last {
		return
	}
	c.failures++
	c.last = a.event
	if c.failures == tripAfter {
		c.until = now.Add(probeAfter)
	}
}

func (c *circuit) isOpen() bool { return c.failures >= tripAfter }

// open tells whether publishes are held back, be it those to one topic.
func (c *circuit) open() bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.isOpen()
}
