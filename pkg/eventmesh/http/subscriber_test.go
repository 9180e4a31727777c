package http

import (
	"context"
	"fmt"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/cloudevents/sdk-go/v2/event"

	"github.com/eventing-eventmesh/eventing-eventmesh/pkg/eventmesh"
	"github.com/eventing-eventmesh/eventing-eventmesh/pkg/eventmesh/eventmeshtest/next"
)

// EventMesh ends each subscription after 90 s, and evicts clients that do not poll.
func TestSubscriptionsLast(t *testing.T) {
	t.Parallel()
	for name, s := range map[string]eventmesh.Subscription{"clustering": {}, "broadcasting": {Mode: eventmesh.Broadcasting}} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			play(t, next.Options{}, func(m *mesh) {
				r := m.join("a", s)
				m.publish(0, 300, 2*time.Second)
				m.want(300, 1, time.Second, r)
				time.Sleep(10 * time.Minute) // in which nothing comes
				m.publish(300, 100, 10*time.Millisecond)
				m.want(400, 1, time.Second, r)
				time.Sleep(5 * time.Minute)
				m.want(400, 1, time.Second, r) // and none comes again
				if lost := m.lost(); len(lost) > 0 {
					t.Errorf("lost %v", lost)
				}
			})
		})
	}
}

// Members of a group share what comes, and who leaves or dies leaves the rest to the others.
func TestMembersComeAndGo(t *testing.T) {
	t.Parallel()
	for name, test := range map[string]struct {
		leave  func(*member)
		within time.Duration
		often  int
	}{
		"left": {(*member).leave, 10 * time.Second, 1},
		// A poll that the server goes on with takes events with it, and what was not acknowledged comes again.
		"died": {func(r *member) { _ = r.Close() }, 40 * time.Second, 2},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			play(t, next.Options{}, func(m *mesh) {
				a, b := m.join("a", eventmesh.Subscription{}), m.join("b", eventmesh.Subscription{})
				m.publish(0, 200, 20*time.Millisecond)
				m.want(200, 1, time.Second, a, b)
				_, ofA := a.times("")
				_, ofB := b.times("")
				if ofA == 0 || ofB == 0 {
					t.Errorf("they got %d and %d events, want a share each", ofA, ofB)
				}
				go test.leave(a)
				m.publish(200, 200, 20*time.Millisecond)
				m.want(400, test.often, test.within, a, b)
				test.leave(b)
				c := m.join("c", eventmesh.Subscription{})
				m.publish(400, 50, 20*time.Millisecond)
				m.want(450, test.often, 40*time.Second, a, b, c)
				if lost := m.lost(); len(lost) > 0 {
					t.Errorf("lost %v", lost)
				}
			})
		})
	}
}

// What is published while there is no member waits.
func TestMemberComesLater(t *testing.T) {
	t.Parallel()
	play(t, next.Options{}, func(m *mesh) {
		m.join("a", eventmesh.Subscription{}).leave()
		m.publish(0, 100, 10*time.Millisecond)
		time.Sleep(time.Hour)
		m.want(100, 1, 10*time.Second, m.join("b", eventmesh.Subscription{}))
	})
}

// A server that restarts forgets its subscribers, and in memory its events.
func TestServerRestarts(t *testing.T) {
	t.Parallel()
	play(t, next.Options{Storage: next.Holding}, func(m *mesh) {
		r := m.join("a", eventmesh.Subscription{})
		m.publish(0, 50, 10*time.Millisecond)
		m.want(50, 1, time.Second, r)
		m.server.Stop()
		time.Sleep(20 * time.Second)
		if err := r.Ready(); err == nil {
			t.Error("it is ready without a server")
		}
		if err := m.server.Restart(true); err != nil {
			t.Fatal(err)
		}
		time.Sleep(time.Minute)
		m.publish(50, 50, 10*time.Millisecond)
		m.want(100, 1, time.Minute, r)
	})
}

// An event comes again when nobody acknowledges it, but not to who has it still, and not when it was acknowledged late.
func TestRedelivery(t *testing.T) {
	t.Parallel()
	play(t, next.Options{}, func(m *mesh) {
		r := m.join("a", eventmesh.Subscription{})
		r.react(func(ctx context.Context, d *eventmesh.Delivery) {
			switch d.Event.ID() {
			case "0":
				time.Sleep(2 * time.Minute)
			case "1":
				if times, _ := r.times("1"); times == 1 {
					_ = d.Release(ctx)
					_ = d.Ack(ctx) // of no effect
				}
			}
		})
		m.publish(0, 1, 0)
		time.Sleep(110 * time.Second)
		m.want(1, 1, 0, r)
		time.Sleep(time.Minute)
		m.publish(1, 1, 0)
		time.Sleep(time.Minute)
		if times, _ := r.times("1"); times != 2 {
			t.Errorf("an event that was given back came %d times, want 2", times)
		}
		time.Sleep(10 * time.Minute)
		first, _ := r.times("0")
		second, _ := r.times("1")
		if up := len(m.server.Published(topic + deadLetters)); first != 1 || second != 2 || up > 0 {
			t.Errorf("they came %d times and %d times, and %d events are given up", first, second, up)
		}
	})
}

// While a receiver takes nothing, events stay in the storage, where they have time: no longer than a moment more are taken out of it.
func TestReceiverThatIsSlow(t *testing.T) {
	t.Parallel()
	const n = 6_000
	play(t, next.Options{}, func(m *mesh) {
		r := m.join("a", eventmesh.Subscription{})
		m.publish(0, 100, 10*time.Millisecond)
		m.want(100, 1, time.Second, r)
		r.shut()
		m.publish(100, n-100, 10*time.Millisecond) // a minute long
		if given := len(m.server.Deliveries()); given > 3_000 {
			t.Errorf("the server has delivered %d events to a receiver that takes none", given)
		}
		time.Sleep(time.Minute)
		r.open()
		m.want(n, 1, 2*time.Minute, r)
		if up := len(m.server.Published(topic + deadLetters)); up > 0 {
			t.Errorf("%d events are given up", up)
		}
	})
}

// An event that EventMesh cannot write costs the others some time, and is told of.
func TestEventThatCannotBeWritten(t *testing.T) {
	t.Parallel()
	play(t, next.Options{}, func(m *mesh) {
		r := m.join("a", eventmesh.Subscription{})
		m.publish(0, 50, 0)
		m.poison()
		m.publish(50, 50, 0)
		m.want(100, 1, 40*time.Second, r)
		m.publish(100, 200, time.Second)
		m.want(300, 1, time.Second, r)
		if told := r.told(); len(told) != 1 || !strings.Contains(told[0].Error(), "should write") {
			t.Errorf("told of %v, want it once", told)
		}
		time.Sleep(3 * time.Minute)
		if up := len(m.server.Published(topic + deadLetters)); up != 1 {
			t.Errorf("%d events are given up, want that one", up)
		}
	})
}

// poison publishes an event that EventMesh accepts, and cannot write.
func (m *mesh) poison() {
	m.Helper()
	s := m.transport.newSession(m.config("").Addresses[0], eventmesh.Client{})
	defer s.Close()
	a, err := s.post(m.Context(), pathPublish+"?topic="+topic, []byte(`{"specversion":"1.0","id":"p","source":"/s","type":"t","data_base64":"e2E="}`))
	if err != nil || a.status != 202 {
		m.Fatalf("publishing it: %v, %d %s", err, a.status, a.body)
	}
}

// What is no event is handed over as such, and can be acknowledged.
func TestEventsOfOthers(t *testing.T) {
	t.Parallel()
	play(t, next.Options{}, func(m *mesh) {
		s := m.transport.newSession(m.config("").Addresses[0], eventmesh.Client{})
		defer s.Close()
		var got []event.Event
		r := m.join("a", eventmesh.Subscription{})
		r.react(func(_ context.Context, d *eventmesh.Delivery) { got = append(got, d.Event) })
		for _, body := range []string{
			`{"specversion":"1.0","id":"0","source":"/s","type":"t","subject":"own","n":7,"env":"prod","emmqoffset":"3","data":{"a": 1.50}}`,
			`{"specversion":"1.0","id":"1","source":"/s","type":"t","emxtypes":"n:integer","n":"seven"}`,
		} {
			if a, err := s.post(m.Context(), pathPublish+"?topic="+topic, []byte(body)); err != nil || a.status != 202 {
				t.Fatalf("publishing %s: %v, %d %s", body, err, a.status, a.body)
			}
		}
		time.Sleep(time.Second)
		synctest.Wait()
		if told := r.told(); len(got) != 2 || len(told) != 1 {
			t.Fatalf("got %v, refused %v", got, told)
		}
		want := map[string]any{"n": "7", "env": "prod"}
		if e := got[0]; e.Subject() != "own" || len(e.Extensions()) != len(want) || e.Extensions()["n"] != "7" || e.Extensions()["env"] != "prod" || string(e.Data()) != `{"a":1.5}` {
			t.Errorf("got %v", e)
		}
		time.Sleep(10 * time.Minute)
		if up := len(m.server.Published(topic + deadLetters)); up > 0 {
			t.Errorf("%d events were not acknowledged", up)
		}
	})
}

// What EventMesh delivers again while its acknowledgement is late is acknowledged, and not handed over once more.
func TestAcknowledgementsThatAreLate(t *testing.T) {
	t.Parallel()
	play(t, next.Options{}, func(m *mesh) {
		r := m.join("a", eventmesh.Subscription{})
		r.shut()
		m.publish(0, 10, 0)
		time.Sleep(70 * time.Second)
		r.open()
		m.want(10, 1, time.Second, r)
		time.Sleep(20 * time.Second)
		m.want(10, 1, 0, r)
		if given := len(m.server.Deliveries()); given < 20 {
			t.Errorf("the server has delivered %d events, want each more than once", given)
		}
	})
}

// Who leaves takes what EventMesh has taken out of its storage, so that the next member need not wait until that comes again.
func TestLeavingUnderLoad(t *testing.T) {
	t.Parallel()
	const n = 500
	play(t, next.Options{}, func(m *mesh) {
		r := m.join("a", eventmesh.Subscription{})
		r.react(func(context.Context, *eventmesh.Delivery) { time.Sleep(20 * time.Millisecond) })
		m.publish(0, n, 0)
		time.Sleep(1100 * time.Millisecond)
		r.leave()
		if _, all := r.times(""); all == n {
			t.Fatal("all came before it has left")
		}
		m.want(n, 1, 5*time.Second, r, m.join("b", eventmesh.Subscription{}))
	})
}

// Who polls for one event at a time keeps up with EventMesh, and its subscription.
func TestSinglePollsKeepUp(t *testing.T) {
	t.Parallel()
	play(t, next.Options{}, func(m *mesh) {
		r := m.join("a", eventmesh.Subscription{})
		m.poison()
		time.Sleep(time.Second)
		const n = 6_000
		m.publish(0, n, 10*time.Millisecond)
		m.want(n, 1, time.Second, r)
		if made := m.server.Members(topic); made < 6 {
			t.Errorf("there are %d subscriptions after a minute, want one every 20 s, and one for each poll that broke: it was suspended", made)
		}
	})
}

// Who leaves soon after it has come has yet to learn when EventMesh dispatches.
func TestLeavingAtOnce(t *testing.T) {
	t.Parallel()
	for _, moment := range []int{0, 30, 101, 150, 199, 202, 230, 255, 300} {
		t.Run(fmt.Sprintf("at %d ms", moment), func(t *testing.T) {
			t.Parallel()
			play(t, next.Options{DispatchTime: 60 * time.Millisecond}, func(m *mesh) {
				const n = 1000
				var publishing sync.WaitGroup
				publishing.Go(func() { m.publish(0, n, 10*time.Millisecond) })
				time.Sleep(time.Second)
				var members []*member
				for range 5 {
					r := m.join("a", eventmesh.Subscription{})
					members = append(members, r)
					time.Sleep(time.Duration(moment) * time.Millisecond)
					r.leave()
				}
				publishing.Wait()
				m.want(n, 1, time.Minute, append(members, m.join("b", eventmesh.Subscription{}))...)
				if lost := m.lost(); len(lost) > 0 {
					t.Errorf("lost %v", lost)
				}
			})
		})
	}
}

// Who ends a subscription does so while nothing is dispatched, or it would be lost.
func TestLeavingBetweenTheRounds(t *testing.T) {
	t.Parallel()
	for name, end := range map[string]func(*member){
		"leaving": (*member).leave,
		"a receiver that stops": func(r *member) {
			r.shut()
			time.Sleep(patience + time.Second)
			r.open()
		},
		"a receiver that falls behind": func(r *member) {
			r.react(func(context.Context, *eventmesh.Delivery) { time.Sleep(15 * time.Millisecond) })
		},
	} {
		for _, moment := range []int{0, 50, 101, 150, 199, 202, 230, 255} {
			t.Run(fmt.Sprintf("%s at %d ms", name, moment), func(t *testing.T) {
				t.Parallel()
				play(t, next.Options{DispatchTime: 60 * time.Millisecond}, func(m *mesh) {
					const n = 3000
					r := m.join("a", eventmesh.Subscription{})
					var publishing sync.WaitGroup
					publishing.Go(func() { m.publish(0, n, 10*time.Millisecond) })
					time.Sleep(2*time.Second + time.Duration(moment)*time.Millisecond)
					end(r)
					publishing.Wait()
					r.react(nil)
					m.want(n, 1, time.Minute, r, m.join("b", eventmesh.Subscription{}))
					if lost := m.lost(); len(lost) > 0 {
						t.Errorf("lost %v", lost)
					}
				})
			})
		}
	}
}
