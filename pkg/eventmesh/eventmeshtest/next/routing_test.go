package next_test

import (
	"fmt"
	"io"
	"net/http"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/eventing-eventmesh/eventing-eventmesh/pkg/eventmesh/eventmeshtest/next"
)

func TestSubscriptionsDieThoughTheirClientsPoll(t *testing.T) {
	play(t, next.Options{}, func(m *mesh) {
		m.subscribe("c", "T", "LOAD_BALANCE")
		for range 9 {
			pass(10 * time.Second)
			m.wantPolled("c", "")
		}
		m.publish("T", "at 90 s")
		pass(pumped)
		m.wantPolled("c", "")
		m.publish("T", "lost") // with the first that is pulled
		pass(pumped)
		m.publish("T", "kept")
		m.wantPolled("c", "")
		if got := m.s.Members("T"); got != 0 {
			t.Errorf("%d subscriptions, want none", got)
		}
		pass(time.Minute)
		m.subscribe("other", "T", "LOAD_BALANCE")
		pass(pumped)
		m.wantPolled("other", "lost kept")
	})
}

func TestABatchIsLostThatNoSubscriptionIsLeftFor(t *testing.T) {
	play(t, next.Options{SubscriptionLife: time.Second, CleanupInterval: -1}, func(m *mesh) {
		m.subscribe("c", "T", "BROADCAST")
		pass(1100 * time.Millisecond)
		m.publishMany("T", 0, 150)
		pass(2 * pumped)
		m.subscribe("c", "T", "BROADCAST")
		pass(pumped)
		if got := ids(m.poll("c")); !strings.HasPrefix(got, "100 101 ") || !strings.HasSuffix(got, " 149") {
			t.Errorf("got %s, want the events behind the first 100", got)
		}
		if all := m.s.Deliveries(); len(all) != 150 || all[99].Lost != "no subscription to its topic lives" || all[100].Lost != "" {
			t.Errorf("got %d deliveries", len(all))
		}
	})
}

func TestRenewalNeitherLosesNorDoubles(t *testing.T) {
	play(t, next.Options{}, func(m *mesh) {
		var got []polled
		for i := range 135 {
			if i%30 == 0 {
				m.subscribe("c", "T", "LOAD_BALANCE")
			}
			m.publish("T", fmt.Sprint(i))
			pass(time.Second)
			for _, p := range m.poll("c") {
				got = append(got, p)
				m.ack(p)
			}
		}
		if len(got) != 135 {
			t.Errorf("%d events came, want 135", len(got))
		}
		if n := m.s.Members("T"); n != 3 {
			t.Errorf("%d subscriptions, want those of 90 s", n)
		}
	})
}

func TestCleanup(t *testing.T) {
	for _, c := range []struct {
		name   string
		before func(m *mesh)
		want   string
	}{
		{"never polled", func(m *mesh) { pass(59 * time.Second); m.subscribe("c", "T", "LOAD_BALANCE") }, ""},
		{"polled long ago", func(m *mesh) { m.subscribe("c", "T", "LOAD_BALANCE"); m.poll("c"); pass(119 * time.Second) }, ""},
		{"polls", func(m *mesh) { m.subscribe("c", "T", "LOAD_BALANCE"); pass(59 * time.Second); m.poll("c") }, "1"},
		{"polled before it subscribed", func(m *mesh) {
			pass(30 * time.Second)
			m.poll("c")
			pass(29 * time.Second)
			m.subscribe("c", "T", "LOAD_BALANCE")
		}, "1"},
	} {
		t.Run(c.name, func(t *testing.T) {
			play(t, next.Options{}, func(m *mesh) {
				c.before(m)
				pass(2 * time.Second)
				m.publish("T", "1")
				pass(pumped)
				m.wantPolled("c", c.want)
			})
		})
	}
	play(t, next.Options{CleanupInterval: -1}, func(m *mesh) {
		m.subscribe("c", "T", "LOAD_BALANCE")
		pass(80 * time.Second)
		m.publish("T", "1")
		pass(pumped)
		m.wantPolled("c", "1")
	})
}

func TestPollWaitsOnlyForClientsThatAreKnown(t *testing.T) {
	play(t, next.Options{}, func(m *mesh) {
		m.subscribe("known", "T", "LOAD_BALANCE")
		m.poll("known")
		for _, c := range []struct {
			query string
			want  time.Duration
		}{
			{"clientId=unknown&timeoutMs=30000", 0},
			{"clientId=known&timeoutMs=30000", 30 * time.Second},
			{"clientId=known", time.Second},
			{"clientId=known&timeoutMs=-1", 0},
			{"clientId=known&max=0", time.Second},
		} {
			began := time.Now()
			m.want("GET", "/events/poll?"+c.query, "", "200 []")
			if took := time.Since(began); took != c.want {
				t.Errorf("%s took %s, want %s", c.query, took, c.want)
			}
		}
		m.want("POST", "/events/unsubscribe", `{"clientId":"known"}`, `200 {"removed":true}`)
		began := time.Now()
		m.want("GET", "/events/poll?clientId=known&timeoutMs=30000", "", "200 []")
		if took := time.Since(began); took != 0 {
			t.Errorf("a poll of a client that has left took %s, want 0", took)
		}
	})
}

func TestPollTakesAtLeastOneAndAtMostMax(t *testing.T) {
	play(t, next.Options{}, func(m *mesh) {
		m.subscribe("c", "T", "LOAD_BALANCE")
		m.publishMany("T", 0, 6)
		pass(pumped)
		for _, c := range []struct{ max, want string }{{"0", "0"}, {"1", "1"}, {"3", "2 3 4"}, {"100", "5"}} {
			if got := ids(m.poll("c", "max="+c.max)); got != c.want {
				t.Errorf("with max %s: got %q, want %q", c.max, got, c.want)
			}
		}
	})
}

func TestThePumpMoves100EventsOfATopicEach200Milliseconds(t *testing.T) {
	play(t, next.Options{}, func(m *mesh) {
		m.subscribe("c", "T", "LOAD_BALANCE")
		m.subscribe("c", "U", "LOAD_BALANCE")
		m.publishMany("T", 0, 250)
		m.publishMany("U", 0, 250)
		for _, want := range []int{0, 200, 200, 100, 0} {
			if got := len(m.poll("c", "max=1000")); got != want {
				t.Errorf("at %s: got %d events, want %d", time.Now().Format("05.0"), got, want)
			}
			pass(pumped)
		}
	})
}

func TestATopicHasOneCursor(t *testing.T) {
	play(t, next.Options{}, func(m *mesh) {
		m.publish("T", "1", "2")
		m.subscribe("first", "T", "BROADCAST")
		pass(pumped)
		m.subscribe("late", "T", "BROADCAST")
		m.publish("T", "3")
		pass(pumped)
		m.wantPolled("first", "1 2 3")
		m.wantPolled("late", "3")
		m.want("POST", "/events/unsubscribe", `{"clientId":"first"}`, `200 {"removed":true}`)
		m.want("POST", "/events/unsubscribe", `{"clientId":"late","topic":"T"}`, `200 {"removed":true}`)
		m.publish("T", "4")
		pass(time.Second)
		m.subscribe("next", "T", "BROADCAST")
		pass(pumped)
		m.wantPolled("next", "4")
	})
}

func TestModes(t *testing.T) {
	for _, c := range []struct {
		name    string
		mode    string
		clients []string
		want    int // deliveries of four events
		all     bool
	}{
		{"balanced over the clients of everybody", "LOAD_BALANCE", []string{"a", "b"}, 4, false},
		{"balanced over subscriptions", "LOAD_BALANCE", []string{"a", "a"}, 4, false},
		{"a copy for each client", "BROADCAST", []string{"a", "b"}, 8, true},
		{"a copy for each subscription", "BROADCAST", []string{"a", "a", "b"}, 12, true},
		{"multicast without filters", "MULTICAST", []string{"a", "b"}, 8, true},
		{"sticky without a key", "LOAD_BALANCE_STICKY", []string{"a", "b"}, 4, false},
	} {
		t.Run(c.name, func(t *testing.T) {
			play(t, next.Options{}, func(m *mesh) {
				for _, client := range c.clients {
					m.subscribe(client, "T", c.mode)
				}
				m.publish("T", "1", "2", "3", "4")
				pass(pumped)
				a, b := m.poll("a"), m.poll("b")
				if len(a)+len(b) != c.want {
					t.Errorf("%d deliveries, want %d", len(a)+len(b), c.want)
				}
				if c.clients[1] == "b" && !c.all && (len(a) != 2 || len(b) != 2) {
					t.Errorf("a got %s, b %s, want two each", ids(a), ids(b))
				}
			})
		})
	}
}

// TestOneTurnForAllTopics balances two topics with one event each by turns: each gives all its events to one client.
func TestOneTurnForAllTopics(t *testing.T) {
	play(t, next.Options{}, func(m *mesh) {
		for _, topic := range []string{"T", "U"} {
			m.subscribe("a"+topic, topic, "LOAD_BALANCE")
			m.subscribe("b"+topic, topic, "LOAD_BALANCE")
		}
		for i := range 4 {
			m.publish("T", fmt.Sprint(i))
			m.publish("U", fmt.Sprint(i))
			pass(pumped)
		}
		if got := len(m.poll("aT")); got%4 != 0 {
			t.Errorf("one client of T got %d of 4 events, want all or none", got)
		}
	})
}

func TestStickyKeys(t *testing.T) {
	play(t, next.Options{}, func(m *mesh) {
		m.subscribe("a", "T", "LOAD_BALANCE_STICKY")
		m.subscribe("b", "T", "LOAD_BALANCE_STICKY")
		for range 4 {
			m.want("POST", "/events/publish?topic=T", event("x", `,"partitionkey":"k😀"`), `202 {"status":"accepted"}`)
		}
		pass(pumped)
		if got := len(m.poll("a")); got%4 != 0 {
			t.Errorf("one client got %d of 4 events of a key, want all or none", got)
		}
	})
}

func TestOfMixedModesOneDecidesByChance(t *testing.T) {
	seen := map[int]bool{}
	for range 64 {
		play(t, next.Options{}, func(m *mesh) {
			m.subscribe("a", "T", "LOAD_BALANCE")
			m.subscribe("b", "T", "BROADCAST")
			m.publish("T", "1")
			pass(pumped)
			seen[len(m.poll("a"))+len(m.poll("b"))] = true
		})
	}
	if !seen[1] || !seen[2] {
		t.Errorf("got so many deliveries of one event: %v, want 1 and 2", seen)
	}
}

func TestPollersOfOneClientCompete(t *testing.T) {
	play(t, next.Options{}, func(m *mesh) {
		m.subscribe("c", "T", "LOAD_BALANCE")
		answers := make(chan string, 2)
		for range 2 {
			c := m.conn()
			go func() { answers <- m.on(c, "GET", "/events/poll?clientId=c&timeoutMs=10000&max=1", "") }()
		}
		synctest.Wait()
		if got := m.s.Subscribers("T"); got != 2 {
			t.Errorf("%d subscribers, want 2", got)
		}
		m.publish("T", "1", "2")
		got := <-answers + <-answers
		if strings.Count(got, `"id":"1"`) != 1 || strings.Count(got, `"id":"2"`) != 1 {
			t.Errorf("got %s, want each event once", got)
		}
		if got := m.s.Subscribers("T"); got != 0 {
			t.Errorf("%d subscribers, want none that polls", got)
		}
	})
}

func TestUnsubscribeRemovesOneSubscriptionOfATopicOrAll(t *testing.T) {
	play(t, next.Options{}, func(m *mesh) {
		m.subscribe("c", "T", "BROADCAST")
		m.subscribe("c", "T", "BROADCAST")
		m.want("POST", "/events/unsubscribe", `{"clientId":"c","topic":"T"}`, `200 {"removed":true}`)
		m.publish("T", "1")
		pass(pumped)
		m.want("POST", "/events/unsubscribe", `{"clientId":"c"}`, `200 {"removed":true}`)
		m.wantPolled("c", "") // the buffer is gone
		pass(31 * time.Second)
		m.wantPolled("c", "1") // and comes back
	})
}

func TestStreams(t *testing.T) {
	play(t, next.Options{}, func(m *mesh) {
		m.subscribe("c", "T", "LOAD_BALANCE")
		client := &http.Client{Transport: &http.Transport{DialContext: m.pipe.DialContext, DisableKeepAlives: true}}
		headers := make(chan *http.Response, 1)
		go func() {
			r, err := client.Get(m.s.URL() + "/events/stream?clientId=c")
			if err != nil {
				t.Error(err)
			}
			headers <- r
		}()
		pass(time.Minute + time.Second) // it polls, so the client is not evicted
		select {
		case <-headers:
			t.Error("the headers have come before the first event")
		default:
		}
		m.publish("T", "1")
		m.want("POST", "/events/publish?topic=T", event("poison", inBase64("\xff")), `202 {"status":"accepted"}`)
		r := <-headers
		defer r.Body.Close()
		text := make([]byte, 200)
		n, err := r.Body.Read(text)
		if err != nil {
			t.Fatal(err)
		}
		if got := string(text[:n]); !strings.HasPrefix(got, `data: {"deliveryId":"d-`) || !strings.HasSuffix(got, `"event":`+event("1")+"}\n\n") {
			t.Errorf("got %q", got)
		}
		if r.Header.Get("Content-Type") != "text/event-stream" {
			t.Errorf("got type %s", r.Header.Get("Content-Type"))
		}
		if n, _ := r.Body.Read(text); !strings.Contains(string(text[:n]), "poison") {
			t.Errorf("got %q, want what is no JSON as it is", text[:n])
		}
		again := make([]byte, 200)
		if n, _ := io.ReadAtLeast(r.Body, again, 10); !strings.Contains(string(again[:n]), `"id":"1"`) {
			t.Errorf("got %q, want the event again, for it was not acknowledged", again[:n])
		}
		if got := m.s.Subscribers("T"); got != 0 {
			t.Errorf("%d subscribers, want none that lives", got)
		}
	})
}

func TestAStreamTakesEventsForAClientThatHasGone(t *testing.T) {
	play(t, next.Options{}, func(m *mesh) {
		m.subscribe("c", "T", "LOAD_BALANCE")
		c := m.conn()
		if _, err := io.WriteString(c, "GET /events/stream?clientId=c HTTP/1.1\r\nHost: eventmesh\r\n\r\n"); err != nil {
			t.Fatal(err)
		}
		pass(time.Second)
		c.Close()
		m.publish("T", "1")
		pass(2 * pumped)
		m.wantPolled("c", "")
		pass(2 * time.Second)
		m.wantPolled("c", "1")
	})
}

func TestASubscriptionEndsWhileEventsAreDispatched(t *testing.T) {
	play(t, next.Options{DispatchTime: 5 * time.Millisecond}, func(m *mesh) {
		m.subscribe("c", "T", "LOAD_BALANCE")
		m.publish("T", "lost")
		pass(202 * time.Millisecond)
		m.want("POST", "/events/unsubscribe", `{"clientId":"c","topic":"T"}`, `200 {"removed":true}`)
		pass(pumped)
		if all := m.s.Deliveries(); len(all) != 1 || !strings.HasPrefix(all[0].Lost, "the last subscription to its topic ended") {
			t.Errorf("got %+v, want that the event is lost", all)
		}
	})
}
