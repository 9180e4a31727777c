package dispatch_test

import (
	"context"
	"fmt"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/cloudevents/sdk-go/v2/event"

	"github.com/eventing-eventmesh/eventing-eventmesh/pkg/dispatch"
)

// kib is a unit that an event without data fits into.
const kib = 2048

// place is a destination that answers by a function, if any, and notes what it is asked and what it has accepted.
type place struct {
	answer func(context.Context, event.Event) (dispatch.Answer, error)

	mu       sync.Mutex
	requests []string
	accepted []event.Event
	arrived  map[string]time.Time
}

func (p *place) Send(ctx context.Context, e event.Event) (answer dispatch.Answer, err error) {
	p.with(func() { p.requests = append(p.requests, e.ID()) })
	if p.answer != nil {
		answer, err = p.answer(ctx, e)
	}
	if err == nil {
		p.with(func() {
			if p.arrived == nil {
				p.arrived = map[string]time.Time{}
			}
			p.accepted, p.arrived[e.ID()] = append(p.accepted, e), time.Now()
		})
	}
	return answer, err
}

func (*place) String() string { return "http://place/path" }

func (p *place) with(f func()) {
	p.mu.Lock()
	defer p.mu.Unlock()
	f()
}

// asked returns the events of all requests, in their order.
func (p *place) asked() (ids []string) {
	p.with(func() { ids = slices.Clone(p.requests) })
	return ids
}

// got returns the events that were accepted, in their order.
func (p *place) got() (ids []string) {
	p.with(func() {
		for _, e := range p.accepted {
			ids = append(ids, e.ID())
		}
	})
	return ids
}

// arrival returns when an event was accepted.
func (p *place) arrival(id string) (at time.Time, ok bool) {
	p.with(func() { at, ok = p.arrived[id] })
	return at, ok
}

// says is the answer of a place that fails, or does not, the same way each time.
func says(failure error) func(context.Context, event.Event) (dispatch.Answer, error) {
	return func(context.Context, event.Event) (dispatch.Answer, error) { return dispatch.Answer{}, failure }
}

// script is the answer of a place that fails in one way after the other, and in the last for ever; in none without any.
func script(failures ...error) func(context.Context, event.Event) (dispatch.Answer, error) {
	var mu sync.Mutex
	return func(context.Context, event.Event) (dispatch.Answer, error) {
		mu.Lock()
		defer mu.Unlock()
		if len(failures) == 0 {
			return dispatch.Answer{}, nil
		}
		failure := failures[0]
		failures = failures[min(1, len(failures)-1):]
		return dispatch.Answer{}, failure
	}
}

func answered(status int) error { return &dispatch.Rejection{Status: status} }

// acknowledgements counts those of each event.
type acknowledgements struct {
	mu sync.Mutex
	of map[string]int
}

func (a *acknowledgements) add(all []*dispatch.Message) {
	a.mu.Lock()
	defer a.mu.Unlock()
	if a.of == nil {
		a.of = map[string]int{}
	}
	for _, m := range all {
		a.of[m.Event.ID()]++
	}
}

func (a *acknowledgements) count(id string) int {
	a.mu.Lock()
	defer a.mu.Unlock()
	return a.of[id]
}

// all counts those of all events.
func (a *acknowledgements) all() (sum int) {
	a.mu.Lock()
	defer a.mu.Unlock()
	for _, n := range a.of {
		sum += n
	}
	return sum
}

// one starts a dispatcher with one lane.
func one(o dispatch.Options, l dispatch.LaneOptions) (*dispatch.Dispatcher, *dispatch.Lane) {
	if l.Name == "" {
		l.Name = "toy"
	}
	o.Undecodable = undecodable
	d := dispatch.New(o)
	lane := d.Lane(l)
	d.Start()
	return d, lane
}

// put keeps events for lanes, and fails when they cannot be.
func put(t *testing.T, d *dispatch.Dispatcher, events []event.Event, lanes ...*dispatch.Lane) {
	t.Helper()
	for _, e := range events {
		if err := d.Put(t.Context(), &dispatch.Message{Event: e, Topic: "orders"}, lanes...); err != nil {
			t.Fatal(err)
		}
	}
}

// numbered returns n events whose names start alike.
func numbered(name string, n int) []event.Event {
	all := make([]event.Event, n)
	for i := range all {
		all[i] = newEvent(fmt.Sprint(name, i))
	}
	return all
}

// ids returns those of events.
func ids(events []event.Event) (all []string) {
	for _, e := range events {
		all = append(all, e.ID())
	}
	return all
}

// abandon ends a dispatcher at once.
func abandon(d *dispatch.Dispatcher) {
	ctx, cancel := context.WithCancel(context.Background())
	cancel()
	d.Drain(ctx)
}
