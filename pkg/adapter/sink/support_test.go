package sink

import (
	"bytes"
	"context"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"strings"
	"sync"
	"testing"

	"github.com/cloudevents/sdk-go/v2/event"
	"go.uber.org/zap"
	"go.uber.org/zap/zapcore"
	"go.uber.org/zap/zaptest/observer"

	"github.com/eventing-eventmesh/eventing-eventmesh/internal/await"
	"github.com/eventing-eventmesh/eventing-eventmesh/pkg/adapter"
)

// patience is how long anything may take that a test waits for.
const patience = await.Patience

// eventually waits until check returns "", which otherwise says what is missing.
func eventually(t *testing.T, check func() string) {
	t.Helper()
	await.Until(t, patience, check)
}

// fake is a publisher that is always connected, and confirms everything, unless told otherwise.
type fake struct {
	ready   func() error
	publish func(ctx context.Context, topic string) error
	// each decides on an event by itself, where it is set.
	each    func(ctx context.Context, e event.Event) error
	request func(ctx context.Context, topic string) (*event.Event, error)

	mu        sync.Mutex
	published []event.Event
	topics    []string
}

func (f *fake) Publish(ctx context.Context, topic string, e event.Event) error {
	if f.each != nil {
		if err := f.each(ctx, e); err != nil {
			return err
		}
	}
	f.record(topic, e)
	if f.publish != nil {
		return f.publish(ctx, topic)
	}
	return nil
}

func (f *fake) Request(ctx context.Context, topic string, e event.Event) (*event.Event, error) {
	f.record(topic, e)
	return f.request(ctx, topic)
}

func (f *fake) Ready() error {
	if f.ready != nil {
		return f.ready()
	}
	return nil
}

func (f *fake) record(topic string, e event.Event) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.published = append(f.published, e)
	f.topics = append(f.topics, topic)
}

// taken returns the events that came, and where to.
func (f *fake) taken() ([]event.Event, []string) {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.published, f.topics
}

// config returns the configuration of an environment, given as pairs "NAME=value".
func config(t *testing.T, environment ...string) *Config {
	t.Helper()
	c, err := load(t, environment...)
	if err != nil {
		t.Fatal(err)
	}
	return c
}

func load(t *testing.T, environment ...string) (*Config, error) {
	t.Helper()
	for _, v := range adapter.Variables(NewConfig()) {
		t.Setenv(v.Name, "") // so that it is restored
		if err := os.Unsetenv(v.Name); err != nil {
			t.Fatal(err)
		}
	}
	for _, pair := range environment {
		name, value, _ := strings.Cut(pair, "=")
		t.Setenv(name, value)
	}
	c := NewConfig()
	return c, adapter.Load(c)
}

// serve serves a handler as the sink does, and returns its address and its log.
func serve(t *testing.T, p publisher, environment ...string) (*handler, *httptest.Server, *observer.ObservedLogs) {
	t.Helper()
	c := config(t, append([]string{"EVENTMESH_URL=grpc://eventmesh", "EVENTMESH_TOPIC=orders", "EVENTMESH_TOPICS=orders,stock-*"}, environment...)...)
	core, logs := observer.New(zapcore.DebugLevel)
	logger := zap.New(core).Sugar()
	h := newHandler(c, p, logger)
	server := httptest.NewUnstartedServer(nil)
	server.Config = newServer(c, h, logger)
	server.Start()
	t.Cleanup(server.Close)
	return h, server, logs
}

// binary are the headers of an event in binary mode.
func binary(more ...string) http.Header {
	h := http.Header{
		"Ce-Specversion": {"1.0"}, "Ce-Id": {"1"}, "Ce-Type": {"order.placed"}, "Ce-Source": {"/shop"}, "Content-Type": {"application/json"},
	}
	for _, pair := range more {
		name, value, _ := strings.Cut(pair, "=")
		h[name] = []string{value}
	}
	return h
}

const structuredType = "application/cloudevents+json"

func structured() http.Header { return http.Header{"Content-Type": {structuredType}} }

const batchType = "application/cloudevents-batch+json"

func batched() http.Header { return http.Header{"Content-Type": {batchType}} }

type answer struct {
	status int
	header http.Header
	body   string
	proto  string
	last   bool // on its connection
}

// send sends a request, and returns the answer.
func send(t *testing.T, client *http.Client, method, url string, header http.Header, body io.Reader) answer {
	t.Helper()
	r, err := http.NewRequestWithContext(t.Context(), method, url, body)
	if err != nil {
		t.Fatal(err)
	}
	r.Header = header
	response, err := client.Do(r)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = response.Body.Close() }()
	text, err := io.ReadAll(response.Body)
	if err != nil {
		t.Fatal(err)
	}
	return answer{response.StatusCode, response.Header, string(text), response.Proto, response.Close}
}

// post posts an event in binary mode.
func post(t *testing.T, url string) answer {
	t.Helper()
	return send(t, http.DefaultClient, http.MethodPost, url, binary(), strings.NewReader(`{"n":1}`))
}

// same tells in which way two events differ, or "".
func same(got, want event.Event) string {
	if got.Context.String() != want.Context.String() {
		return "got event\n" + got.Context.String() + "want\n" + want.Context.String()
	}
	if !bytes.Equal(got.Data(), want.Data()) {
		return "got data " + string(got.Data()) + ", want " + string(want.Data())
	}
	return ""
}
