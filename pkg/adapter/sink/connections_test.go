package sink

import (
	"context"
	"crypto/tls"
	"fmt"
	"io"
	"net"
	"net/http"
	"strings"
	"testing"
	"time"

	"go.uber.org/zap"

	"github.com/eventing-eventmesh/eventing-eventmesh/pkg/adapter"
	"github.com/eventing-eventmesh/eventing-eventmesh/pkg/eventmesh/eventmeshtest"
)

// serveBounded serves a handler on a bounded number of connections, once it has been prepared.
func serveBounded(t *testing.T, p publisher, limit int, secure *tls.Config, prepare ...func(*handler, *http.Server)) (*connections, string) {
	t.Helper()
	c := config(t, "EVENTMESH_URL=grpc://eventmesh", "EVENTMESH_TOPIC=orders")
	s := &sink{config: c, logger: zap.NewNop().Sugar()}
	h := newHandler(c, p, s.logger)
	server := newServer(c, h, s.logger)
	server.TLSConfig = secure
	for _, f := range prepare {
		f(h, server)
	}
	listener, err := adapter.Listen(t.Context(), 0)
	if err != nil {
		t.Fatal(err)
	}
	all := newConnections(limit, h.unreadable)
	ctx, cancel := context.WithCancel(t.Context())
	s.config.ShutdownDelay = 0
	ended := make(chan error, 1)
	go func() { ended <- s.serve(ctx, listener, server, h, all) }()
	t.Cleanup(func() {
		cancel()
		if err := <-ended; err != nil {
			t.Error(err)
		}
		eventually(t, func() string { // TLS may still be saying goodbye
			all.mu.Lock()
			defer all.mu.Unlock()
			if all.open != 0 || all.waiting.Len() != 0 {
				return fmt.Sprintf("%d connections are open in the end, %d wait", all.open, all.waiting.Len())
			}
			return ""
		})
	})
	_, port, err := net.SplitHostPort(listener.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	return all, net.JoinHostPort("127.0.0.1", port)
}

func dial(t *testing.T, host string) net.Conn {
	t.Helper()
	conn, err := (&net.Dialer{}).DialContext(t.Context(), "tcp", host)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = conn.Close() })
	return conn
}

// awaitClosed waits until the other side has closed a connection.
func awaitClosed(t *testing.T, conn net.Conn) {
	t.Helper()
	if _, err := io.Copy(io.Discard, conn); err != nil && !strings.Contains(err.Error(), "reset") {
		t.Error(err)
	}
}

func TestConnectionsThatWaitForLongestAreClosed(t *testing.T) {
	ca := newAuthority(t)
	cert, key, _ := ca.issue(t)
	pair, err := tls.X509KeyPair(cert, key)
	if err != nil {
		t.Fatal(err)
	}
	var h2c http.Protocols
	h2c.SetUnencryptedHTTP2(true)
	for _, c := range []struct {
		name      string
		secure    *tls.Config
		half      string
		transport *http.Transport
	}{
		{"HTTP/1.1", nil, "POST / HTTP/1.1\r\nHost:", &http.Transport{}},
		{"HTTP/2", nil, "PRI * HTTP/2.0\r\n", &http.Transport{Protocols: &h2c}},
		{"TLS", &tls.Config{Certificates: []tls.Certificate{pair}}, "\x16\x03\x01\x02\x00\x01", &http.Transport{TLSClientConfig: &tls.Config{RootCAs: ca.pool()}, ForceAttemptHTTP2: true}},
	} {
		t.Run(c.name, func(t *testing.T) {
			began, goOn := make(chan struct{}, 2), make(chan struct{})
			p := &fake{publish: func(context.Context, string) error {
				began <- struct{}{}
				<-goOn
				return nil
			}}
			const limit = 3
			all, host := serveBounded(t, p, limit, c.secure)
			url := "http://" + host
			if c.secure != nil {
				url = "https://" + host
			}
			client := &http.Client{Transport: c.transport}
			t.Cleanup(client.CloseIdleConnections)

			status := make(chan int, 1)
			go func() { status <- send(t, client, http.MethodPost, url, binary(), strings.NewReader("{}")).status }()
			<-began
			idle := &http.Client{Transport: c.transport.Clone()}
			t.Cleanup(idle.CloseIdleConnections)
			if got := send(t, idle, http.MethodGet, url+"/health", nil, nil); got.status != http.StatusOK {
				t.Errorf("got %d, want 200", got.status)
			}
			// One is in flight. The idle one goes first, and then half-open ones, one after the other.
			half := []net.Conn{dial(t, host), dial(t, host)}
			for range 20 {
				next := dial(t, host)
				_, _ = io.WriteString(next, c.half)
				awaitClosed(t, half[0])
				half = []net.Conn{half[1], next}
			}
			// A good one is served all the same.
			other := &http.Client{Transport: c.transport.Clone()}
			t.Cleanup(other.CloseIdleConnections)
			if got := send(t, other, http.MethodGet, url+"/readiness", nil, nil); got.status != http.StatusOK {
				t.Errorf("got %d %q, want 200", got.status, got.body)
			}
			awaitClosed(t, half[0])
			all.mu.Lock()
			if all.open != limit || all.waiting.Len() != limit-1 {
				t.Errorf("%d connections are open, %d wait; want %d and all but one", all.open, all.waiting.Len(), limit)
			}
			all.mu.Unlock()
			close(goOn)
			if got := <-status; got != http.StatusAccepted {
				t.Errorf("the one in flight: got %d, want 202", got)
			}
		})
	}
}

func TestConnectionsAllInFlight(t *testing.T) {
	all := newConnections(1, nil)
	here, there := net.Pipe()
	defer func() { _ = there.Close() }()
	first, victim := all.add(here)
	if victim != nil {
		t.Fatal("the first connection was one too many")
	}
	ctx := context.WithValue(t.Context(), connectionKey{}, first)
	begin(ctx)() // one of two events over HTTP/2
	end := begin(ctx)
	begin(ctx)()
	second, victim := all.add(here)
	if victim != second {
		t.Errorf("got victim %p, want the second connection: the first has an event in flight", victim)
	}
	_ = second.Close()
	_ = second.Close()
	end()
	third, victim := all.add(here)
	if victim != first {
		t.Errorf("got victim %p, want the first connection, which is idle", victim)
	}
	_ = victim.Close()
	_ = third.Close()
	if all.open != 0 {
		t.Errorf("%d connections are open, want none", all.open)
	}
}

func TestHalfOpenConnectionsOfTheSink(t *testing.T) {
	server := eventmeshtest.New(t, eventmeshtest.Options{Storage: eventmeshtest.RocketMQ})
	s := start(t, "EVENTMESH_URL="+server.GRPCURL(), "EVENTMESH_TOPIC=orders", "EVENTMESH_MAX_IN_FLIGHT=1", "EVENTMESH_MAX_CONNECTIONS=4")
	s.awaitReadiness(t, http.StatusOK)
	host := strings.TrimPrefix(s.url, "http://")
	idle := dial(t, host)
	if _, err := io.WriteString(idle, "GET /health HTTP/1.1\r\nHost: sink\r\n\r\n"); err != nil {
		t.Fatal(err)
	}
	if _, err := io.ReadFull(idle, make([]byte, len("HTTP/1.1 200"))); err != nil {
		t.Fatal(err)
	}
	for range 100 {
		dial(t, host)
	}
	client := &http.Client{Transport: &http.Transport{}} // whose connection is not one of those that give way
	t.Cleanup(client.CloseIdleConnections)
	if got := send(t, client, http.MethodPost, s.url, binary(), strings.NewReader("{}")); got.status != http.StatusAccepted {
		t.Errorf("got %d %q, want 202", got.status, got.body)
	}
	_ = idle.SetReadDeadline(time.Now().Add(patience)) // of itself it would stay open for longer
	awaitClosed(t, idle)
}

func TestUnusedConnectionsAreClosedAtShutdown(t *testing.T) {
	all := newConnections(10, nil)
	var conns []*connection
	for range 4 {
		here, there := net.Pipe()
		defer func() { _ = there.Close() }()
		one, _ := all.add(here)
		conns = append(conns, one)
	}
	fresh, idle, active, busy := conns[0], conns[1], conns[2], conns[3]
	all.changed(idle, http.StateActive)
	all.changed(idle, http.StateIdle)
	all.changed(active, http.StateActive)
	end := begin(context.WithValue(t.Context(), connectionKey{}, busy))
	if got := all.unused(); len(got) != 0 {
		t.Errorf("got %d unused connections that have just changed, want none", len(got))
	}
	for _, one := range conns {
		one.since = one.since.Add(-2 * unusedAge)
	}
	stop := all.closeUnused()
	eventually(t, func() string {
		all.mu.Lock()
		defer all.mu.Unlock()
		if !fresh.closed || !idle.closed {
			return "the unused connections are open"
		}
		return ""
	})
	stop()
	if active.closed || busy.closed {
		t.Error("a connection with a request was closed")
	}
	end()
}

// net/http would wait for a connection that becomes one of HTTP/2 during the shutdown.
func TestShutdownDoesNotWaitForUnusedConnections(t *testing.T) {
	s := start(t, "EVENTMESH_URL=grpc://127.0.0.1:1", "EVENTMESH_TOPIC=orders")
	host := strings.TrimPrefix(s.url, "http://")
	conn := dial(t, host)
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

// net/http ends what it writes before what it reads, so that a sender that still sends its body gets the answer.
func TestConnectionIsClosedForWritingAlone(t *testing.T) {
	listener, err := adapter.Listen(t.Context(), 0)
	if err != nil {
		t.Fatal(err)
	}
	bound := newConnections(1, nil).bound(&http.Server{}, listener)
	defer func() { _ = bound.Close() }()
	_, port, err := net.SplitHostPort(listener.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	there := dial(t, net.JoinHostPort("127.0.0.1", port))
	here, err := bound.Accept()
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = here.Close() }()
	one, ok := here.(interface{ CloseWrite() error })
	if !ok {
		t.Fatalf("a %T cannot be closed for writing", here)
	}
	if err := one.CloseWrite(); err != nil {
		t.Fatal(err)
	}
	_ = there.SetReadDeadline(time.Now().Add(patience))
	awaitClosed(t, there)
	if _, err := io.WriteString(there, "more"); err != nil {
		t.Fatal(err)
	}
	if _, err := io.ReadFull(here, make([]byte, len("more"))); err != nil {
		t.Errorf("what comes afterwards cannot be read: %v", err)
	}
}
