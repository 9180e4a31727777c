package guard

import (
	"errors"
	"fmt"
	"testing"
	"time"

	"github.com/eventing-eventmesh/eventing-eventmesh/pkg/eventmesh"
)

// clocked is a circuit with a clock that moves by one with each look at it.
type clocked struct {
	circuit
	now time.Time
}

func (c *clocked) tick() time.Time {
	c.now = c.now.Add(time.Nanosecond)
	return c.now
}

func (c *clocked) try(topic, event string) *attempt { return c.begin(topic, event, c.tick()) }

func (c *clocked) tell(a *attempt, err error) { c.end(a, err, c.tick()) }

// publishes runs publishes one after the other, each with another event.
func (c *clocked) publishes(n int, topic string, err error) {
	for i := range n {
		a := c.try(topic, fmt.Sprint(topic, c.now.UnixNano(), i))
		if a == nil {
			panic("a publish to " + topic + " is held back")
		}
		c.tell(a, err)
	}
}

var (
	errTimeout = fmt.Errorf("publishing: %w", eventmesh.ErrUnconfirmed)
	errAnswer  = fmt.Errorf("publishing: %w", &eventmesh.RefusalError{Kind: eventmesh.ErrRefused, Code: "14"})
)

func TestCircuitOpens(t *testing.T) {
	for _, c := range []struct {
		name string
		do   func(*clocked)
		open bool
	}{
		{"nothing", func(*clocked) {}, false},
		{"too few time-outs", func(c *clocked) { c.publishes(tripAfter-1, "a", errTimeout) }, false},
		{"time-outs in a row", func(c *clocked) { c.publishes(tripAfter, "a", errTimeout) }, true},
		{"time-outs of several topics", func(c *clocked) {
			c.publishes(tripAfter-1, "a", errTimeout)
			c.publishes(1, "b", errTimeout)
		}, true},
		{"a confirmation between", func(c *clocked) {
			c.publishes(tripAfter-1, "a", errTimeout)
			c.publishes(1, "b", nil)
			c.publishes(tripAfter-1, "a", errTimeout)
		}, false},
		{"a refusal between", func(c *clocked) {
			c.publishes(tripAfter-1, "a", errTimeout)
			c.publishes(1, "a", errAnswer)
			c.publishes(tripAfter-1, "a", errTimeout)
		}, false},
		{"what says nothing between", func(c *clocked) {
			c.publishes(tripAfter-1, "a", errTimeout)
			for _, err := range []error{eventmesh.ErrNotConnected, eventmesh.ErrInvalidEvent, eventmesh.ErrClosed} {
				c.publishes(1, "a", err)
			}
			c.publishes(1, "a", errTimeout)
		}, true},
		{"refusals", func(c *clocked) { c.publishes(2*tripAfter, "a", errAnswer) }, false},
		{"no connection", func(c *clocked) { c.publishes(2*tripAfter, "a", eventmesh.ErrNotConnected) }, false},
		{"no replies", func(c *clocked) {
			c.publishes(2*tripAfter, "a", fmt.Errorf("%w: %w", eventmesh.ErrUnconfirmed, eventmesh.ErrNoReply))
		}, false},
		{"one event again and again", func(c *clocked) {
			for range 3 * tripAfter {
				c.tell(c.try("a", "the same"), errTimeout)
			}
		}, false},
		{"publishes that began before the latest answer", func(c *clocked) {
			var old []*attempt
			for i := range 3 * tripAfter {
				old = append(old, c.try("a", fmt.Sprint(i)))
			}
			c.publishes(1, "b", nil)
			for _, a := range old {
				c.tell(a, errTimeout)
			}
		}, false},
	} {
		t.Run(c.name, func(t *testing.T) {
			var circuit clocked
			c.do(&circuit)
			if got := circuit.open(); got != c.open {
				t.Errorf("got open %t, want %t", got, c.open)
			}
			if held := circuit.try("a", "another") == nil; held != c.open {
				t.Errorf("got held back %t, want %t", held, c.open)
			}
		})
	}
}

func TestCircuitOfOneTopicIsNotThatOfOthers(t *testing.T) {
	var c clocked
	c.publishes(tripAfter, "stuck", errTimeout)
	if c.try("stuck", "x") != nil {
		t.Error("the topic that is stuck is not held back")
	}
	other := c.try("other", "y")
	if other == nil || other.probe {
		t.Fatal("another topic is held back")
	}
	c.tell(other, errTimeout)
	if c.try("other", "z") != nil || c.try("third", "z") != nil {
		t.Error("once two topics fail, not all are held back")
	}
}

func TestCircuitProbes(t *testing.T) {
	var c clocked
	c.publishes(tripAfter, "a", errTimeout)
	c.now = c.now.Add(probeAfter)
	for _, result := range []error{errTimeout, eventmesh.ErrNotConnected, errTimeout} {
		probe := c.try("a", "p")
		if probe == nil || !probe.probe {
			t.Fatal("no probe is let through")
		}
		if c.try("a", "q") != nil {
			t.Error("two probes at a time")
		}
		c.tell(probe, result)
		if errors.Is(result, eventmesh.ErrUnconfirmed) {
			if c.try("a", "r") != nil {
				t.Error("the next probe follows at once")
			}
			c.now = c.now.Add(probeAfter)
		}
		if !c.open() {
			t.Fatalf("a probe that ended with %v has closed the circuit", result)
		}
	}
	for _, answer := range []error{nil, errAnswer} {
		probe := c.try("a", "p")
		if probe == nil {
			t.Fatal("no probe is let through")
		}
		if opened, closed := c.end(probe, answer, c.tick()); opened || !closed || c.open() {
			t.Errorf("a probe that ended with %v has not closed the circuit", answer)
		}
		c.publishes(tripAfter, "a", errTimeout)
		c.now = c.now.Add(probeAfter)
	}
}
