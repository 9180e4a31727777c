package http

import (
	"context"
	"errors"
	"strconv"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/cloudevents/sdk-go/v2/event"

	"github.com/eventing-eventmesh/eventing-eventmesh/pkg/eventmesh"
	"github.com/eventing-eventmesh/eventing-eventmesh/pkg/eventmesh/eventmeshtest/next"
)

// lone is the only subscriber of a server in a bubble, whose time passes by itself.
type lone struct {
	t       *testing.T
	server  *next.Server
	session eventmesh.SubscriberSession
	publish func(id string)
}

func joinAlone(t *testing.T, o next.Options) *lone {
	t.Helper()
	pipe := &next.Pipe{}
	o.Listen, o.RecordDeliveries, o.Logf = pipe.Listen, true, t.Logf
	m := &lone{t: t, server: next.New(t, o)}
	transport := Transport{dial: pipe.DialContext}
	addresses, err := eventmesh.ParseAddresses(m.server.URL(), transport)
	if err != nil {
		t.Fatal(err)
	}
	publisher, err := transport.OpenPublisher(t.Context(), addresses[0], eventmesh.Client{})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = publisher.Close() })
	m.publish = func(id string) {
		e := event.New()
		e.SetID(id)
		e.SetSource("/here")
		e.SetType("numbered")
		if err := publisher.Publish(t.Context(), "T", e); err != nil {
			t.Error(err)
		}
	}
	m.session, err = transport.OpenSubscriber(t.Context(), addresses[0], eventmesh.Client{Group: "g"},
		eventmesh.Subscription{Topics: []string{"T"}, Mode: eventmesh.Clustering})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = m.session.Close() })
	return m
}

// receive receives and acknowledges until the session ends.
func (m *lone) receive() <-chan error {
	ended := make(chan error, 1)
	go func() {
		for {
			d, err := m.session.Receive()
			if err != nil {
				ended <- err
				return
			}
			_ = eventmesh.Acknowledge(context.Background(), d)
		}
	}()
	return ended
}

// heartbeats sends them as a Subscriber does, and does not care what becomes of them as long as events come.
func (m *lone) heartbeats(until <-chan struct{}) {
	go func() {
		for {
			select {
			case <-time.After(10 * time.Second):
			case <-until:
				return
			}
			ctx, cancel := context.WithTimeout(context.Background(), 15*time.Second)
			_ = m.session.Heartbeat(ctx)
			cancel()
		}
	}()
}

// A session that had ended its subscription hung for good when EventMesh did not answer the next one, and its heartbeats with it.
func TestStalledSubscriptionEndsTheSession(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		m := joinAlone(t, next.Options{})
		m.publish("1")
		time.Sleep(2 * patience) // nobody receives it
		if n := m.server.Members("T"); n != 0 {
			t.Fatalf("%d subscriptions, want none while nobody receives", n)
		}
		m.server.SetFaults(next.Faults{StallSubscribe: true})
		select {
		case err := <-m.receive():
			if !errors.Is(err, eventmesh.ErrUnconfirmed) {
				t.Errorf("got %v, want %v", err, eventmesh.ErrUnconfirmed)
			}
		case <-time.After(time.Minute):
			t.Error("the session goes on without a subscription")
		}
	})
}

// A session whose subscription could not be renewed went on to its end, while events came, and then events were lost.
func TestSubscriptionThatIsNotRenewed(t *testing.T) {
	for name, faults := range map[string]next.Faults{"refused": {RefuseSubscribe: true}, "stalled": {StallSubscribe: true}} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				m := joinAlone(t, next.Options{})
				stop := make(chan struct{})
				defer close(stop)
				ended := m.receive()
				m.heartbeats(stop)
				m.server.SetFaults(faults)
				for i := range 120 {
					m.publish(strconv.Itoa(i))
					time.Sleep(time.Second)
				}
				select {
				case <-ended:
				default:
					t.Error("the session goes on without a subscription")
				}
				handed := 0
				for _, d := range m.server.Deliveries() {
					if d.Lost != "" {
						t.Errorf("event %s is lost: %s", d.ID, d.Lost)
					}
					handed++
				}
				if waiting := m.server.Pending("T"); handed+waiting != 120 {
					t.Errorf("%d events were handed out, and %d wait, want 120 in all", handed, waiting)
				}
			})
		})
	}
}

// What nobody acknowledges EventMesh puts into the buffer of its client again and again. Nobody polled while so much was under way, so that
// EventMesh forgot the client, or gave it up for good.
func TestNothingIsAcknowledgedForLong(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		m := joinAlone(t, next.Options{})
		r := &receiver{came: map[string]int{}}
		go r.run(m.session)
		n := 0
		publish := func() {
			for end := time.Now().Add(5 * time.Second); time.Now().Before(end); time.Sleep(2 * time.Millisecond) {
				m.publish(strconv.Itoa(n))
				n++
			}
		}
		publish() // so that many may be under way
		r.goAway(true)
		publish()
		time.Sleep(160 * time.Second)
		r.goAway(false)
		time.Sleep(time.Minute)
		r.wantOnce(t, n)
		if dead, pending := len(m.server.Published("T_DLQ")), m.server.Pending("T"); dead > 0 || pending > 0 {
			t.Errorf("%d events are among the dead letters, and %d are pending, want none", dead, pending)
		}
	})
}

// A receiver that is slower than the publishers, and never stops, left ever more in the buffer, until EventMesh gave its client up for good.
func TestReceiverThatFallsBehind(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		m := joinAlone(t, next.Options{StallAbove: 2000})
		r := &receiver{came: map[string]int{}, pause: 10 * time.Millisecond}
		go r.run(m.session)
		const n = 4000
		for i := range n {
			m.publish(strconv.Itoa(i))
			time.Sleep(2 * time.Millisecond)
		}
		time.Sleep(time.Minute)
		r.wantOnce(t, n)
	})
}

// receiver acknowledges what it receives, but not while it is away.
type receiver struct {
	pause time.Duration // after each delivery

	mu   sync.Mutex
	away bool
	held []*eventmesh.Delivery
	came map[string]int
}

// run receives until the session ends.
func (r *receiver) run(session eventmesh.SubscriberSession) {
	for {
		d, err := session.Receive()
		if err != nil {
			return
		}
		r.take(d)
		time.Sleep(r.pause)
	}
}

func (r *receiver) take(d *eventmesh.Delivery) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.came[d.Event.ID()]++
	r.held = append(r.held, d)
	if !r.away {
		r.acknowledge()
	}
}

func (r *receiver) acknowledge() {
	_ = eventmesh.Acknowledge(context.Background(), r.held...)
	r.held = nil
}

func (r *receiver) goAway(away bool) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.away = away
	r.acknowledge()
}

// wantOnce fails unless the events with the numbers below n have come, once.
func (r *receiver) wantOnce(t *testing.T, n int) {
	t.Helper()
	r.mu.Lock()
	defer r.mu.Unlock()
	for i := range n {
		if got := r.came[strconv.Itoa(i)]; got != 1 {
			t.Fatalf("event %d of %d came %d times, want once", i, n, got)
		}
	}
}
