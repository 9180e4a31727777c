package roundtrip

import (
	"bufio"
	"bytes"
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"go.uber.org/goleak"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// options are those of the tests.
func options() Options {
	return Options{ConnectTimeout: 10 * time.Second, MaxIdle: 4, IdleTimeout: time.Minute, MaxHeader: 4 << 10, MaxBody: 64 << 10}
}

// scripted is a server that handles each connection by a script.
type scripted struct {
	Server
	connections atomic.Int32
}

// serve starts one on loopback.
func serve(t *testing.T, script func(conn net.Conn)) *scripted {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	s := &scripted{Server: Server{"http", l.Addr().String()}}
	var handling sync.WaitGroup
	handling.Go(func() {
		for {
			conn, err := l.Accept()
			if err != nil {
				return
			}
			s.connections.Add(1)
			handling.Go(func() {
				defer conn.Close()
				script(conn)
			})
		}
	})
	t.Cleanup(func() {
		_ = l.Close()
		handling.Wait()
	})
	return s
}

// client returns one for the time of a test.
func client(t *testing.T, o Options) *Client {
	t.Helper()
	ctx, cancel := context.WithCancel(context.Background())
	t.Cleanup(cancel) // before its servers end
	return NewClient(ctx, o)
}

var get = Request{Method: http.MethodGet, Target: "/events?n=1"}

func TestAnswers(t *testing.T) {
	t.Parallel()
	const other = "HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nother"
	long := strings.Repeat("x", options().MaxBody)
	for name, test := range map[string]struct {
		raw    string
		want   Answer
		err    error // io.EOF for any that is not ErrTooLong
		reused bool
	}{
		"a length":                   {raw: "HTTP/1.1 202 Accepted\r\nContent-Length: 2\r\n\r\nok", want: Answer{202, []byte("ok")}, reused: true},
		"no body":                    {raw: "HTTP/1.1 204 No Content\r\n\r\n", want: Answer{204, []byte{}}, reused: true},
		"chunks":                     {raw: "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nok\r\n1\r\n!\r\n0\r\n\r\n", want: Answer{200, []byte("ok!")}, reused: true},
		"the end of the connection":  {raw: "HTTP/1.0 200 OK\r\n\r\nok", want: Answer{200, []byte("ok")}},
		"Connection: close":          {raw: "HTTP/1.1 500 Oh\r\nContent-Length: 2\r\nConnection: close\r\n\r\nok", want: Answer{500, []byte("ok")}},
		"one that announces another": {raw: "HTTP/1.1 103 Early Hints\r\nLink: x\r\n\r\nHTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok", want: Answer{200, []byte("ok")}, reused: true},
		"more than was asked for":    {raw: "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok" + other, want: Answer{200, []byte("ok")}},
		"as much as may be":          {raw: fmt.Sprintf("HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n%s", len(long), long), want: Answer{200, []byte(long)}, reused: true},
		"as much as may be, chunked": {raw: fmt.Sprintf("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n%x\r\n%s\r\n0\r\n\r\n", len(long), long), want: Answer{200, []byte(long)}, reused: true},
		"a length beyond that":       {raw: fmt.Sprintf("HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n%s.", len(long)+1, long), err: ErrTooLong},
		"chunks beyond that":         {raw: fmt.Sprintf("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n%x\r\n%s.\r\n0\r\n\r\n", len(long)+1, long), err: ErrTooLong},
		"a header beyond that":       {raw: "HTTP/1.1 200 OK\r\nX: " + long + "\r\n\r\n", err: ErrTooLong},
		"too many of them":           {raw: strings.Repeat("HTTP/1.1 103 Early Hints\r\n\r\n", options().MaxHeader), err: ErrTooLong},
		"something else":             {raw: "SSH-2.0-OpenSSH_9.2\r\n", err: io.EOF},
		"nothing":                    {raw: "", err: io.EOF},
		"a part of a header":         {raw: "HTTP/1.1 200 OK\r\nContent-", err: io.EOF},
		"a part of a body":           {raw: "HTTP/1.1 200 OK\r\nContent-Length: 3\r\n\r\nok", err: io.EOF},
		"a part of a chunk":          {raw: "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nok", err: io.EOF},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			server := serve(t, func(conn net.Conn) {
				requests := bufio.NewReader(conn)
				for {
					if _, err := http.ReadRequest(requests); err != nil {
						return
					}
					if _, err := io.WriteString(conn, test.raw); err != nil || !test.reused {
						return
					}
				}
			})
			c := client(t, options())
			for range 2 {
				got, err := c.Do(t.Context(), server.Server, get)
				if test.err != nil {
					if err == nil || errors.Is(err, ErrNotConnected) || errors.Is(err, ErrTooLong) != errors.Is(test.err, ErrTooLong) {
						t.Errorf("got %v, want %v", err, test.err)
					}
					continue
				}
				if err != nil || got.Status != test.want.Status || !bytes.Equal(got.Body, test.want.Body) {
					t.Errorf("got %d, %d bytes, %v, want %d, %d bytes", got.Status, len(got.Body), err, test.want.Status, len(test.want.Body))
				}
			}
			if n := server.connections.Load(); (n == 1) != test.reused {
				t.Errorf("2 requests took %d connections, reused: %t wanted", n, test.reused)
			}
		})
	}
}

func TestRequests(t *testing.T) {
	t.Parallel()
	type request struct {
		Method, Target, Host string
		Header               http.Header
		Length               int64
		Body                 string
	}
	came := make(chan request, 1)
	server := httptest.NewServer(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
		body, _ := io.ReadAll(r.Body)
		came <- request{r.Method, r.RequestURI, r.Host, r.Header, r.ContentLength, string(body)}
	}))
	t.Cleanup(server.Close)
	host := server.Listener.Addr().String()
	header := NewHeader(http.Header{"Authorization": {"Bearer x\r\nEvil: 1"}, "Content-Type": {"application/json"}})
	c := client(t, options())
	for _, body := range []string{"", "{}", strings.Repeat("x", together), strings.Repeat("y", together+1), strings.Repeat("z", 4<<20)} {
		r := Request{Method: http.MethodPost, Target: "/events/publish?topic=T", Header: header, Body: []byte(body)}
		if _, err := c.Do(t.Context(), Server{"http", host}, r); err != nil {
			t.Fatal(err)
		}
		got := <-came
		if got.Method != r.Method || got.Target != r.Target || got.Host != host || got.Body != body || got.Length != int64(len(body)) {
			t.Errorf("a body of %d bytes: got %s %s at %s, %d and %d bytes", len(body), got.Method, got.Target, got.Host, got.Length, len(got.Body))
		}
		if len(got.Header) != 3 || got.Header.Get("Authorization") != "Bearer x  Evil: 1" || got.Header.Get("Content-Type") != "application/json" {
			t.Errorf("got %v", got.Header)
		}
	}
	if _, err := c.Do(t.Context(), Server{"http", host}, get); err != nil {
		t.Fatal(err)
	}
	if got := <-came; got.Method != http.MethodGet || got.Target != get.Target || len(got.Header) != 0 {
		t.Errorf("got %+v", got)
	}
}

// Answers do not come to the wrong request, however many are made at once, and connections are kept.
func TestManyAtOnce(t *testing.T) {
	t.Parallel()
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) { _, _ = io.WriteString(w, r.RequestURI) }))
	t.Cleanup(server.Close)
	const workers, each = 16, 50
	o := options()
	o.MaxIdle = workers
	var dialed atomic.Int32
	o.Dial = func(ctx context.Context, network, address string) (net.Conn, error) {
		dialed.Add(1)
		return new(net.Dialer).DialContext(ctx, network, address)
	}
	c := client(t, o)
	var working sync.WaitGroup
	for w := range workers {
		working.Go(func() {
			for i := range each {
				target := fmt.Sprintf("/%d/%d", w, i)
				a, err := c.Do(t.Context(), Server{"http", server.Listener.Addr().String()}, Request{Method: http.MethodGet, Target: target})
				if err != nil || string(a.Body) != target {
					t.Errorf("%s: got %s, %v", target, a.Body, err)
				}
			}
		})
	}
	working.Wait()
	if n := dialed.Load(); n > workers {
		t.Errorf("%d requests at once made %d connections", workers, n)
	}
}

// A connection that the server has closed, or writes to without being asked, is not used again.
func TestIdleConnectionThatIsNone(t *testing.T) {
	t.Parallel()
	closed := func(conn net.Conn) { _ = conn.Close() }
	for name, test := range map[string]struct {
		status  int
		then    func(net.Conn)
		trusted time.Duration
	}{
		"closed":                 {status: 200, then: closed},
		"closed after a refusal": {status: 413, then: closed, trusted: time.Hour},
		"not silent":             {status: 200, then: func(conn net.Conn) { _, _ = io.WriteString(conn, "HTTP/1.1 408 Request Timeout\r\n\r\n") }},
		"half closed":            {status: 200, then: func(conn net.Conn) { _ = conn.(*net.TCPConn).CloseWrite() }},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			done := make(chan struct{}, 3)
			read := make(chan struct{}, 3)
			server := serve(t, func(conn net.Conn) {
				requests := bufio.NewReader(conn)
				if _, err := http.ReadRequest(requests); err != nil {
					return
				}
				_, _ = fmt.Fprintf(conn, "HTTP/1.1 %d Any\r\nContent-Length: 0\r\n\r\n", test.status)
				<-read
				test.then(conn)
				done <- struct{}{}
				_, _ = io.Copy(io.Discard, conn)
			})
			c := client(t, options())
			c.trusted = test.trusted
			for range 3 {
				if a, err := c.Do(t.Context(), server.Server, get); err != nil || a.Status != test.status {
					t.Fatalf("got %d, %v", a.Status, err)
				}
				read <- struct{}{}
				<-done
			}
		})
	}
}

func TestEnds(t *testing.T) {
	t.Parallel()
	for name, test := range map[string]struct {
		request, client bool // whose context ends
		want            error
	}{
		"the request": {request: true, want: context.Canceled},
		"the client":  {client: true, want: net.ErrClosed},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			asked, ended := make(chan struct{}), make(chan struct{})
			server := serve(t, func(conn net.Conn) {
				defer close(ended)
				requests := bufio.NewReader(conn)
				_, _ = http.ReadRequest(requests)
				close(asked)
				_, _ = io.Copy(io.Discard, requests)
			})
			all, endAll := context.WithCancel(context.Background())
			defer endAll()
			c := NewClient(all, options())
			ctx, end := context.WithCancel(t.Context())
			defer end()
			go func() {
				<-asked
				if test.request {
					end()
				} else {
					endAll()
				}
			}()
			if _, err := c.Do(ctx, server.Server, get); !errors.Is(err, test.want) || errors.Is(err, ErrNotConnected) {
				t.Errorf("got %v, want %v", err, test.want)
			}
			<-ended
			if _, err := c.Do(ctx, server.Server, get); !errors.Is(err, ErrNotConnected) {
				t.Errorf("after that: got %v, want %v", err, ErrNotConnected)
			}
		})
	}
}

func TestNotConnected(t *testing.T) {
	t.Parallel()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	silent := serve(t, func(conn net.Conn) { _, _ = io.Copy(io.Discard, conn) })
	_ = l.Close()
	for name, to := range map[string]Server{
		"nobody listens":     {"http", l.Addr().String()},
		"no such service":    {"gopher", "127.0.0.1"},
		"a server of no TLS": {"https", silent.Host},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			o := options()
			o.ConnectTimeout = 100 * time.Millisecond
			if _, err := client(t, o).Do(t.Context(), to, get); !errors.Is(err, ErrNotConnected) {
				t.Errorf("got %v, want %v", err, ErrNotConnected)
			}
		})
	}
}

// A server may refuse a request without reading it, and close the connection.
func TestAnswerBeforeTheEndOfTheRequest(t *testing.T) {
	t.Parallel()
	server := serve(t, func(conn net.Conn) {
		_, _ = io.WriteString(conn, "HTTP/1.1 413 Too Large\r\nContent-Length: 2\r\n\r\nno")
		_, _ = io.CopyN(io.Discard, conn, 1<<20)
	})
	r := Request{Method: http.MethodPost, Target: "/", Body: make([]byte, 64<<20)}
	a, err := client(t, options()).Do(t.Context(), server.Server, r)
	if err != nil || a.Status != http.StatusRequestEntityTooLarge || string(a.Body) != "no" {
		t.Errorf("got %d %s, %v", a.Status, a.Body, err)
	}
}

func TestTLS(t *testing.T) {
	t.Parallel()
	server := httptest.NewUnstartedServer(http.HandlerFunc(func(http.ResponseWriter, *http.Request) {}))
	server.Config.ErrorLog = nil
	server.StartTLS()
	t.Cleanup(server.Close)
	roots := x509.NewCertPool()
	roots.AddCert(server.Certificate())
	to := Server{"https", server.Listener.Addr().String()}
	for name, test := range map[string]struct {
		config *tls.Config
		want   error
	}{
		"known":   {config: &tls.Config{RootCAs: roots, MinVersion: tls.VersionTLS12}},
		"unknown": {want: ErrNotConnected},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			o := options()
			o.TLS = test.config
			var dialed atomic.Int32
			o.Dial = func(ctx context.Context, network, address string) (net.Conn, error) {
				dialed.Add(1)
				return new(net.Dialer).DialContext(ctx, network, address)
			}
			c := client(t, o)
			for i := range 3 {
				r := Request{Method: http.MethodPost, Target: "/", Body: make([]byte, i*together)}
				if _, err := c.Do(t.Context(), to, r); !errors.Is(err, test.want) {
					t.Errorf("got %v, want %v", err, test.want)
				}
			}
			if n := dialed.Load(); test.want == nil && n != 1 {
				t.Errorf("3 requests took %d connections, want 1", n)
			}
		})
	}
}

// Connections are kept in bounds, and not for long.
func TestIdleConnections(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		var open, made atomic.Int32
		o := options()
		o.Dial = func(context.Context, string, string) (net.Conn, error) {
			ours, theirs := net.Pipe()
			open.Add(1)
			made.Add(1)
			go func() {
				defer open.Add(-1)
				requests := bufio.NewReader(theirs)
				for {
					if _, err := http.ReadRequest(requests); err != nil {
						return
					}
					time.Sleep(time.Second)
					_, _ = io.WriteString(theirs, "HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n")
				}
			}()
			return ours, nil
		}
		ctx, cancel := context.WithCancel(t.Context())
		c := NewClient(ctx, o)
		request := func(n int) {
			var working sync.WaitGroup
			for range n {
				working.Go(func() {
					if _, err := c.Do(ctx, Server{"http", "mesh"}, get); err != nil {
						t.Error(err)
					}
				})
			}
			working.Wait()
			synctest.Wait()
		}
		for _, step := range []struct {
			requests, open, made int
			pause                time.Duration
		}{
			{requests: 1, open: 1, made: 1},
			{requests: 10, open: o.MaxIdle, made: 10},
			{requests: 2, open: o.MaxIdle, made: 10},
			{requests: 1, open: 1, made: 11, pause: o.IdleTimeout},
			{requests: 2, open: 2, made: 12, pause: o.IdleTimeout / 2},
		} {
			time.Sleep(step.pause)
			request(step.requests)
			if n, m := int(open.Load()), int(made.Load()); n != step.open || m != step.made {
				t.Fatalf("after %+v: %d connections are open, %d were made", step, n, m)
			}
		}
		cancel()
		synctest.Wait()
		if n := open.Load(); n != 0 {
			t.Errorf("%d connections are open at the end", n)
		}
	})
}
