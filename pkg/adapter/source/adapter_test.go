package source

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/http"
	"strings"
	"sync/atomic"
	"testing"

	"github.com/cloudevents/sdk-go/v2/event"
	"go.opentelemetry.io/otel/metric/noop"
	"go.uber.org/goleak"
	"go.uber.org/zap"
	"go.uber.org/zap/zaptest/observer"
	framework "knative.dev/eventing/pkg/adapter/v2"
	"knative.dev/pkg/logging"

	"github.com/eventing-eventmesh/eventing-eventmesh/pkg/adapter"
	"github.com/eventing-eventmesh/eventing-eventmesh/pkg/adapter/delivery"
	"github.com/eventing-eventmesh/eventing-eventmesh/pkg/eventmesh"
	"github.com/eventing-eventmesh/eventing-eventmesh/pkg/eventmesh/eventmeshtest"
	"github.com/eventing-eventmesh/eventing-eventmesh/pkg/eventmesh/eventmeshtest/releases"
)

// running is a source within the test's own process.
type running struct {
	probes string
	logs   *observer.ObservedLogs
	stop   func()
	ended  chan error
}

// start starts a source with a configuration from the environment.
func start(t *testing.T, environment ...string) *running {
	t.Helper()
	return startWith(t, t.Context(), environment...)
}

// startWith starts one with what a context holds.
func startWith(t *testing.T, within context.Context, environment ...string) *running { //nolint:revive // tests come first
	t.Helper()
	c, err := load(t, append([]string{"EVENTMESH_CLIENT_ID=source-0", "EVENTMESH_BACKOFF_MIN=1ms", "EVENTMESH_BACKOFF_MAX=20ms"}, environment...)...)
	if err != nil {
		t.Fatal(err)
	}
	core, logs := observer.New(zap.DebugLevel)
	ctx, cancel := context.WithCancel(logging.WithLogger(within, zap.New(core).Sugar()))
	s := &running{logs: logs, stop: cancel, ended: make(chan error, 1)}
	go func() {
		s.ended <- NewAdapter(ctx, c, nil).Start(ctx)
		close(s.ended)
	}()
	t.Cleanup(func() {
		cancel()
		<-s.ended
	})
	eventually(t, func() string {
		lines := logs.FilterMessage("serving probes").All()
		if len(lines) == 0 {
			return "no line that says serving"
		}
		s.probes = local(lines[0].ContextMap()["address"].(string))
		return ""
	})
	return s
}

// local is the URL of an address that listens on all interfaces.
func local(address string) string {
	_, port, err := net.SplitHostPort(address)
	if err != nil {
		return "http://" + address
	}
	return "http://" + net.JoinHostPort("127.0.0.1", port)
}

func (s *running) awaitReadiness(t *testing.T, status int) string {
	t.Helper()
	return awaitReadiness(t, s.probes, status)
}

// awaitReadiness waits for a status of the readiness probe, and returns what it says.
func awaitReadiness(t *testing.T, probes string, status int) string {
	t.Helper()
	var says string
	eventually(t, func() string {
		var got int
		if got, says = get(t, probes+"/readiness"); got != status {
			return fmt.Sprintf("readiness %d, got %d %q", status, got, says)
		}
		return ""
	})
	return says
}

func TestStart(t *testing.T) {
	for _, name := range releases.Transports {
		t.Run(name, func(t *testing.T) {
			server := releases.New(t, name, eventmeshtest.Options{})
			url := server.URL()
			sink := newSink(t)
			p := connect(t, url, eventmesh.Credentials{})
			before := goleak.IgnoreCurrent()
			s := start(t, "EVENTMESH_URL="+url, "K_SINK="+sink.url)
			s.awaitReadiness(t, http.StatusOK)
			var ids []string
			for i := range 20 {
				ids = append(ids, fmt.Sprint(i))
				publish(t, p, sample(ids[i]))
			}
			eventually(t, func() string { return sink.missing(ids...) })
			if status, _ := get(t, s.probes+"/health"); status != http.StatusOK {
				t.Errorf("health: got %d, want 200", status)
			}

			_ = p.Close()
			server.SetFaults(eventmeshtest.Faults{StallUnsubscribe: true}) // so that the shutdown can be seen
			s.stop()
			if says := s.awaitReadiness(t, http.StatusServiceUnavailable); !strings.Contains(says, "shutting down") {
				t.Errorf("readiness says %q", says)
			}
			server.DropConnections()
			if err := <-s.ended; err != nil {
				t.Errorf("Start returned %v", err)
			}
			if s.logs.FilterMessage("everything received has been delivered").Len() != 1 {
				t.Errorf("the log does not tell of the end: %v", s.logs.All())
			}
			if status, says := get(t, s.probes+"/health"); status != 0 {
				t.Errorf("got %d %q after the end", status, says)
			}
			if err := goleak.Find(before); err != nil {
				t.Error(err)
			}
		})
	}
}

func TestShutdownGivesUpAtTheDeadline(t *testing.T) {
	for _, name := range releases.Transports {
		t.Run(name, func(t *testing.T) {
			url := releases.New(t, name, eventmeshtest.Options{}).URL()
			sink := newSink(t)
			sink.answers(always(http.StatusServiceUnavailable))
			s := start(t, "EVENTMESH_URL="+url, "K_SINK="+sink.url, "EVENTMESH_BUFFER_EVENTS=2", "EVENTMESH_DRAIN_TIMEOUT=100ms")
			s.awaitReadiness(t, http.StatusOK)
			p := connect(t, url, eventmesh.Credentials{})
			for i := range 4 {
				publish(t, p, sample(fmt.Sprint(i)))
			}
			if says := s.awaitReadiness(t, http.StatusServiceUnavailable); !strings.Contains(says, "buffer is full") {
				t.Errorf("readiness says %q", says)
			}
			s.stop()
			if err := <-s.ended; err != nil {
				t.Errorf("Start returned %v", err)
			}
			if s.logs.FilterMessage("the shutdown does not end in time, and is cut off").Len() > 0 {
				t.Errorf("the shutdown was cut off: %v", s.logs.All())
			}
			fate, of := "events were not delivered before the deadline, and are lost", "an event found no room in the buffer before the deadline, and is lost"
			if name == releases.HTTP {
				fate, of = "events were not delivered before the deadline; EventMesh delivers them again", "an event found no room in the buffer before the deadline; EventMesh delivers it again"
			}
			lost := s.logs.FilterMessage(fate).All()
			if len(lost) != 1 || lost[0].ContextMap()["events"] != int64(2) {
				t.Errorf("got %v, want a line that 2 events are lost", lost)
			}
			if s.logs.FilterMessage(of).Len() != 1 {
				t.Errorf("the log does not tell of the third event: %v", s.logs.All())
			}
		})
	}
}

func TestLeavingThatFailsIsTold(t *testing.T) {
	for _, name := range releases.Transports {
		t.Run(name, func(t *testing.T) {
			server := releases.New(t, name, eventmeshtest.Options{})
			url := server.URL()
			s := start(t, "EVENTMESH_URL="+url, "EVENTMESH_DRAIN_TIMEOUT=100ms")
			s.awaitReadiness(t, http.StatusOK)
			server.SetFaults(eventmeshtest.Faults{StallUnsubscribe: true})
			s.stop()
			if err := <-s.ended; err != nil {
				t.Errorf("Start returned %v", err)
			}
			if s.logs.FilterMessage("EventMesh did not let this replica leave its group").Len() != 1 {
				t.Errorf("the log does not tell: %v", s.logs.All())
			}
		})
	}
}

func TestStartFails(t *testing.T) {
	taken, err := adapter.Listen(t.Context(), 0)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = taken.Close() }()
	_, port, err := net.SplitHostPort(taken.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	good, err := load(t)
	if err != nil {
		t.Fatal(err)
	}
	tests := []struct {
		name   string
		change func(*Config)
		want   string
	}{
		{"port in use", func(c *Config) { c.ProbesPort = taken.Addr().(*net.TCPAddr).Port }, "listening on port " + port},
		{"no group", func(c *Config) { c.Group = "" }, "no group"},
		{"two passwords", func(c *Config) { c.Password, c.PasswordFile = "a", "b" }, "EVENTMESH_PASSWORD"},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			c := *good
			test.change(&c)
			if err := NewAdapter(t.Context(), &c, nil).Start(t.Context()); err == nil || !strings.Contains(err.Error(), test.want) {
				t.Errorf("got %v, want %q in it", err, test.want)
			}
		})
	}
}

func TestConfigurationOfSomethingElse(t *testing.T) {
	defer func() {
		if got := fmt.Sprint(recover()); !strings.Contains(got, "EnvConfig") {
			t.Errorf("got %s, want a panic that names the type", got)
		}
	}()
	NewAdapter(t.Context(), &framework.EnvConfig{}, nil)
}

func TestKeepAddsExtensions(t *testing.T) {
	tests := []struct {
		name      string
		topic     string
		overrides Overrides
		want      map[string]any
	}{
		{"topic", "orders", nil, map[string]any{"eventmeshtopic": "orders", "region": "eu"}},
		{"no topic known", "", nil, map[string]any{"region": "eu"}},
		{"overrides", "orders", Overrides{"region": "us", "more": "1"}, map[string]any{"eventmeshtopic": "orders", "region": "us", "more": "1"}},
		{"overrides win", "orders", Overrides{"eventmeshtopic": "mine"}, map[string]any{"eventmeshtopic": "mine", "region": "eu"}},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			d := &eventmesh.Delivery{Event: sample("a"), Topic: test.topic}
			m := (&source{config: &Config{Overrides: test.overrides}}).message(d)
			if got := m.Event.Extensions(); fmt.Sprint(got) != fmt.Sprint(test.want) {
				t.Errorf("got %v, want %v", got, test.want)
			}
			if m.Origin != d || m.Event.Subject() != "order/1" || m.Event.Validate() != nil {
				t.Errorf("got %v, want the event as its producer made it", m.Event)
			}
		})
	}
}

func TestWhatIsNoEventIsAcknowledged(t *testing.T) {
	for _, failure := range []error{nil, eventmesh.ErrNotConnected} {
		t.Run(fmt.Sprint(failure), func(t *testing.T) {
			core, logs := observer.New(zap.DebugLevel)
			var acknowledged atomic.Int32
			s := &source{config: &Config{}, logger: zap.New(core).Sugar()}
			var err error
			if s.telemetry, s.metrics, err = newTelemetry(noop.NewMeterProvider(), s.config, func() bool { return false }); err != nil {
				t.Fatal(err)
			}
			err = s.keep(t.Context(), &eventmesh.Delivery{
				Topic: "orders", Raw: []byte(secret), Err: errors.New("no JSON"), Acknowledger: &acknowledger{count: &acknowledged, failure: failure},
			})
			lines := logs.FilterMessage("received a message that is not an event; it is lost").All()
			if err != nil || acknowledged.Load() != 1 || len(lines) != 1 || lines[0].ContextMap()["topic"] != "orders" || lines[0].ContextMap()["bytes"] != int64(len(secret)) {
				t.Errorf("got %v, %d acknowledgements, log %v; want one, and a line with topic and size", err, acknowledged.Load(), logs.All())
			}
			for _, line := range logs.All() {
				if strings.Contains(fmt.Sprint(line.Message, line.ContextMap()), secret) {
					t.Errorf("%v holds data", line)
				}
			}
		})
	}
}

// TestEventWithAnEventAsData goes all the way, since on the last part of it such an event must not be taken for its data.
func TestEventWithAnEventAsData(t *testing.T) {
	for _, name := range releases.Transports {
		t.Run(name, func(t *testing.T) {
			url := releases.New(t, name, eventmeshtest.Options{}).URL()
			sink := newSink(t)
			s := start(t, "EVENTMESH_URL="+url, "K_SINK="+sink.url)
			s.awaitReadiness(t, http.StatusOK)
			e := sample("outer")
			e.SetDataContentType(event.ApplicationCloudEventsJSON)
			e.DataEncoded = []byte(`{"specversion":"1.0","id":"inner","source":"s","type":"t"}`)
			publish(t, connect(t, url, eventmesh.Credentials{}), e)
			got := sink.await(t, "outer")
			e.SetExtension(delivery.TopicExtension, "orders")
			if diff := same(got, e); diff != "" {
				t.Error(diff)
			}
		})
	}
}
