package http

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/cloudevents/sdk-go/v2/event"
	"go.uber.org/goleak"

	"github.com/eventing-eventmesh/eventing-eventmesh/pkg/eventmesh"
	"github.com/eventing-eventmesh/eventing-eventmesh/pkg/eventmesh/eventmeshtest/next"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// topic is what the tests use.
const topic = "orders"

// mesh is an EventMesh in a bubble, with its defects in real time.
type mesh struct {
	*testing.T
	server    *next.Server
	transport Transport
	publisher *eventmesh.Publisher
}

// play runs a test in a bubble.
func play(t *testing.T, o next.Options, test func(*mesh)) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) {
		pipe := &next.Pipe{}
		o.Listen, o.RecordDeliveries, o.Logf = pipe.Listen, true, t.Logf
		m := &mesh{T: t, server: next.New(t, o), transport: Transport{dial: pipe.DialContext}}
		if len(o.Tokens) == 0 {
			m.publisher = m.connect("publisher")
		}
		test(m)
	})
}

func (m *mesh) config(id string) eventmesh.Config {
	return eventmesh.Config{Addresses: []eventmesh.Address{{Scheme: "http", Host: "127.0.0.1:10105"}}, ClientID: id, Group: "billing"}
}

// connect returns a publisher that is connected.
func (m *mesh) connect(id string) *eventmesh.Publisher {
	m.Helper()
	p, err := eventmesh.NewPublisher(m.config(id), m.transport)
	if err != nil {
		m.Fatal(err)
	}
	m.Cleanup(func() { _ = p.Close() })
	synctest.Wait()
	if err := p.Ready(); err != nil {
		m.Fatal(err)
	}
	return p
}

// publish publishes events from first on, one every interval.
func (m *mesh) publish(first, n int, interval time.Duration) {
	m.Helper()
	for i := range n {
		if err := m.publisher.Publish(m.Context(), topic, numbered(first+i)); err != nil {
			m.Errorf("publishing %d: %v", first+i, err)
			return
		}
		time.Sleep(interval)
	}
}

func numbered(i int) event.Event {
	e := event.New()
	e.SetID(fmt.Sprint(i))
	e.SetSource("/test")
	e.SetType("order")
	e.SetDataContentType(event.TextPlain)
	e.DataEncoded = fmt.Append(nil, i)
	return e
}

// member is a subscriber, and what it has received.
type member struct {
	*eventmesh.Subscriber
	m         *mesh
	receiving sync.WaitGroup
	gate      chan struct{} // what is received passes it, while it is open

	mu      sync.Mutex
	came    map[string]int
	refused []error
	each    func(context.Context, *eventmesh.Delivery) // called with all that come, if set
}

// join returns a member of the group that receives, and acknowledges at once.
func (m *mesh) join(id string, s eventmesh.Subscription) *member {
	m.Helper()
	s.Topics = append(s.Topics, topic)
	subscriber, err := eventmesh.NewSubscriber(m.config(id), s, m.transport)
	if err != nil {
		m.Fatal(err)
	}
	r := &member{Subscriber: subscriber, m: m, gate: make(chan struct{}), came: map[string]int{}}
	close(r.gate)
	m.Cleanup(func() {
		_ = subscriber.Close()
		r.receiving.Wait()
	})
	r.receiving.Go(r.receive)
	synctest.Wait()
	if err := subscriber.Ready(); err != nil {
		m.Fatal(err)
	}
	return r
}

func (r *member) receive() {
	ctx := context.WithoutCancel(r.m.Context())
	for {
		d, err := r.Receive(ctx)
		if err != nil {
			return
		}
		r.mu.Lock()
		gate, each := r.gate, r.each
		if d.Err != nil {
			r.refused = append(r.refused, d.Err)
		} else {
			r.came[d.Event.ID()]++
		}
		r.mu.Unlock()
		<-gate
		if each != nil {
			each(ctx, d)
		}
		_ = d.Ack(ctx) // of a session that has ended
	}
}

// react has something done with all that comes from now on, before it is acknowledged.
func (r *member) react(each func(context.Context, *eventmesh.Delivery)) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.each = each
}

// times returns how often an event came, and all which.
func (r *member) times(id string) (times, all int) {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.came[id], len(r.came)
}

// told returns why what came was no event.
func (r *member) told() []error {
	r.mu.Lock()
	defer r.mu.Unlock()
	return slices.Clone(r.refused)
}

// shut lets nothing be received any more, but what is handed over, until open.
func (r *member) shut() {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.gate = make(chan struct{})
}

func (r *member) open() {
	r.mu.Lock()
	defer r.mu.Unlock()
	close(r.gate)
}

// leave leaves the group, and receives what is under way.
func (r *member) leave() {
	r.m.Helper()
	ctx, cancel := context.WithTimeout(r.m.Context(), time.Minute)
	defer cancel()
	if err := r.Leave(ctx); err != nil {
		r.m.Errorf("leaving: %v", err)
	}
	r.receiving.Wait()
	if _, err := r.Receive(ctx); !errors.Is(err, eventmesh.ErrClosed) {
		r.m.Errorf("receiving after that: got %v", err)
	}
}

// want waits for a time, and fails unless each of n events from 0 on came to one of the members, at most so often.
func (m *mesh) want(n, often int, within time.Duration, members ...*member) {
	m.Helper()
	deadline := time.Now().Add(within)
	for {
		synctest.Wait()
		all := map[string]int{}
		for _, r := range members {
			r.mu.Lock()
			for id, times := range r.came {
				all[id] += times
			}
			r.mu.Unlock()
		}
		missing := 0
		for i := range n {
			if all[fmt.Sprint(i)] == 0 {
				missing++
			}
		}
		most := 0
		if len(all) > 0 {
			most = slices.Max(slices.Collect(maps.Values(all)))
		}
		switch {
		case most > often, len(all) > n:
			m.Fatalf("got %d of %d events, one of them %d times, want each at most %d times", len(all), n, most, often)
		case missing == 0:
			return
		case time.Now().After(deadline):
			m.Fatalf("%d of %d events have not come in %s", missing, n, within)
		}
		time.Sleep(100 * time.Millisecond)
	}
}

// lost says what the server has lost, by reason.
func (m *mesh) lost() map[string]int {
	lost := map[string]int{}
	for _, d := range m.server.Deliveries() {
		if d.Lost != "" {
			lost[d.Lost]++
		}
	}
	return lost
}
