package ingress

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

	"github.com/eventing-eventmesh/eventing-eventmesh/internal/ingresstest"
)

func TestConnectionsThatWaitForLongestAreClosed(t *testing.T) {
	ca := ingresstest.NewAuthority(t)
	cert, key, _ := ca.Issue(t)
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
		{"TLS", &tls.Config{Certificates: []tls.Certificate{pair}}, "\x16\x03\x01\x02\x00\x01", &http.Transport{TLSClientConfig: &tls.Config{RootCAs: ca.Pool()}, ForceAttemptHTTP2: true}},
	} {
		t.Run(c.name, func(t *testing.T) {
			began, goOn := make(chan struct{}, 2), make(chan struct{})
			p := &fake{publish: func(context.Context, string) error {
				began <- struct{}{}
				<-goOn
				return nil
			}}
			const limit = 3
			server, _ := serve(t, p, bounds(Bounds{Connections: limit}), func(o *Options) { o.TLS = c.secure })
			all, host := server.connections, server.host
			url := server.URL
			client := &http.Client{Transport: c.transport}
			t.Cleanup(client.CloseIdleConnections)

			status := make(chan int, 1)
			go func() {
				status <- ingresstest.Send(t, client, http.MethodPost, url, ingresstest.Binary(), strings.NewReader("{}")).Status
			}()
			<-began
			idle := &http.Client{Transport: c.transport.Clone()}
			t.Cleanup(idle.CloseIdleConnections)
			if got := ingresstest.Send(t, idle, http.MethodGet, url+"/health", nil, nil); got.Status != http.StatusOK {
				t.Errorf("got %d, want 200", got.Status)
			}
			// One is in flight. The idle one goes first, and then half-open ones, one after the other.
			half := []net.Conn{ingresstest.Dial(t, host), ingresstest.Dial(t, host)}
			for range 20 {
				next := ingresstest.Dial(t, host)
				_, _ = io.WriteString(next, c.half)
				ingresstest.AwaitClosed(t, half[0])
				half = []net.Conn{half[1], next}
			}
			// A good one is served all the same.
			other := &http.Client{Transport: c.transport.Clone()}
			t.Cleanup(other.CloseIdleConnections)
			if got := ingresstest.Send(t, other, http.MethodGet, url+"/readiness", nil, nil); got.Status != http.StatusOK {
				t.Errorf("got %d %q, want 200", got.Status, got.Body)
			}
			ingresstest.AwaitClosed(t, half[0])
			all.mu.Lock()
			if all.open != limit || all.waiting.Len() != limit-1 {
				t.Errorf("%d connections are open, %d wait; want %d and all but one", all.open, all.waiting.Len(), limit)
			}
			all.mu.Unlock()
			close(goOn)
			if got := <-status; got != http.StatusAccepted {
				t.Errorf("the one in flight: got %d, want 202", got)
			}
			eventually(t, func() string {
				all.mu.Lock()
				defer all.mu.Unlock()
				if all.waiting.Len() != all.open {
					return fmt.Sprintf("%d of %d connections wait, though none has an event in flight", all.waiting.Len(), all.open)
				}
				return ""
			})
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
	first.begin() // one of two events over HTTP/2
	first.end()
	first.begin()
	first.begin()
	first.end()
	second, victim := all.add(here)
	if victim != second {
		t.Errorf("got victim %p, want the second connection: the first has an event in flight", victim)
	}
	_ = second.Close()
	_ = second.Close()
	first.end()
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
	busy.begin()
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
	busy.end()
}

// net/http ends what it writes before what it reads, so that a sender that still sends its body gets the answer.
func TestConnectionIsClosedForWritingAlone(t *testing.T) {
	listener, err := (&net.ListenConfig{}).Listen(t.Context(), "tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	bound := &boundListener{Listener: listener, connections: newConnections(1, nil)}
	defer func() { _ = bound.Close() }()
	there := ingresstest.Dial(t, listener.Addr().String())
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
	ingresstest.AwaitClosed(t, there)
	if _, err := io.WriteString(there, "more"); err != nil {
		t.Fatal(err)
	}
	if _, err := io.ReadFull(here, make([]byte, len("more"))); err != nil {
		t.Errorf("what comes afterwards cannot be read: %v", err)
	}
}
