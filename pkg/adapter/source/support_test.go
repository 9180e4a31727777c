package source

import (
	"context"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"net/url"
	"os"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/cloudevents/sdk-go/v2/binding"
	"github.com/cloudevents/sdk-go/v2/event"
	cehttp "github.com/cloudevents/sdk-go/v2/protocol/http"
	"go.uber.org/goleak"

	"github.com/eventing-eventmesh/eventing-eventmesh/internal/await"
	"github.com/eventing-eventmesh/eventing-eventmesh/pkg/adapter"
	"github.com/eventing-eventmesh/eventing-eventmesh/pkg/dispatch"
	"github.com/eventing-eventmesh/eventing-eventmesh/pkg/eventmesh"
)

// programDir is where the program is built, for the tests that run it as a process.
var programDir string

func TestMain(m *testing.M) {
	var err error
	if programDir, err = os.MkdirTemp("", "eventmesh-source-"); err != nil {
		panic(err)
	}
	const watching = "github.com/eventing-eventmesh/eventing-eventmesh/internal/diskfault.attend" // until the process ends
	goleak.VerifyTestMain(m, goleak.IgnoreAnyFunction(watching), goleak.Cleanup(func(code int) {
		_ = os.RemoveAll(programDir)
		os.Exit(code)
	}))
}

const (
	// patience is how long anything may take that a test waits for.
	patience = await.Patience
	// secret is what no log, probe and error may hold.
	secret = "hunter2-is-a-secret"
)

// acknowledger is a session that counts acknowledgements.
type acknowledger struct {
	count   *atomic.Int32
	failure error
}

func (a *acknowledger) Acknowledge(_ context.Context, deliveries []*eventmesh.Delivery) error {
	a.count.Add(int32(len(deliveries)))
	return a.failure
}

func (*acknowledger) Release(context.Context, *eventmesh.Delivery) error { return nil }

// eventually waits until check returns "", which otherwise says what is missing.
func eventually(t *testing.T, check func() string) {
	t.Helper()
	await.Until(t, patience, check)
}

// sample is an event with an ID of choice.
func sample(id string) event.Event {
	e := event.New()
	e.SetID(id)
	e.SetSource("https://shop.example/orders?x=1")
	e.SetType("order.placed")
	e.SetSubject("order/1")
	e.SetTime(time.Date(2026, 1, 2, 3, 4, 5, 678_000_000, time.UTC))
	e.SetDataSchema("https://shop.example/schema")
	e.SetExtension("region", "eu")
	e.SetDataContentType("application/json; charset=utf-8")
	e.DataEncoded = []byte(`{"price": 2.50}`)
	return e
}

// same tells how two events differ.
func same(got, want event.Event) string {
	if got.Context.String() != want.Context.String() {
		return "got attributes\n" + got.Context.String() + "\nwant\n" + want.Context.String()
	}
	if string(got.Data()) != string(want.Data()) {
		return "got data " + string(got.Data()) + ", want " + string(want.Data())
	}
	return ""
}

// connect returns a publisher that is connected.
func connect(t *testing.T, url string, credentials eventmesh.Credentials) *eventmesh.Publisher {
	t.Helper()
	addresses, err := eventmesh.ParseAddresses(url, adapter.Transports...)
	if err != nil {
		t.Fatal(err)
	}
	p, err := eventmesh.NewPublisher(eventmesh.Config{
		Addresses: addresses, ClientID: "publisher-0", Group: "publisher",
		Credentials: func() (eventmesh.Credentials, error) { return credentials, nil },
	}, adapter.Transports...)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = p.Close() })
	eventually(t, func() string {
		if err := p.Ready(); err != nil {
			return err.Error()
		}
		return ""
	})
	return p
}

// publish publishes an event to the topic orders, and again until it has been confirmed.
func publish(t *testing.T, p *eventmesh.Publisher, e event.Event) {
	t.Helper()
	eventually(t, func() string {
		if err := p.Publish(t.Context(), "orders", e); err != nil {
			return err.Error()
		}
		return ""
	})
}

// fakeSink is a sink that can be told what to answer, and be taken away.
type fakeSink struct {
	url     string
	address string

	// reply makes the event of an answer, where it is set.
	reply func(event.Event) *event.Event

	mu     sync.Mutex
	answer func(context.Context, event.Event) int
	told   func(event.Event)
	header map[string]http.Header // of each event, as it came last
	asked  int
	taken  map[string]event.Event
	server *http.Server
	ended  chan struct{}
}

// newSink starts a sink that answers 202 to everything.
func newSink(t *testing.T) *fakeSink {
	t.Helper()
	s := &fakeSink{address: "127.0.0.1:0", taken: map[string]event.Event{}, header: map[string]http.Header{}}
	s.start(t)
	s.url = "http://" + s.address
	t.Cleanup(s.stop)
	return s
}

func (s *fakeSink) start(t *testing.T) {
	t.Helper()
	var listener net.Listener
	eventually(t, func() (missing string) {
		var err error
		if listener, err = (&net.ListenConfig{}).Listen(t.Context(), "tcp", s.address); err != nil {
			return err.Error()
		}
		return ""
	})
	s.address = listener.Addr().String()
	server, ended := &http.Server{Handler: s, ReadHeaderTimeout: patience}, make(chan struct{})
	s.server, s.ended = server, ended
	go func() {
		defer close(ended)
		_ = server.Serve(listener)
	}()
}

// stop takes the sink away: its connections are cut, and its port refuses new ones.
func (s *fakeSink) stop() {
	_ = s.server.Close()
	<-s.ended
}

// answers sets what decides on the status of an answer; nil stands for 202.
func (s *fakeSink) answers(answer func(context.Context, event.Event) int) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.answer = answer
}

// onTaken sets what is told of each event that is taken, one at a time.
func (s *fakeSink) onTaken(told func(event.Event)) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.told = told
}

func always(status int) func(context.Context, event.Event) int {
	return func(context.Context, event.Event) int { return status }
}

func (s *fakeSink) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	e, err := binding.ToEvent(r.Context(), cehttp.NewMessageFromHttpRequest(r))
	if err != nil {
		http.Error(w, err.Error(), http.StatusBadRequest)
		return
	}
	s.mu.Lock()
	s.asked++
	s.header[e.ID()] = r.Header.Clone()
	answer := s.answer
	s.mu.Unlock()
	status := http.StatusAccepted
	if answer != nil {
		status = answer(r.Context(), *e)
	}
	if status < 300 {
		s.mu.Lock()
		s.taken[e.ID()] = *e
		if s.told != nil {
			s.told(*e)
		}
		s.mu.Unlock()
	}
	if s.reply != nil {
		_ = cehttp.WriteResponseWriter(r.Context(), (*binding.EventMessage)(s.reply(*e)), http.StatusOK, w)
		return
	}
	w.WriteHeader(status)
}

// requests counts what has been asked, whatever the answer.
func (s *fakeSink) requests() int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.asked
}

// missing lists those of the events that the sink has not taken.
func (s *fakeSink) missing(ids ...string) string {
	s.mu.Lock()
	defer s.mu.Unlock()
	var missing []string
	for _, id := range ids {
		if _, ok := s.taken[id]; !ok {
			missing = append(missing, id)
		}
	}
	if len(missing) == 0 {
		return ""
	}
	return "the sink has not got " + strings.Join(missing[:min(len(missing), 20)], ", ")
}

// headers are those of the latest request with the event.
func (s *fakeSink) headers(id string) http.Header {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.header[id]
}

// await waits until the sink has taken the event.
func (s *fakeSink) await(t *testing.T, id string) event.Event {
	t.Helper()
	eventually(t, func() string { return s.missing(id) })
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.taken[id]
}

// answering returns the URL of a server that answers so.
func answering(t *testing.T, h http.HandlerFunc) string {
	t.Helper()
	server := httptest.NewServer(h)
	t.Cleanup(server.Close)
	return server.URL
}

// destination returns one over HTTP.
func destination(t *testing.T, sink string, change ...func(*dispatch.HTTPOptions)) *dispatch.HTTP {
	t.Helper()
	u, err := url.Parse(sink)
	if err != nil {
		t.Fatal(err)
	}
	o := dispatch.HTTPOptions{URL: u, MaxConnections: 4}
	for _, f := range change {
		f(&o)
	}
	d := dispatch.NewHTTP(o)
	t.Cleanup(d.Close)
	return d
}

// get returns the answer to a GET.
func get(t *testing.T, url string) (int, string) {
	t.Helper()
	client := &http.Client{Transport: &http.Transport{DisableKeepAlives: true}}
	response, err := client.Get(url)
	if err != nil {
		return 0, err.Error()
	}
	defer func() { _ = response.Body.Close() }()
	body, err := io.ReadAll(response.Body)
	if err != nil {
		return 0, err.Error()
	}
	return response.StatusCode, string(body)
}
