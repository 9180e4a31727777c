package ingress

import (
	"bufio"
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"strings"
	"syscall"
	"testing"
	"time"

	sdk "go.opentelemetry.io/otel/sdk/metric"
	"go.uber.org/zap/zaptest/observer"

	"github.com/eventing-eventmesh/eventing-eventmesh/internal/ingresstest"
)

// watched is a Server whose log and metrics are looked at.
type watched struct {
	*served
	logs    *observer.ObservedLogs
	metrics *sdk.ManualReader
}

// watch serves, once the HTTP server has been prepared.
func watch(t *testing.T, f *fake, secure *tls.Config, prepare ...func(*http.Server)) *watched {
	t.Helper()
	w := &watched{metrics: sdk.NewManualReader()}
	var s *Server
	s, w.logs = server(t, f, func(o *Options) {
		o.TLS, o.Meter = secure, sdk.NewMeterProvider(sdk.WithReader(w.metrics)).Meter("test")
	})
	for _, p := range prepare {
		p(s.http)
	}
	w.served = start(t, s)
	return w
}

// expect waits until as many requests could not be read, with log and metric.
func (w *watched) expect(t *testing.T, errorType, says string, n int) {
	t.Helper()
	eventually(t, func() string {
		if got := w.logs.FilterMessage("a request could not be read: " + says).Len(); got != n {
			return fmt.Sprintf("%d lines of the log, want %d; got %v", got, n, w.logs.All())
		}
		return ""
	})
	want := map[string]int64{"error.type=" + errorType: int64(n)}
	if n == 0 {
		want = map[string]int64{}
	}
	ingresstest.Collect(t, w.metrics).Expect(t, "eventmesh.ingress.unreadable.requests", want)
}

func serverPair(t *testing.T) (server, client *tls.Config) {
	t.Helper()
	ca := ingresstest.NewAuthority(t)
	cert, key, _ := ca.Issue(t)
	pair, err := tls.X509KeyPair(cert, key)
	if err != nil {
		t.Fatal(err)
	}
	return &tls.Config{Certificates: []tls.Certificate{pair}}, &tls.Config{RootCAs: ca.Pool(), ServerName: "127.0.0.1"}
}

const goodRequest = "POST / HTTP/1.1\r\nHost: sink\r\nCe-Specversion: 1.0\r\nCe-Id: 1\r\nCe-Type: t\r\nCe-Source: /s\r\nContent-Length: 0\r\n"

func before(text, part string) string {
	start, _, _ := strings.Cut(text, part)
	return start
}

// A header that comes slowly is no bad request, wherever its deadline cuts it.
func TestHeaderThatIsLateIsNotRefused(t *testing.T) {
	server, client := serverPair(t)
	for _, c := range []struct {
		name   string
		secure bool
		part   string
	}{
		{name: "in the middle of a method", part: goodRequest[:4]},
		{name: "in the middle of the first line", part: goodRequest[:len("POST / HT")]},
		{name: "after the first line", part: goodRequest[:len("POST / HTTP/1.1\r\n")]},
		{name: "in the middle of a name", part: before(goodRequest, "-Id")},
		{name: "in the middle of a value", part: before(goodRequest, ".0\r\n")},
		{name: "in the middle of the end", part: goodRequest + "\r"},
		{name: "after an attribute of many bytes", part: goodRequest + "Ce-Long: " + strings.Repeat("x", 9000)},
		{name: "in the middle of the first line, over TLS", secure: true, part: goodRequest[:len("POST / HT")]},
		{name: "in the middle of a name, over TLS", secure: true, part: before(goodRequest, "-Id")},
	} {
		t.Run(c.name, func(t *testing.T) {
			var secure *tls.Config
			if c.secure {
				secure = server
			}
			var shorten func()
			p := &fake{publish: func(context.Context, string) error {
				shorten() // by the one goroutine that serves the connection, and after all that has to be in time
				return nil
			}}
			w := watch(t, p, secure, func(server *http.Server) {
				shorten = func() { server.ReadHeaderTimeout = 20 * time.Millisecond }
			})
			conn := ingresstest.Dial(t, w.host)
			if c.secure {
				conn = tls.Client(conn, client)
			}
			if _, err := io.WriteString(conn, goodRequest+"\r\n"); err != nil {
				t.Fatal(err)
			}
			reader := bufio.NewReader(conn)
			first, err := http.ReadResponse(reader, nil)
			if err != nil {
				t.Fatal(err)
			}
			_ = first.Body.Close()
			if first.StatusCode != http.StatusAccepted {
				t.Fatalf("the first request got %s, want 202", first.Status)
			}
			if _, err := io.WriteString(conn, c.part); err != nil {
				t.Fatal(err)
			}
			rest, err := io.ReadAll(reader)
			if len(rest) > 0 || err != nil && !errors.Is(err, io.ErrUnexpectedEOF) && !errors.Is(err, syscall.ECONNRESET) {
				t.Errorf("got %q and %v, want the end of the connection alone", rest, err)
			}
			w.expect(t, headerLate, "its header did not come in time, no answer", 1)
		})
	}
}

// The first header of a connection is read in two steps, since it may be one of HTTP/2: the deadline may come between them.
func TestFirstHeaderThatIsLateIsNotRefused(t *testing.T) {
	w := watch(t, &fake{}, nil, func(server *http.Server) { server.ReadHeaderTimeout = 100 * time.Millisecond })
	for _, part := range []string{goodRequest[:len("POST / HTTP/1.")], goodRequest[:len("POST / HTTP/1.1\r\nHo")]} {
		conn := ingresstest.Dial(t, w.host)
		if _, err := io.WriteString(conn, part); err != nil {
			t.Fatal(err)
		}
		if got, err := io.ReadAll(conn); len(got) > 0 || err != nil && !errors.Is(err, syscall.ECONNRESET) {
			t.Errorf("%q: got %q and %v, want the end of the connection alone", part, got, err)
		}
	}
}

func TestUnreadableRequests(t *testing.T) {
	server, client := serverPair(t)
	const noTransfer = "POST / HTTP/1.1\r\nHost: sink\r\nTransfer-Encoding: gzip\r\n\r\n"
	for _, c := range []struct {
		name, raw string
		status    string
	}{
		{"malformed", "no request\r\n\r\n", "400"},
		{"no host", "POST / HTTP/1.1\r\n\r\n", "400"},
		{"bad name", "POST / HTTP/1.1\r\nHost: sink\r\nCe Id: 1\r\n\r\n", "400"},
		{"bad length", "POST / HTTP/1.1\r\nHost: sink\r\nContent-Length: x\r\n\r\n", "400"},
		{"cut off", "POST / HTTP/1.1\r\nHost: si", "400"},
		{"large", "POST / HTTP/1.1\r\nHost: sink\r\nCe-Long: " + strings.Repeat("x", 2*maxHeaderBytes) + "\r\n\r\n", "431"},
		{"unknown transfer", noTransfer, "501"},
		{"version of the future", "POST / HTTP/3.0\r\nHost: sink\r\n\r\n", "505"},
		{"unknown expectation", "POST / HTTP/1.1\r\nHost: sink\r\nExpect: more\r\nContent-Length: 0\r\n\r\n", "417"},

		{"ours", "PUT / HTTP/1.1\r\nHost: sink\r\nConnection: close\r\n\r\n", ""},
		{"of the server", "OPTIONS * HTTP/1.1\r\nHost: sink\r\nConnection: close\r\n\r\n", ""},
		{"none", "", ""},
	} {
		for _, kept := range []bool{false, true} {
			t.Run(fmt.Sprintf("%s, on a kept connection %t", c.name, kept), func(t *testing.T) {
				w := watch(t, &fake{}, nil)
				got := exchange(t, ingresstest.Dial(t, w.host), kept, c.raw)
				if c.name == "of the server" && !strings.Contains(got, "\r\nAllow: POST, OPTIONS\r\n") {
					t.Errorf("got %q, want what OPTIONS of a path gets", got)
				}
				if c.status == "" {
					w.expect(t, "", "", 0)
					return
				}
				if !strings.HasPrefix(got, "HTTP/1.1 "+c.status) {
					t.Errorf("got %q, want %s", got, c.status)
				}
				w.expect(t, c.status, "answered "+c.status, 1)
			})
		}
		t.Run(c.name+", over TLS", func(t *testing.T) {
			for _, kept := range []bool{false, true} {
				w := watch(t, &fake{}, server)
				exchange(t, tls.Client(ingresstest.Dial(t, w.host), client), kept, c.raw)
				n := 0
				if c.status != "" {
					n = 1
				}
				w.expect(t, "_OTHER", "answered by the HTTP server, over TLS", n)
			}
		})
	}
}

// exchange writes what no HTTP client would, if wanted after a good request, and returns all that comes in answer to it.
func exchange(t *testing.T, conn net.Conn, kept bool, raw string) string {
	t.Helper()
	reader := bufio.NewReader(conn)
	if kept {
		if _, err := io.WriteString(conn, goodRequest+"\r\n"); err != nil {
			t.Fatal(err)
		}
		first, err := http.ReadResponse(reader, nil)
		if err != nil {
			t.Fatal(err)
		}
		_ = first.Body.Close()
	}
	if raw != "" {
		_, _ = io.WriteString(conn, raw) // not all of which is read
	} else if secure, ok := conn.(*tls.Conn); ok {
		if err := secure.HandshakeContext(t.Context()); err != nil {
			t.Fatal(err)
		}
	}
	if half, ok := conn.(interface{ CloseWrite() error }); ok {
		_ = half.CloseWrite()
	}
	got, err := io.ReadAll(reader)
	if err != nil && len(got) == 0 && !errors.Is(err, io.ErrUnexpectedEOF) && !errors.Is(err, syscall.ECONNRESET) {
		t.Fatal(err)
	}
	_ = conn.Close()
	return string(got)
}

// What is no request of HTTP/1.1 is not counted: HTTP/2, and plain HTTP on the port of TLS is.
func TestUnreadableOverOtherProtocols(t *testing.T) {
	server, client := serverPair(t)
	var h2c http.Protocols
	h2c.SetUnencryptedHTTP2(true)
	plain, secure := watch(t, &fake{}, nil), watch(t, &fake{}, server)
	for _, c := range []struct {
		sink      *watched
		url       string
		transport *http.Transport
	}{
		{plain, "http://" + plain.host, &http.Transport{Protocols: &h2c}},
		{secure, "https://" + secure.host, &http.Transport{TLSClientConfig: client, ForceAttemptHTTP2: true}},
	} {
		sender := &http.Client{Transport: c.transport}
		for range 2 {
			if got := ingresstest.Send(t, sender, http.MethodPost, c.url, ingresstest.Binary(), strings.NewReader("{}")); got.Status != http.StatusAccepted || got.Proto != "HTTP/2.0" {
				t.Errorf("got %d over %s, want 202 over HTTP/2", got.Status, got.Proto)
			}
		}
		sender.CloseIdleConnections()
		c.sink.expect(t, "", "", 0)
	}
	exchange(t, ingresstest.Dial(t, secure.host), false, "POST / HTTP/1.1\r\nHost: sink\r\n\r\n")
	secure.expect(t, "400", "answered 400", 1)
}
