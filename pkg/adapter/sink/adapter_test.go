package sink

import (
	"context"
	"io"
	"net"
	"net/http"
	"strconv"
	"strings"
	"testing"
	"time"

	"go.uber.org/zap"
	"go.uber.org/zap/zapcore"
	"go.uber.org/zap/zaptest/observer"
	framework "knative.dev/eventing/pkg/adapter/v2"
	"knative.dev/pkg/logging"

	"github.com/eventing-eventmesh/eventing-eventmesh/internal/ingresstest"
	"github.com/eventing-eventmesh/eventing-eventmesh/pkg/adapter"
	"github.com/eventing-eventmesh/eventing-eventmesh/pkg/eventmesh/eventmeshtest"
)

// running is a sink that has been started.
type running struct {
	url  string
	logs *observer.ObservedLogs
	stop context.CancelFunc
	// ended gets what Start returns.
	ended chan error
}

// start starts the sink as Knative's framework does, and waits until it serves.
func start(t *testing.T, environment ...string) *running {
	t.Helper()
	return startWith(t, t.Context(), environment...)
}

// startWith starts one with what a context holds.
func startWith(t *testing.T, within context.Context, environment ...string) *running { //nolint:revive // tests come first
	t.Helper()
	c := config(t, append([]string{"PORT=0", "EVENTMESH_CLIENT_ID=sink-0", "EVENTMESH_SHUTDOWN_DELAY=0s"}, environment...)...)
	core, logs := observer.New(zapcore.DebugLevel)
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
		lines := append(logs.FilterMessage("serving").All(), logs.FilterMessage("serving HTTPS").All()...)
		if len(lines) == 0 {
			return "no line that says serving"
		}
		_, port, err := net.SplitHostPort(lines[0].ContextMap()["address"].(string))
		if err != nil {
			return err.Error()
		}
		s.url = "http://" + net.JoinHostPort("127.0.0.1", port)
		return ""
	})
	return s
}

// awaitReadiness waits for a status of the readiness probe, and returns what it says.
func (s *running) awaitReadiness(t *testing.T, status int) string {
	t.Helper()
	var got ingresstest.Answer
	eventually(t, func() string {
		got = ingresstest.Send(t, http.DefaultClient, http.MethodGet, s.url+"/readiness", nil, nil)
		if got.Status != status {
			return "readiness " + strconv.Itoa(got.Status) + " " + got.Body
		}
		return ""
	})
	return got.Body
}

// slowly is a body that is sent when it is released.
type slowly struct {
	*strings.Reader
	released <-chan struct{}
}

func (s slowly) Read(b []byte) (int, error) {
	<-s.released
	return s.Reader.Read(b)
}

func TestShutdown(t *testing.T) {
	var h2 http.Protocols
	h2.SetUnencryptedHTTP2(true)
	for name, transport := range map[string]*http.Transport{"HTTP/1.1": {}, "HTTP/2": {Protocols: &h2}} {
		t.Run(name, func(t *testing.T) {
			server := eventmeshtest.New(t, eventmeshtest.Options{Storage: eventmeshtest.RocketMQ})
			s := start(t, "EVENTMESH_URL="+server.GRPCURL(), "EVENTMESH_TOPIC=orders", "EVENTMESH_SHUTDOWN_DELAY=5s")
			s.awaitReadiness(t, http.StatusOK)
			client := &http.Client{Transport: transport}
			t.Cleanup(client.CloseIdleConnections)

			released := make(chan struct{})
			inFlight := make(chan int, 1)
			go func() {
				inFlight <- ingresstest.Send(t, client, http.MethodPost, s.url, ingresstest.Binary(), slowly{strings.NewReader("{}"), released}).Status
			}()
			eventually(t, func() string {
				if ingresstest.Send(t, client, http.MethodPost, s.url, ingresstest.Binary(), strings.NewReader("{}")).Status != http.StatusAccepted {
					return "no event is taken"
				}
				return ""
			})
			s.stop()
			if says := s.awaitReadiness(t, http.StatusServiceUnavailable); !strings.Contains(says, "shutting down") {
				t.Errorf("readiness says %q", says)
			}
			if got := ingresstest.Post(t, s.url); got.Status != http.StatusAccepted {
				t.Errorf("got %d %q before the endpoints have gone, want 202", got.Status, got.Body)
			}
			eventually(t, func() string {
				conn, err := (&net.Dialer{}).DialContext(t.Context(), "tcp", strings.TrimPrefix(s.url, "http://"))
				if err != nil {
					return ""
				}
				_ = conn.Close()
				return "the listener is open"
			})
			close(released)
			if got := <-inFlight; got != http.StatusAccepted {
				t.Errorf("got %d for a request in flight, want 202", got)
			}
			if err := <-s.ended; err != nil {
				t.Errorf("Start returned %v", err)
			}
			if got := len(server.Published("orders")); got != 3 {
				t.Errorf("got %d events in EventMesh, want 3", got)
			}
		})
	}
}

func TestShutdownCutsOffWhatTakesTooLong(t *testing.T) {
	server := eventmeshtest.New(t, eventmeshtest.Options{Storage: eventmeshtest.RocketMQ})
	s := start(t, "EVENTMESH_URL="+server.GRPCURL(), "EVENTMESH_TOPIC=orders", "EVENTMESH_DRAIN_TIMEOUT=50ms")
	s.awaitReadiness(t, http.StatusOK)
	conn, err := (&net.Dialer{}).DialContext(t.Context(), "tcp", strings.TrimPrefix(s.url, "http://"))
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = conn.Close() }()
	if _, err := io.WriteString(conn, "POST / HTTP/1.1\r\nHost: sink\r\nContent-Length: 10\r\nExpect: 100-continue\r\n\r\n"); err != nil {
		t.Fatal(err)
	}
	if _, err := io.ReadFull(conn, make([]byte, len("HTTP/1.1 100"))); err != nil { // now the body is being read
		t.Fatal(err)
	}
	s.stop()
	if err := <-s.ended; err != nil {
		t.Errorf("Start returned %v", err)
	}
	if s.logs.FilterMessageSnippet("cutting off").FilterField(zap.Int("requests", 1)).Len() != 1 {
		t.Errorf("the log does not say that one request was cut off: %v", s.logs.All())
	}
	_ = conn.SetReadDeadline(time.Now().Add(patience)) // of itself it would stay open for longer
	ingresstest.AwaitClosed(t, conn)
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
	inUse := config(t, "EVENTMESH_URL=grpc://eventmesh", "EVENTMESH_TOPIC=orders", "PORT="+port)
	noGroup := &Config{EventMesh: inUse.EventMesh}
	twoPasswords := &Config{EventMesh: inUse.EventMesh, Group: "sink"}
	twoPasswords.Password, twoPasswords.PasswordFile = "a", "b"
	for _, c := range []struct {
		name   string
		config framework.EnvConfigAccessor
		want   string
	}{
		{"port in use", inUse, "listening on port " + port},
		{"no group", noGroup, "no group"},
		{"two passwords", twoPasswords, "EVENTMESH_PASSWORD"},
		{"configuration of something else", &framework.EnvConfig{}, "*sink.Config"},
	} {
		t.Run(c.name, func(t *testing.T) {
			if err := NewAdapter(t.Context(), c.config, nil).Start(t.Context()); err == nil || !strings.Contains(err.Error(), c.want) {
				t.Errorf("got %v, want %q in it", err, c.want)
			}
		})
	}
}

func TestHalfOpenConnectionsOfTheSink(t *testing.T) {
	server := eventmeshtest.New(t, eventmeshtest.Options{Storage: eventmeshtest.RocketMQ})
	s := start(t, "EVENTMESH_URL="+server.GRPCURL(), "EVENTMESH_TOPIC=orders", "EVENTMESH_MAX_IN_FLIGHT=1", "EVENTMESH_MAX_CONNECTIONS=4")
	s.awaitReadiness(t, http.StatusOK)
	host := strings.TrimPrefix(s.url, "http://")
	idle := ingresstest.Dial(t, host)
	if _, err := io.WriteString(idle, "GET /health HTTP/1.1\r\nHost: sink\r\n\r\n"); err != nil {
		t.Fatal(err)
	}
	if _, err := io.ReadFull(idle, make([]byte, len("HTTP/1.1 200"))); err != nil {
		t.Fatal(err)
	}
	for range 100 {
		ingresstest.Dial(t, host)
	}
	client := &http.Client{Transport: &http.Transport{}} // whose connection is not one of those that give way
	t.Cleanup(client.CloseIdleConnections)
	if got := ingresstest.Send(t, client, http.MethodPost, s.url, ingresstest.Binary(), strings.NewReader("{}")); got.Status != http.StatusAccepted {
		t.Errorf("got %d %q, want 202", got.Status, got.Body)
	}
	_ = idle.SetReadDeadline(time.Now().Add(patience)) // of itself it would stay open for longer
	ingresstest.AwaitClosed(t, idle)
}

// net/http would wait for a connection that becomes one of HTTP/2 during the shutdown.
func TestShutdownDoesNotWaitForUnusedConnections(t *testing.T) {
	s := start(t, "EVENTMESH_URL=grpc://127.0.0.1:1", "EVENTMESH_TOPIC=orders")
	host := strings.TrimPrefix(s.url, "http://")
	conn := ingresstest.Dial(t, host)
	later := &http.Client{Transport: &http.Transport{DisableKeepAlives: true}}
	ingresstest.Send(t, later, http.MethodGet, s.url+"/health", nil, nil) // when it is answered, the connection before it has been accepted
	s.stop()
	eventually(t, func() string {
		another, err := (&net.Dialer{}).DialContext(t.Context(), "tcp", host)
		if err != nil {
			return ""
		}
		_ = another.Close()
		return "the listener is open"
	})
	if _, err := io.WriteString(conn, "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\x00\x00\x00\x04\x00\x00\x00\x00\x00"); err != nil {
		t.Fatal(err)
	}
	if err := <-s.ended; err != nil {
		t.Errorf("Start returned %v", err)
	}
	if s.logs.FilterMessageSnippet("cutting off").Len() != 0 {
		t.Error("the shutdown took the whole drain timeout")
	}
}
