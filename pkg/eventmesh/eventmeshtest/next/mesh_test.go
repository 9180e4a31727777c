package next_test

import (
	"bufio"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/eventing-eventmesh/eventing-eventmesh/pkg/eventmesh/eventmeshtest/next"
)

// closed is what the tests call a connection that was closed without an answer.
const closed = "closed"

// mesh is a server in a bubble.
type mesh struct {
	t    *testing.T
	s    *next.Server
	pipe *next.Pipe
}

// play runs a test in a bubble, with a server that has just been started.
func play(t *testing.T, o next.Options, test func(*mesh)) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) {
		pipe := &next.Pipe{}
		o.Listen = pipe.Listen
		if o.DispatchTime == 0 {
			o.DispatchTime = -1 // the tests count in whole rounds
		}
		o.RecordDeliveries = true
		o.Logf = t.Logf
		test(&mesh{t: t, s: next.New(t, o), pipe: pipe})
	})
}

// conn connects to the server, until the test ends.
func (m *mesh) conn() net.Conn {
	m.t.Helper()
	c, err := m.pipe.DialContext(m.t.Context(), "tcp", strings.TrimPrefix(m.s.URL(), "http://"))
	if err != nil {
		m.t.Fatal(err)
	}
	m.t.Cleanup(func() { c.Close() })
	return c
}

// do sends a request on a connection of its own, and returns the status and the body, or closed.
func (m *mesh) do(method, target, body string, headers ...string) string {
	m.t.Helper()
	c := m.conn()
	defer c.Close()
	return m.on(c, method, target, body, headers...)
}

func (m *mesh) on(c net.Conn, method, target, body string, headers ...string) string {
	m.t.Helper()
	if !slices.ContainsFunc(headers, func(h string) bool {
		return strings.HasPrefix(h, "Transfer-Encoding:") || strings.HasPrefix(h, "Content-Length:")
	}) {
		headers = append(headers, fmt.Sprintf("Content-Length: %d", len(body)))
	}
	request := fmt.Sprintf("%s %s HTTP/1.1\r\nHost: eventmesh\r\n%s\r\n\r\n%s", method, target, strings.Join(headers, "\r\n"), body)
	go func() { _, _ = io.WriteString(c, request) }() // a server that refuses it may not read it to its end
	answer, err := http.ReadResponse(bufio.NewReader(c), nil)
	if errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF) {
		return closed
	}
	if err != nil {
		m.t.Fatal(err)
	}
	text, err := io.ReadAll(answer.Body)
	if err != nil {
		m.t.Fatal(err)
	}
	return fmt.Sprintf("%d %s", answer.StatusCode, text)
}

// want sends a request, and fails unless it is answered so.
func (m *mesh) want(method, target, body, want string) {
	m.t.Helper()
	if got := m.do(method, target, body); got != want {
		m.t.Errorf("%s %s %.300s: got %.300s, want %s", method, target, body, got, want)
	}
}

// event is one with more members, such as `,"a":"b"`.
func event(id string, members ...string) string {
	return fmt.Sprintf(`{"specversion":"1.0","id":%q,"source":"/s","type":"t"%s}`, id, strings.Join(members, ""))
}

// publish publishes events.
func (m *mesh) publish(topic string, ids ...string) {
	m.t.Helper()
	for _, id := range ids {
		m.want("POST", "/events/publish?topic="+topic, event(id), `202 {"status":"accepted"}`)
	}
}

// publishMany publishes a batch of events from first on, which counts from 0.
func (m *mesh) publishMany(topic string, first, n int) {
	m.t.Helper()
	events := make([]string, n)
	for i := range events {
		events[i] = event(fmt.Sprint(first + i))
	}
	m.want("POST", "/events/publish-batch?topic="+topic, "["+strings.Join(events, ",")+"]", `202 {"status":"accepted"}`)
}

func (m *mesh) subscribe(client, topic, mode string) {
	m.t.Helper()
	body := fmt.Sprintf(`{"clientId":%q,"topic":%q,"mode":%q}`, client, topic, mode)
	if got := m.do("POST", "/events/subscribe", body); !strings.HasPrefix(got, `200 {"subscriptionId":"`) {
		m.t.Fatalf("subscribing: got %s", got)
	}
}

// polled is an event of an answer to a poll.
type polled struct {
	DeliveryID string          `json:"deliveryId"`
	Event      json.RawMessage `json:"event"`
}

func (p polled) id() string {
	var e struct {
		ID string `json:"id"`
	}
	_ = json.Unmarshal(p.Event, &e)
	return e.ID
}

// poll polls, with more parameters of the query, and takes what is there at once.
func (m *mesh) poll(client string, parameters ...string) []polled {
	m.t.Helper()
	got := m.do("GET", "/events/poll?"+strings.Join(append(parameters, "clientId="+client, "timeoutMs=0", "max=100"), "&"), "")
	body, ok := strings.CutPrefix(got, "200 ")
	var all []polled
	if err := json.Unmarshal([]byte(body), &all); err != nil || !ok {
		m.t.Fatalf("polling: got %s", got)
	}
	return all
}

func ids(all []polled) string {
	var ids []string
	for _, p := range all {
		ids = append(ids, p.id())
	}
	return strings.Join(ids, " ")
}

// wantPolled polls, and fails unless these events come.
func (m *mesh) wantPolled(client, want string) []polled {
	m.t.Helper()
	all := m.poll(client)
	if got := ids(all); got != want {
		m.t.Errorf("client %s polled %q, want %q", client, got, want)
	}
	return all
}

// one polls one event of client c, which has to be there.
func (m *mesh) one() polled {
	m.t.Helper()
	all := m.poll("c", "max=1")
	if len(all) != 1 {
		m.t.Fatalf("polled %q, want one event", ids(all))
	}
	return all[0]
}

// lost returns the events that the server says it has lost.
func (m *mesh) lost() string {
	var lost []string
	for _, d := range m.s.Deliveries() {
		if d.Lost != "" {
			lost = append(lost, d.ID)
		}
	}
	return strings.Join(lost, " ")
}

func (m *mesh) ack(p polled) string {
	m.t.Helper()
	return m.do("POST", "/events/ack", `{"deliveryId":"`+p.DeliveryID+`"}`)
}

// pass lets time pass.
func pass(d time.Duration) {
	time.Sleep(d)
	synctest.Wait()
}

// pumped is the time after which what was published is in the buffers.
const pumped = 200 * time.Millisecond
