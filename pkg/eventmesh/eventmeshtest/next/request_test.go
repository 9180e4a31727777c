package next_test

import (
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/eventing-eventmesh/eventing-eventmesh/pkg/eventmesh/eventmeshtest/next"
)

// ask sends a request, whose answer comes later.
func (m *mesh) ask(body string) <-chan string {
	answer := make(chan string, 1)
	c := m.conn()
	go func() { answer <- m.on(c, "POST", "/events/request?topic=T", body) }()
	synctest.Wait()
	return answer
}

func TestRequests(t *testing.T) {
	play(t, next.Options{}, func(m *mesh) {
		m.subscribe("c", "T", "LOAD_BALANCE")
		answers := []<-chan string{m.ask(event("1")), m.ask(event("2", `,"emcorrelationid":"mine"`))}
		pass(pumped)
		all := m.wantPolled("c", "1 2")
		for i, id := range []string{"req-1", "mine"} {
			if !strings.Contains(string(all[i].Event), `"emcorrelationid":"`+id+`"`) {
				t.Errorf("got %s, want correlation %s", all[i].Event, id)
			}
			reply := `{"correlationId":"` + id + `","event":` + event("reply", `,"data":{"a":1}`) + `}`
			m.want("POST", "/events/reply", reply, `200 {"status":"ok"}`)
			m.want("POST", "/events/reply", reply, `404 {"status":"ok"}`)
			want := "200 " + strings.Replace(event("reply", `,"data":{"a":1}`), `,"id"`, `,"datacontenttype":"application/json","id"`, 1)
			if got := <-answers[i]; got != want {
				t.Errorf("got %s, want %s", got, want)
			}
		}
		for _, body := range []string{
			event("reply", `,"emcorrelationid":"mine"`), `{"correlationId":"mine"}`, `{"correlationId":"mine","event":{}}`,
			`{"event":` + event("1") + `}`, `[]`, `{`,
		} {
			if got := m.do("POST", "/events/reply", body); !strings.HasPrefix(got, `500 {"error":"reply error: `) {
				t.Errorf("%s: got %s, want 500", body, got)
			}
		}
	})
}

func TestRequestsThatFail(t *testing.T) {
	play(t, next.Options{}, func(m *mesh) {
		for _, c := range []struct {
			target, body string
			want         time.Duration
		}{
			{"/events/request?topic=T&timeoutMs=5000", event("1"), 5 * time.Second},
			{"/events/request?topic=T", event("1"), 30 * time.Second},
			{"/events/request?topic=T", `{}`, 0},
			{"/events/request", event("1"), 0},
		} {
			began := time.Now()
			if got := m.do("POST", c.target, c.body); !strings.HasPrefix(got, `504 {"error":"request timeout/error: `) {
				t.Errorf("%s %s: got %s", c.target, c.body, got)
			}
			if took := time.Since(began); took != c.want {
				t.Errorf("%s %s: took %s, want %s", c.target, c.body, took, c.want)
			}
		}
	})
}

// TestASecondRequestTakesTheReplyOfTheFirst, and loses it when the first has waited long enough.
func TestASecondRequestTakesTheReplyOfTheFirst(t *testing.T) {
	play(t, next.Options{}, func(m *mesh) {
		reply := `{"correlationId":"same","event":` + event("reply") + `}`
		first := m.ask(event("1", `,"emcorrelationid":"same"`))
		pass(20 * time.Second)
		second := m.ask(event("2", `,"emcorrelationid":"same"`))
		m.want("POST", "/events/reply", reply, `200 {"status":"ok"}`)
		if got := <-second; !strings.HasPrefix(got, "200") {
			t.Errorf("the second got %s", got)
		}
		third := m.ask(event("3", `,"emcorrelationid":"same"`))
		if got := <-first; !strings.HasPrefix(got, "504") {
			t.Errorf("the first got %s", got)
		}
		m.want("POST", "/events/reply", reply, `404 {"status":"ok"}`)
		if got := <-third; !strings.HasPrefix(got, "504") {
			t.Errorf("the third got %s", got)
		}
	})
}
