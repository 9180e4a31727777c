package next_test

import (
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/eventing-eventmesh/eventing-eventmesh/pkg/eventmesh/eventmeshtest/next"
)

const (
	acked   = `200 {"status":"acked"}`
	unknown = `404 {"error":"unknown deliveryId"}`
)

func TestRedelivery(t *testing.T) {
	play(t, next.Options{}, func(m *mesh) {
		m.subscribe("c", "T", "LOAD_BALANCE")
		m.publish("T", "1")
		began := time.Now()
		var times []string
		var first string
		for time.Since(began) < 200*time.Second {
			pass(time.Second)
			for _, p := range m.poll("c") {
				times = append(times, time.Since(began).Round(5*time.Second).String())
				if first == "" {
					first = p.DeliveryID
				}
				if p.DeliveryID != first {
					t.Errorf("got delivery %s, want %s again", p.DeliveryID, first)
				}
			}
		}
		if got := strings.Join(times, " "); got != "0s 30s 1m0s 1m30s 2m0s 2m30s" {
			t.Errorf("it came at %s", got)
		}
		if got := m.s.Published("T_DLQ"); len(got) != 1 || got[0].GetId() != "1" {
			t.Errorf("got dead letters %v, want the event", got)
		}
		m.subscribe("dead", "T_DLQ", "LOAD_BALANCE")
		pass(pumped)
		m.wantPolled("dead", "1")
		if got := m.ack(polled{DeliveryID: first}) + m.ack(polled{DeliveryID: first}); got != acked+unknown {
			t.Errorf("acknowledging a dead letter: got %s, want it to work once", got)
		}
	})
}

func TestAcknowledgementsWorkOnce(t *testing.T) {
	play(t, next.Options{}, func(m *mesh) {
		m.subscribe("c", "T", "LOAD_BALANCE")
		m.publish("T", "early", "late")
		pass(pumped)
		all := m.wantPolled("c", "early late")
		if got := m.ack(all[0]) + m.ack(all[0]); got != acked+unknown {
			t.Errorf("got %s, want it to work once", got)
		}
		pass(50 * time.Second)
		if got := m.ack(all[1]); got != acked {
			t.Errorf("late: got %s", got)
		}
		pass(time.Minute)
		m.wantPolled("c", "late") // is in the buffer again since 30 s
	})
}

// TestTheWindowBeginsInTheBuffer lets a client poll late: it finds the event twice, behind newer ones the second time.
func TestTheWindowBeginsInTheBuffer(t *testing.T) {
	play(t, next.Options{}, func(m *mesh) {
		m.subscribe("c", "T", "LOAD_BALANCE")
		m.publish("T", "1")
		pass(20 * time.Second)
		m.publish("T", "2")
		pass(16 * time.Second)
		all := m.wantPolled("c", "1 2 1")
		if all[0].DeliveryID != all[2].DeliveryID {
			t.Error("got two deliveries, want one twice")
		}
		if got := m.ack(all[0]) + m.ack(all[2]); got != acked+unknown {
			t.Errorf("got %s, want the second unknown", got)
		}
	})
}

// TestRedeliveryIsInTheOrderOfIDs has more than 9 deliveries, whose ids are in the order of texts.
func TestRedeliveryIsInTheOrderOfIDs(t *testing.T) {
	play(t, next.Options{}, func(m *mesh) {
		m.subscribe("c", "T", "LOAD_BALANCE")
		m.publishMany("T", 1, 11)
		pass(pumped)
		m.poll("c")
		pass(31 * time.Second)
		m.wantPolled("c", "1 10 11 2 3 4 5 6 7 8 9")
	})
}

func TestEventsOfADeadClientGoToNobodyElse(t *testing.T) {
	play(t, next.Options{}, func(m *mesh) {
		m.subscribe("dead", "T", "LOAD_BALANCE")
		m.publish("T", "1")
		pass(pumped)
		for range 200 {
			m.subscribe("living", "T", "LOAD_BALANCE")
			pass(time.Second)
			m.wantPolled("living", "")
		}
		if got := m.s.Published("T_DLQ"); len(got) != 1 {
			t.Errorf("%d dead letters, want 1", len(got))
		}
	})
}

func TestBarsEndAllRedelivery(t *testing.T) {
	for _, c := range []struct {
		name, topic, client string
		options             next.Options
		want                string
	}{
		{"none", "T", "c", next.Options{}, "1 1"},
		{"topic", "a%7Cb", "c", next.Options{}, ""},
		{"client", "T", "a%7Cb", next.Options{}, ""},
		{"tolerated", "a%7Cb", "a%7Cb", next.Options{TolerateBars: true}, "1 1"},
	} {
		t.Run(c.name, func(t *testing.T) {
			play(t, c.options, func(m *mesh) {
				m.subscribe("innocent", "other", "LOAD_BALANCE")
				m.subscribe(strings.ReplaceAll(c.client, "%7C", "|"), strings.ReplaceAll(c.topic, "%7C", "|"), "LOAD_BALANCE")
				m.publish("other", "1")
				m.publish(c.topic, "1")
				pass(pumped)
				m.wantPolled("innocent", "1")
				m.poll(c.client)
				pass(31 * time.Second)
				got := ids(m.poll("innocent")) + " " + ids(m.poll(c.client))
				if strings.TrimSpace(got) != c.want {
					t.Errorf("got %q again, want %q", got, c.want)
				}
				if err := m.s.Restart(true); err != nil {
					t.Fatal(err)
				}
				m.subscribe("innocent", "other", "LOAD_BALANCE")
				m.publish("other", "2")
				pass(pumped)
				m.poll("innocent")
				pass(31 * time.Second)
				m.wantPolled("innocent", "2") // until a restart
			})
		})
	}
}

func TestNamesOfDeadLetterTopicsLoseAllButASCII(t *testing.T) {
	play(t, next.Options{}, func(m *mesh) {
		m.subscribe("c", "ü☁", "LOAD_BALANCE")
		m.publish("%C3%BC%E2%98%81", "1")
		pass(200 * time.Second)
		if got := m.s.Published("??_DLQ"); len(got) != 1 {
			t.Errorf("%d dead letters, want 1", len(got))
		}
	})
}

func TestAClientStallsForGood(t *testing.T) {
	play(t, next.Options{SubscriptionLife: -1, CleanupInterval: -1}, func(m *mesh) {
		m.subscribe("c", "T", "LOAD_BALANCE")
		m.publishMany("T", 0, 8100)
		pass(81 * pumped)
		if got := len(m.poll("c", "max=10000")); got != 8003 {
			t.Errorf("the buffer held %d events, want the third above 8,000 to be the last", got)
		}
		m.want("POST", "/events/unsubscribe", `{"clientId":"c"}`, `200 {"removed":true}`)
		m.subscribe("c", "T", "LOAD_BALANCE")
		m.publish("T", "new")
		pass(30 * time.Second)
		m.wantPolled("c", "")
		pass(30 * time.Second)
		dead := map[string]bool{}
		for _, e := range m.s.Published("T_DLQ") {
			dead[e.GetId()] = true
		}
		for _, id := range []string{"8003", "8099", "new"} { // the first and the last that were not taken, and one for which there is room
			if !dead[id] {
				t.Errorf("event %s is no dead letter", id)
			}
		}
		m.want("POST", "/events/unsubscribe", `{"clientId":"c"}`, `200 {"removed":true}`)
		m.subscribe("other", "T", "LOAD_BALANCE")
		m.publish("T", "more")
		pass(pumped)
		m.wantPolled("other", "more")
	})
}

func TestLimitsOfBuffers(t *testing.T) {
	for _, c := range []struct {
		name    string
		options next.Options
		want    int
	}{
		{"stalls", next.Options{StallAbove: 10, BufferLimit: 20}, 13},
		{"full before it stalls", next.Options{StallAbove: 19, BufferLimit: 20}, 20},
		{"never stalls", next.Options{StallAbove: -1, BufferLimit: 20}, 20},
		{"no limit", next.Options{StallAbove: -1, BufferLimit: -1}, 50},
	} {
		t.Run(c.name, func(t *testing.T) {
			play(t, c.options, func(m *mesh) {
				m.subscribe("c", "T", "LOAD_BALANCE")
				m.publishMany("T", 0, 50)
				pass(pumped)
				if got := len(m.poll("c")); got != c.want {
					t.Errorf("the buffer held %d events, want %d", got, c.want)
				}
			})
		})
	}
	play(t, next.Options{StallAbove: 2}, func(m *mesh) { // two above, and drained: they are not counted any more
		m.subscribe("c", "T", "LOAD_BALANCE")
		for range 3 {
			m.publishMany("T", 0, 4)
			pass(pumped)
			m.wantPolled("c", "0 1 2 3")
		}
	})
}

func TestOffsetsThatAreNoNumbersEndAcknowledgements(t *testing.T) {
	for member, want := range map[string]string{
		`,"emmqoffset":"7","emmqpartition":"1"`: acked,
		`,"emmqoffset":"first"`:                 closed,
		`,"emmqpartition":"4294967296"`:         closed,
	} {
		play(t, next.Options{}, func(m *mesh) {
			m.subscribe("c", "T", "LOAD_BALANCE")
			m.want("POST", "/events/publish?topic=T", event("1", member), `202 {"status":"accepted"}`)
			pass(pumped)
			p := m.one()
			if got := m.ack(p); got != want {
				t.Errorf("with %s: got %s, want %s", member, got, want)
			}
			if got := m.ack(p); got != unknown {
				t.Errorf("with %s: got %s the second time, want %s", member, got, unknown)
			}
			pass(time.Minute)
			m.wantPolled("c", "")
		})
	}
}

func TestRestart(t *testing.T) {
	for _, c := range []struct {
		name    string
		storage next.Storage
		keep    bool
		want    string // after the restart
	}{
		{"memory", next.Memory, true, ""},
		{"holding", next.Holding, true, "polled buffered stored"},
		{"holding, emptied", next.Holding, false, ""},
	} {
		t.Run(c.name, func(t *testing.T) {
			play(t, next.Options{Storage: c.storage}, func(m *mesh) {
				m.subscribe("c", "T", "LOAD_BALANCE")
				m.publish("T", "skipped", "acknowledged", "polled")
				pass(pumped)
				all := m.wantPolled("c", "skipped acknowledged polled")
				if got := m.ack(all[1]); got != acked {
					t.Fatal(got)
				}
				m.publish("T", "buffered")
				pass(pumped)
				m.want("POST", "/events/unsubscribe", `{"clientId":"c","topic":"T"}`, `200 {"removed":true}`)
				m.publish("T", "stored")
				if err := m.s.Restart(c.keep); err != nil {
					t.Fatal(err)
				}
				if got := m.ack(all[0]); got != unknown {
					t.Errorf("acknowledging what was delivered before: got %s", got)
				}
				m.wantPolled("c", "")
				m.subscribe("c", "T", "LOAD_BALANCE")
				pass(pumped)
				m.wantPolled("c", c.want)
				pass(20 * time.Second)
				m.wantPolled("c", "")
				again := ""
				for _, d := range m.s.Deliveries() {
					if d.Redelivered {
						again = d.ID
					}
				}
				wantLost, wantAgain := "buffered stored", ""
				if c.want != "" {
					wantLost, wantAgain = "", "polled"
				}
				if got := m.lost(); got != wantLost || again != wantAgain {
					t.Errorf("lost are %q, and delivered again %q, want %q and %q", got, again, wantLost, wantAgain)
				}
			})
		})
	}
}

func TestHoldingStorageStampsEvents(t *testing.T) {
	play(t, next.Options{Storage: next.Holding}, func(m *mesh) {
		m.subscribe("c", "T", "LOAD_BALANCE")
		m.publish("T", "1", "2")
		pass(pumped)
		for i, p := range m.poll("c") {
			if want := fmt.Sprintf(`"emmqoffset":"%d","emmqpartition":"0"`, i); !strings.Contains(string(p.Event), want) {
				t.Errorf("got %s, want %s", p.Event, want)
			}
		}
	})
	names := []string{next.Memory.String(), next.Holding.String()}
	if !slices.Equal(names, []string{"memory", "holding"}) {
		t.Errorf("got %v", names)
	}
}

func TestPending(t *testing.T) {
	play(t, next.Options{}, func(m *mesh) {
		m.publish("T", "1", "2")
		want := func(n int, what string) {
			t.Helper()
			if got := m.s.Pending("T"); got != n {
				t.Errorf("%s: %d are pending, want %d", what, got, n)
			}
		}
		want(2, "without a subscription")
		m.subscribe("c", "T", "LOAD_BALANCE")
		pass(pumped)
		want(2, "in the buffer")
		all := m.wantPolled("c", "1 2")
		want(2, "polled")
		m.ack(all[0])
		want(1, "one acknowledged")
		pass(200 * time.Second)
		want(0, "the other among the dead letters")
	})
}
