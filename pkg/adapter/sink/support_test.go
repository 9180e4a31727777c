package sink

import (
	"context"
	"errors"
	"net"
	"net/http"
	"os"
	"strings"
	"sync"
	"testing"

	"github.com/cloudevents/sdk-go/v2/event"
	"go.opentelemetry.io/otel"
	"go.opentelemetry.io/otel/metric"
	"go.opentelemetry.io/otel/metric/noop"
	"go.uber.org/zap"
	"go.uber.org/zap/zapcore"
	"go.uber.org/zap/zaptest/observer"

	"github.com/eventing-eventmesh/eventing-eventmesh/internal/await"
	"github.com/eventing-eventmesh/eventing-eventmesh/pkg/adapter"
	"github.com/eventing-eventmesh/eventing-eventmesh/pkg/adapter/guard"
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

// served is a sink that serves on a port of the loopback.
type served struct {
	*face
	URL, host string
	client    *http.Client
}

// serve serves as the sink does, but for its connection to EventMesh, and returns its log.
func serve(t *testing.T, p guard.Publisher, environment ...string) (*served, *observer.ObservedLogs) {
	t.Helper()
	return serveMeasured(t, noop.NewMeterProvider(), p, environment...)
}

// serveMeasured serves with metrics.
func serveMeasured(t *testing.T, provider metric.MeterProvider, p guard.Publisher, environment ...string) (*served, *observer.ObservedLogs) {
	t.Helper()
	before := otel.GetMeterProvider()
	otel.SetMeterProvider(provider)
	t.Cleanup(func() { otel.SetMeterProvider(before) })
	c := config(t, append([]string{"EVENTMESH_URL=grpc://eventmesh", "EVENTMESH_TOPIC=orders", "EVENTMESH_TOPICS=orders,stock-*", "EVENTMESH_SHUTDOWN_DELAY=0s"}, environment...)...)
	core, logs := observer.New(zapcore.DebugLevel)
	f, err := newFace(c, p, nil, nil, provider.Meter(telemetryScope), zap.New(core).Sugar())
	if err != nil {
		t.Fatal(err)
	}
	listener, err := (&net.ListenConfig{}).Listen(t.Context(), "tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	s := &served{face: f, host: listener.Addr().String(), client: &http.Client{Transport: &http.Transport{}}}
	s.URL = "http://" + s.host
	ctx, cancel := context.WithCancel(t.Context())
	ended := make(chan error, 1)
	go func() { ended <- f.Serve(ctx, listener, nil) }()
	t.Cleanup(func() {
		s.client.CloseIdleConnections()
		http.DefaultClient.CloseIdleConnections()
		cancel()
		if err := errors.Join(<-ended, f.guard.Close()); err != nil {
			t.Error(err)
		}
	})
	return s, logs
}

// Client returns a client of connections of its own.
func (s *served) Client() *http.Client { return s.client }
