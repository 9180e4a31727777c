package ingress

import (
	"bufio"
	"context"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/eventing-eventmesh/eventing-eventmesh/internal/ingresstest"
)

func TestSenderThatGoesAway(t *testing.T) {
	for _, c := range []struct {
		name   string
		header http.Header
		body   string
	}{{"event", ingresstest.Binary(), "{}"}, {"batch", ingresstest.Batched(), ingresstest.BatchOf("1")}} {
		t.Run(c.name, func(t *testing.T) {
			began, goOn, ended := make(chan struct{}), make(chan struct{}), make(chan error, 1)
			p := &fake{publish: func(ctx context.Context, _ string) error {
				close(began)
				<-goOn
				ended <- ctx.Err()
				return nil
			}}
			server, _ := serve(t, p)
			ctx, cancel := context.WithCancel(t.Context())
			r := httptest.NewRequestWithContext(ctx, http.MethodPost, "/", strings.NewReader(c.body))
			r.Header = c.header
			answered := make(chan struct{})
			go func() {
				defer close(answered)
				server.ServeHTTP(httptest.NewRecorder(), r)
			}()
			<-began
			cancel() // as net/http does when the connection breaks
			close(goOn)
			if err := <-ended; err != nil {
				t.Errorf("publishing ended with its sender: %v", err)
			}
			<-answered
			if n := len(server.inFlight); n != 0 {
				t.Errorf("%d events are in flight in the end", n)
			}
		})
	}
}

func TestLimitsRequestsInFlight(t *testing.T) {
	began, goOn := make(chan struct{}), make(chan struct{})
	p := &fake{publish: func(context.Context, string) error {
		began <- struct{}{}
		<-goOn
		return nil
	}}
	server, _ := serve(t, p, bounds(Bounds{InFlight: 2}))
	statuses := make(chan int, 2)
	for range 2 {
		go func() { statuses <- ingresstest.Post(t, server.URL).Status }()
		<-began
	}
	got := ingresstest.Post(t, server.URL)
	if got.Status != http.StatusTooManyRequests || got.Header.Get("Retry-After") != "1" || !strings.Contains(got.Body, "EVENTMESH_MAX_IN_FLIGHT") {
		t.Errorf("got %d %q, Retry-After %q; want 429", got.Status, got.Body, got.Header.Get("Retry-After"))
	}
	if got := ingresstest.Send(t, server.Client(), http.MethodGet, server.URL+"/readiness", nil, nil); got.Status != http.StatusOK {
		t.Errorf("readiness while full: got %d, want 200", got.Status)
	}
	close(goOn)
	for range 2 {
		if got := <-statuses; got != http.StatusAccepted {
			t.Errorf("got %d for an event in flight, want 202", got)
		}
	}
	go func() { <-began }()
	if got := ingresstest.Post(t, server.URL); got.Status != http.StatusAccepted {
		t.Errorf("got %d when there is room again, want 202", got.Status)
	}
	server.bodies.mu.Lock()
	defer server.bodies.mu.Unlock()
	if server.bodies.held != 0 {
		t.Errorf("%d bytes of bodies are held in the end", server.bodies.held)
	}
}

func TestBodyThatEndsEarly(t *testing.T) {
	p := &fake{}
	server, _ := serve(t, p)
	conn, err := (&net.Dialer{}).DialContext(t.Context(), "tcp", server.host)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = conn.Close() }()
	_, err = io.WriteString(conn, "POST / HTTP/1.1\r\nHost: sink\r\nContent-Length: 10\r\nCe-Specversion: 1.0\r\nCe-Id: 1\r\nCe-Type: t\r\nCe-Source: /s\r\n\r\n1234")
	if err != nil {
		t.Fatal(err)
	}
	if err := conn.(*net.TCPConn).CloseWrite(); err != nil {
		t.Fatal(err)
	}
	response, err := http.ReadResponse(bufio.NewReader(conn), nil)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = response.Body.Close() }()
	if response.StatusCode != http.StatusRequestTimeout { // which senders repeat, unlike 400
		t.Errorf("got %d, want 408", response.StatusCode)
	}
	if events, _ := p.taken(); len(events) != 0 {
		t.Errorf("got %d events published", len(events))
	}
}

// Every intermediary has to forward events of 64 KiB, be it in their headers.
func TestLimitsHeaders(t *testing.T) {
	for size, want := range map[int]int{60 << 10: http.StatusAccepted, 64 << 10: http.StatusBadRequest, 256 << 10: http.StatusRequestHeaderFieldsTooLarge} {
		server, _ := serve(t, &fake{})
		got := ingresstest.Send(t, server.Client(), http.MethodPost, server.URL, ingresstest.Binary("Ce-Long="+strings.Repeat("x", size)), strings.NewReader("{}"))
		if got.Status != want {
			t.Errorf("%d bytes: got %d %q, want %d", size, got.Status, got.Body, want)
		}
	}
}

// The times are those of docs/operations.md; an answer has time to be written after the longest that a delivery may take.
func TestSlowSendersAreBoundedInTime(t *testing.T) {
	server, _ := serve(t, &fake{}, bounds(Bounds{Timeout: 2 * time.Minute}))
	s := server.http
	if s.ReadHeaderTimeout != 5*time.Second || s.ReadTimeout != 30*time.Second || s.IdleTimeout != 2*time.Minute {
		t.Errorf("got %s for a header, %s for a request and %s between two, want 5s, 30s and 2m", s.ReadHeaderTimeout, s.ReadTimeout, s.IdleTimeout)
	}
	if least := s.ReadTimeout + 2*time.Minute; s.WriteTimeout <= least {
		t.Errorf("got %s for a request and its answer, want more than %s", s.WriteTimeout, least)
	}
}
