package next_test

import (
	"fmt"
	"io"
	"net"
	"net/http"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/eventing-eventmesh/eventing-eventmesh/pkg/eventmesh/eventmeshtest"
	"github.com/eventing-eventmesh/eventing-eventmesh/pkg/eventmesh/eventmeshtest/next"
)

func TestFaults(t *testing.T) {
	const publish = "/events/publish?topic=T"
	for _, c := range []struct {
		name                 string
		faults               next.Faults
		method, target, body string
		want                 string
		takes                time.Duration
		stored               int
	}{
		{"refused", next.Faults{Refuse: 503}, "POST", publish, event("1"), `503 {"error":"refused"}`, 0, 0},
		{"refused late", next.Faults{Refuse: 503, RefuseDescription: "busy", Delay: time.Second}, "POST", publish, event("1"),
			`503 {"error":"busy"}`, time.Second, 0},
		{"refused batch", next.Faults{Refuse: 429}, "POST", "/events/publish-batch?topic=T", "[]", `429 {"error":"refused"}`, 0, 0},
		{"refused request", next.Faults{Refuse: 500}, "POST", "/events/request?topic=T", event("1"), `500 {"error":"refused"}`, 0, 0},
		{"late", next.Faults{Delay: time.Minute}, "POST", publish, event("1"), `202 {"status":"accepted"}`, time.Minute, 1},
		{"answer lost", next.Faults{LoseAnswers: 1}, "POST", publish, event("1"), closed, 0, 1},
		{"poll lost", next.Faults{LosePolls: 1}, "GET", "/events/poll?clientId=c", "", closed, time.Second, 0},
		{"acknowledgement lost", next.Faults{LoseAcknowledgements: 1}, "POST", "/events/ack", `{"deliveryId":"d"}`, closed, 0, 0},
		{"subscription refused", next.Faults{RefuseSubscribe: true}, "POST", "/events/subscribe", `{}`, `500 {"error":"refused"}`, 0, 0},
	} {
		t.Run(c.name, func(t *testing.T) {
			play(t, next.Options{}, func(m *mesh) {
				m.subscribe("c", "U", "LOAD_BALANCE")
				m.s.SetFaults(c.faults)
				began := time.Now()
				m.want(c.method, c.target, c.body, c.want)
				if took := time.Since(began); took != c.takes {
					t.Errorf("took %s, want %s", took, c.takes)
				}
				if got := len(m.s.Published("T")); got != c.stored {
					t.Errorf("%d events are stored, want %d", got, c.stored)
				}
			})
		})
	}
}

func TestStalls(t *testing.T) {
	for _, c := range []struct {
		faults               next.Faults
		method, target, body string
	}{
		{next.Faults{StallSubscribe: true}, "POST", "/events/subscribe", `{"clientId":"c","topic":"T","mode":"BROADCAST"}`},
		{next.Faults{StallUnsubscribe: true}, "POST", "/events/unsubscribe", `{"clientId":"c"}`},
		{next.Faults{StallPoll: true}, "GET", "/events/poll?clientId=c", ""},
		{next.Faults{StallAcknowledge: true}, "POST", "/events/ack", `{"deliveryId":"d"}`},
	} {
		play(t, next.Options{}, func(m *mesh) {
			m.s.SetFaults(c.faults)
			answer := make(chan string, 1)
			conn := m.conn()
			go func() { answer <- m.on(conn, c.method, c.target, c.body) }()
			pass(time.Hour)
			select {
			case got := <-answer:
				t.Errorf("%s: got %s", c.target, got)
			default:
			}
			m.s.Stop()
			if got := <-answer; got != closed {
				t.Errorf("%s: got %s", c.target, got)
			}
		})
	}
}

func TestDeliveries(t *testing.T) {
	play(t, next.Options{}, func(m *mesh) {
		m.subscribe("c", "T", "LOAD_BALANCE")
		m.publish("T", "1", "2")
		m.publish("other", "1")
		pass(pumped)
		p := m.one()
		m.ack(p)
		c := m.conn()
		m.on(c, "GET", "/events/poll?clientId=c&timeoutMs=0", "", "Authorization: Bearer replica")
		pass(31 * time.Second)
		m.on(c, "GET", "/events/poll?clientId=c&timeoutMs=0", "", "Authorization: Bearer replica")
		m.s.DropConnections()
		synctest.Wait()
		want := []eventmeshtest.Delivery{
			{ID: "1", Publication: 1, Acknowledged: eventmeshtest.ByClient, Session: eventmeshtest.Session{Number: 1, End: eventmeshtest.Gone}},
			{ID: "2", Publication: 2, Session: eventmeshtest.Session{Number: 2, User: "replica", End: eventmeshtest.Cut}},
			{ID: "2", Publication: 2, Redelivered: true, Session: eventmeshtest.Session{Number: 2, User: "replica", End: eventmeshtest.Cut}},
		}
		got := m.s.Deliveries()
		for i := range want {
			want[i].Topic, want[i].Session.Transport, want[i].Session.Group = "T", "http", "c"
		}
		if fmt.Sprint(got) != fmt.Sprint(want) {
			t.Errorf("got  %+v\nwant %+v", got, want)
		}
	})
}

func TestRecordsAreBounded(t *testing.T) {
	for limit, want := range map[int]int{0: 3, 2: 2, -1: 0} {
		play(t, next.Options{RecordLimit: limit}, func(m *mesh) {
			m.publish("T", "1", "2")
			m.want("POST", "/events/publish?topic=T", event("3", `,"data":1`), `202 {"status":"accepted"}`)
			got := m.s.Published("T")
			if len(got) != want || want > 0 && (got[want-1].GetId() != "3" || string(got[want-1].GetBinaryData()) != "1") {
				t.Errorf("with limit %d: got %v, want the last %d", limit, got, want)
			}
		})
	}
}

// TestAPollOfAClientThatHasGoneTakesEvents shows that the server does not notice.
func TestAPollOfAClientThatHasGoneTakesEvents(t *testing.T) {
	play(t, next.Options{}, func(m *mesh) {
		m.subscribe("c", "T", "LOAD_BALANCE")
		c := m.conn()
		if _, err := io.WriteString(c, "GET /events/poll?clientId=c&timeoutMs=10000 HTTP/1.1\r\nHost: eventmesh\r\n\r\n"); err != nil {
			t.Fatal(err)
		}
		synctest.Wait()
		c.Close()
		m.publish("T", "1")
		pass(pumped)
		m.wantPolled("c", "")
		pass(31 * time.Second)
		m.wantPolled("c", "1")
	})
}

// TestOverTheNetwork is outside of a bubble.
func TestOverTheNetwork(t *testing.T) {
	s := next.New(t, next.Options{})
	post := func() (string, error) {
		r, err := http.Post(s.URL()+"/events/publish?topic=T", "", strings.NewReader(event("1")))
		if err != nil {
			return "", err
		}
		defer r.Body.Close()
		b, err := io.ReadAll(r.Body)
		return r.Status + " " + string(b), err
	}
	defer http.DefaultClient.CloseIdleConnections()
	url := s.URL()
	for range 2 {
		if got, err := post(); err != nil || got != `202 Accepted {"status":"accepted"}` {
			t.Errorf("got %s, %v", got, err)
		}
		s.Stop()
		s.Stop()
		if _, err := post(); err == nil {
			t.Error("a server that has been stopped answers")
		}
		s.MustRestart(t, true)
	}
	c, err := net.Dial("tcp", strings.TrimPrefix(url, "http://"))
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	if _, err := io.WriteString(c, "POST /events/publish HTTP/1.1\r\nHost: e\r\nContent-Length: 0\r\n\r\n"); err != nil {
		t.Fatal(err)
	}
	if _, err := c.Read(make([]byte, 1)); err != nil {
		t.Fatal(err)
	}
	s.DropConnections()
	if _, err := io.ReadAll(c); err == nil {
		t.Error("the connection has ended in order, want it reset")
	}
	if _, err := next.Start(next.Options{Address: strings.TrimPrefix(url, "http://")}); err == nil {
		t.Error("a second server serves at the same address")
	}
	s.Close()
	if err := s.Restart(true); err == nil || s.URL() != url {
		t.Errorf("restarting a closed server at %s: got %v", s.URL(), err)
	}
}
