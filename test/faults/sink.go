package faults

import (
	"context"
	"net"
	"net/http"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/cloudevents/sdk-go/v2/binding"
	"github.com/cloudevents/sdk-go/v2/event"
	cehttp "github.com/cloudevents/sdk-go/v2/protocol/http"
)

// request is one attempt at an event, as the sink sees it.
type request struct {
	id, key string
	// attempt counts the requests with this event, from 1.
	attempt int
}

// answer is what the sink does with a request.
type answer struct {
	status     int
	retryAfter string
	body       string
	// delay is waited before the event is taken or refused.
	delay time.Duration
	how   manner
}

// manner is how an answer is given; the zero value is a complete answer.
type manner int

const (
	// never is no answer until the sender gives up; the event is not taken.
	never manner = iota + 1
	// brokenBefore closes the connection in the middle of the answer, and has not taken the event.
	brokenBefore
	// brokenAfter does so when it has taken the event.
	brokenAfter
)

// rule decides on requests.
type rule func(request) answer

func accept(request) answer { return answer{status: http.StatusAccepted} }

func refuse(status int) rule { return func(request) answer { return answer{status: status} } }

// take is an event that the sink has taken.
type take struct {
	at   time.Time
	step int64
	// by is the user name of the process that asked.
	by string
	// unanswered says that the sender has not got the answer, or may not have.
	unanswered bool
	// conn is the connection that it came over; nil where there is none.
	conn net.Conn
}

// sink is an HTTP server that writes down what it is asked, and what it has taken.
type sink struct {
	url     string
	address string
	// steps orders the requests and the taking of all sinks of a scenario.
	steps *atomic.Int64
	// keep keeps the events themselves, not only their IDs.
	keep bool

	mu       sync.Mutex
	rule     rule
	requests int
	attempts map[string]int
	asked    map[string]int64 // the step of the first request
	takes    map[string][]take
	latest   map[net.Conn]string // the event that was taken last over a connection
	events   map[string]event.Event
	stops    []time.Time // when its connections were cut
	server   *http.Server
	ended    chan struct{}
}

// newSink starts a sink that takes everything.
func newSink(t *testing.T, steps *atomic.Int64) *sink {
	t.Helper()
	s := &sink{
		address: loopback + ":0", steps: steps, rule: accept,
		attempts: map[string]int{}, asked: map[string]int64{}, takes: map[string][]take{},
		latest: map[net.Conn]string{}, events: map[string]event.Event{},
	}
	s.start(t)
	s.url = "http://" + s.address
	t.Cleanup(s.stop)
	return s
}

// start makes a sink that was stopped listen again, at the same address.
func (s *sink) start(t *testing.T) {
	t.Helper()
	var listener net.Listener
	eventually(t, func() string {
		var err error
		if listener, err = (&net.ListenConfig{}).Listen(t.Context(), "tcp", s.address); err != nil {
			return err.Error()
		}
		return ""
	})
	s.address = listener.Addr().String()
	server, ended := &http.Server{Handler: s, ReadHeaderTimeout: patience, ConnContext: withConn, ConnState: s.closed}, make(chan struct{})
	s.server, s.ended = server, ended
	go func() {
		defer close(ended)
		_ = server.Serve(listener)
	}()
}

// stop takes the sink away: its connections are cut, and its port refuses new ones.
func (s *sink) stop() {
	_ = s.server.Close()
	<-s.ended
	s.mu.Lock()
	defer s.mu.Unlock()
	s.stops = append(s.stops, time.Now())
}

// obey sets what decides on requests from now on.
func (s *sink) obey(r rule) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.rule = r
}

func (s *sink) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	e, err := binding.ToEvent(r.Context(), cehttp.NewMessageFromHttpRequest(r))
	if err != nil {
		http.Error(w, err.Error(), http.StatusBadRequest)
		return
	}
	a := s.ask(*e)
	if a.delay > 0 && !wait(r.Context(), a.delay) || a.how == never {
		<-r.Context().Done()
		return
	}
	if a.how == brokenBefore {
		breakOff(w)
		return
	}
	if a.status < http.StatusMultipleChoices {
		s.take(*e, r, a.how == brokenAfter)
	}
	if a.how == brokenAfter {
		breakOff(w)
		return
	}
	if a.retryAfter != "" {
		w.Header().Set("Retry-After", a.retryAfter)
	}
	w.WriteHeader(a.status)
	_, _ = w.Write([]byte(a.body)) // the sender may have gone
}

// ask writes a request down, and decides.
func (s *sink) ask(e event.Event) answer {
	s.mu.Lock()
	s.requests++
	s.attempts[e.ID()]++
	if s.asked[e.ID()] == 0 {
		s.asked[e.ID()] = s.steps.Add(1)
	}
	key, _ := e.Extensions()["partitionkey"].(string)
	r, decide := request{id: e.ID(), key: key, attempt: s.attempts[e.ID()]}, s.rule
	s.mu.Unlock()
	return decide(r)
}

func (s *sink) take(e event.Event, r *http.Request, unanswered bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	conn, _ := r.Context().Value(connKey{}).(net.Conn)
	s.takes[e.ID()] = append(s.takes[e.ID()], take{
		at: time.Now(), step: s.steps.Add(1), by: r.Header.Get("Kn-Namespace"), unanswered: unanswered, conn: conn,
	})
	s.latest[conn] = e.ID()
	if s.keep {
		s.events[e.ID()] = e
	}
}

type connKey struct{}

func withConn(ctx context.Context, c net.Conn) context.Context {
	return context.WithValue(ctx, connKey{}, c)
}

// closed is told of the end of a connection: whether its last answer has arrived in time, only the sender knows.
func (s *sink) closed(c net.Conn, state http.ConnState) {
	if state != http.StateClosed {
		return
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	takes := s.takes[s.latest[c]]
	delete(s.latest, c)
	for i, t := range slices.Backward(takes) {
		if t.conn == c {
			takes[i].unanswered = true
			return
		}
	}
}

// breakOff closes the connection after the first bytes of an answer.
func breakOff(w http.ResponseWriter) {
	hijacker, ok := w.(http.Hijacker)
	if !ok {
		return
	}
	conn, buffered, err := hijacker.Hijack()
	if err != nil {
		return
	}
	_, _ = buffered.WriteString("HTTP/1.1 20")
	_ = buffered.Flush()
	_ = conn.Close()
}

// asks counts the requests so far, whatever became of them.
func (s *sink) asks() int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.requests
}

// taken counts the events that the sink has taken.
func (s *sink) taken() int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return len(s.takes)
}

// has tells whether the sink has taken an event.
func (s *sink) has(id string) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return len(s.takes[id]) > 0
}

// firstTaken is when the sink has taken an event first; the zero time where it has not.
func (s *sink) firstTaken(id string) time.Time {
	s.mu.Lock()
	defer s.mu.Unlock()
	if len(s.takes[id]) == 0 {
		return time.Time{}
	}
	return s.takes[id][0].at
}

// letters returns the events that a keeping sink has taken, in the order of their IDs.
func (s *sink) letters() []event.Event {
	s.mu.Lock()
	defer s.mu.Unlock()
	letters := make([]event.Event, 0, len(s.events))
	for _, e := range s.events {
		letters = append(letters, e)
	}
	slices.SortFunc(letters, func(a, b event.Event) int { return strings.Compare(a.ID(), b.ID()) })
	return letters
}

// wait returns false when the context ends first.
func wait(ctx context.Context, d time.Duration) bool {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C:
		return true
	case <-ctx.Done():
		return false
	}
}
