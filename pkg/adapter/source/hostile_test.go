package source

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/eventing-eventmesh/eventing-eventmesh/pkg/dispatch"
	"github.com/eventing-eventmesh/eventing-eventmesh/pkg/eventmesh"
	"github.com/eventing-eventmesh/eventing-eventmesh/pkg/eventmesh/eventmeshtest"
)

// rawSink serves connections by hand until the test ends, and returns its URL. Each handler gets the number of its connection.
func rawSink(t *testing.T, serve func(n int, conn net.Conn, requests *bufio.Reader)) string {
	t.Helper()
	listener, err := (&net.ListenConfig{}).Listen(t.Context(), "tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	var serving sync.WaitGroup
	var mu sync.Mutex
	var all []net.Conn
	serving.Go(func() {
		for n := 0; ; n++ {
			conn, err := listener.Accept()
			if err != nil {
				return
			}
			mu.Lock()
			all = append(all, conn)
			mu.Unlock()
			serving.Go(func() {
				defer conn.Close()
				serve(n, conn, bufio.NewReader(conn))
			})
		}
	})
	t.Cleanup(func() {
		_ = listener.Close()
		mu.Lock()
		for _, conn := range all {
			_ = conn.Close()
		}
		mu.Unlock()
		serving.Wait()
	})
	return "http://" + listener.Addr().String()
}

// request reads one request, and tells whether there was one.
func request(requests *bufio.Reader) bool {
	r, err := http.ReadRequest(requests)
	if err != nil {
		return false
	}
	_, err = io.Copy(io.Discard, r.Body)
	return err == nil
}

// stay writes a text, and keeps the connection for as long as the other side does.
func stay(conn net.Conn, text string) {
	_, _ = io.WriteString(conn, text)
	_, _ = io.Copy(io.Discard, conn)
}

// repeat writes a text, and another one again and again, until the connection ends.
func repeat(conn net.Conn, text, again string, pause time.Duration) {
	for _, err := io.WriteString(conn, text); err == nil; _, err = io.WriteString(conn, again) {
		if pause > 0 {
			<-time.After(pause)
		}
	}
}

// hostileSinks are answers to a request that mean harm.
func hostileSinks() map[string]func(net.Conn) {
	const head, pause = "HTTP/1.1 202 Accepted\r\n", 10 * time.Millisecond
	const switched, chunked = "HTTP/1.1 101 Switching Protocols\r\n", head + "Transfer-Encoding: chunked\r\n\r\n"
	const upgraded = switched + "Upgrade: x\r\nConnection: Upgrade\r\n\r\n"
	return map[string]func(net.Conn){
		"says nothing":               func(conn net.Conn) { stay(conn, "") },
		"switches protocols":         func(conn net.Conn) { stay(conn, upgraded) },
		"switches, and talks":        func(conn net.Conn) { repeat(conn, upgraded, "x", 0) },
		"switches, and says little":  func(conn net.Conn) { repeat(conn, upgraded, "x", pause) },
		"switches without a header":  func(conn net.Conn) { stay(conn, switched+"\r\n") },
		"informs without end":        func(conn net.Conn) { repeat(conn, "", "HTTP/1.1 103 Early Hints\r\nLink: </x>\r\n\r\n", 0) },
		"informs now and then":       func(conn net.Conn) { repeat(conn, "", "HTTP/1.1 100 Continue\r\n\r\n", pause) },
		"has headers without end":    func(conn net.Conn) { repeat(conn, head, "X: y\r\n", 0) },
		"has headers now and then":   func(conn net.Conn) { repeat(conn, head, "X: y\r\n", pause) },
		"has one header without end": func(conn net.Conn) { repeat(conn, head+"X: ", "y", 0) },
		"has a status without end":   func(conn net.Conn) { repeat(conn, "", "H", 0) },
		"has a body without end":     func(conn net.Conn) { repeat(conn, head+"\r\n", "x", 0) },
		"has a body now and then":    func(conn net.Conn) { repeat(conn, head+"\r\n", "x", pause) },
		"has chunks now and then":    func(conn net.Conn) { repeat(conn, chunked, "1\r\nx\r\n", pause) },
		"has trailers without end":   func(conn net.Conn) { repeat(conn, chunked+"0\r\n", "X: y\r\n", 0) },
		"owes its body":              func(conn net.Conn) { stay(conn, head+"Content-Length: 1000\r\n\r\n") },
		"refuses now and then":       func(conn net.Conn) { repeat(conn, "HTTP/1.1 400 No\r\n\r\n", "x", pause) },
		"speaks another protocol":    func(conn net.Conn) { repeat(conn, "", "\x15\x03\x01\x00\x02\x02\x46", 0) },
	}
}

// TestNoAnswerHoldsAnAttempt is about sinks that mean harm. Whatever they answer, an attempt ends with its time or its context.
func TestNoAnswerHoldsAnAttempt(t *testing.T) {
	t.Parallel()
	sinks := hostileSinks()
	const (
		soon       = 300 * time.Millisecond
		errorLimit = 500
	)
	ends := map[string]struct{ timeout, deadline time.Duration }{"time": {soon, time.Hour}, "context": {time.Hour, soon}}
	for name, serve := range sinks {
		for end, bounded := range ends {
			for _, replies := range []bool{false, true} {
				t.Run(fmt.Sprintf("%s/%s/replies %t", name, end, replies), func(t *testing.T) {
					t.Parallel()
					sink := rawSink(t, func(_ int, conn net.Conn, requests *bufio.Reader) {
						if request(requests) {
							serve(conn)
						}
					})
					d := destination(t, sink, func(o *dispatch.HTTPOptions) { o.Replies, o.Timeout = replies, bounded.timeout })
					ctx, cancel := context.WithTimeout(t.Context(), bounded.deadline)
					t.Cleanup(cancel)
					ended := make(chan error, 1)
					go func() {
						_, err := d.Send(ctx, sample("a"))
						ended <- err
					}()
					select {
					case err := <-ended:
						if err != nil && len(err.Error()) > 2*errorLimit {
							t.Errorf("got an error of %d bytes: %.100s", len(err.Error()), err)
						}
					case <-time.After(patience):
						t.Error("the attempt goes on")
					}
				})
			}
		}
	}
}

func TestAnswersOfMuchAreBounded(t *testing.T) {
	d := destination(t, rawSink(t, func(_ int, conn net.Conn, requests *bufio.Reader) {
		if request(requests) {
			repeat(conn, "HTTP/1.1 202 Accepted\r\n", "X: "+strings.Repeat("y", 1000)+"\r\n", 0)
		}
	}))
	if _, err := d.Send(t.Context(), sample("a")); err == nil || !strings.Contains(err.Error(), "response headers exceeded 1048576 bytes") {
		t.Errorf("got %v, want that the headers are too large", err)
	}
}

// TestSuccessDoesNotWaitForItsBody would take as long as the sink may.
func TestSuccessDoesNotWaitForItsBody(t *testing.T) {
	const text = "HTTP/1.1 202 Accepted\r\nContent-Length: 1000\r\n\r\n"
	for _, status := range []int{202, 400} {
		d := destination(t, rawSink(t, func(_ int, conn net.Conn, requests *bufio.Reader) {
			if request(requests) {
				stay(conn, strings.Replace(text, "202", fmt.Sprint(status), 1))
			}
		}), func(o *dispatch.HTTPOptions) { o.Timeout = time.Hour })
		ctx, cancel := context.WithTimeout(t.Context(), patience)
		defer cancel()
		var rejected *dispatch.Rejection
		if _, err := d.Send(ctx, sample("a")); ctx.Err() != nil || status == 202 && err != nil || status == 400 && !errors.As(err, &rejected) {
			t.Errorf("%d: got %v, %v", status, err, ctx.Err())
		}
	}
}

// TestProcessLogsJSONAlone is about a sink that answers twice, which net/http tells the process's log.
func TestProcessLogsJSONAlone(t *testing.T) {
	t.Parallel()
	url := eventmeshtest.New(t, eventmeshtest.Options{}).GRPCURL()
	sink := rawSink(t, func(_ int, conn net.Conn, requests *bufio.Reader) {
		for request(requests) {
			const success = "HTTP/1.1 202 Accepted\r\nContent-Length: 0\r\n\r\n"
			_, _ = io.WriteString(conn, success+strings.Replace(success, "Accepted", secret, 1))
		}
	})
	s := run(t, "EVENTMESH_URL="+url, "K_SINK="+sink)
	s.awaitReadiness(t, http.StatusOK)
	p := connect(t, url, eventmesh.Credentials{})
	eventually(t, func() string {
		publish(t, p, sample("a"))
		if lines := s.lines("a library says"); len(lines) == 0 || lines[0]["line"] != "Unsolicited response received on idle HTTP channel" {
			return fmt.Sprintf("the line of net/http, got %v", lines)
		}
		return ""
	})
	for line := range strings.Lines(s.all()) {
		if !json.Valid([]byte(line)) {
			t.Errorf("a line of the log is no JSON: %s", line)
		}
	}
}

// TestKeptConnectionThatWasClosed is about a sink that closes a connection at the moment of a request, without an answer.
func TestKeptConnectionThatWasClosed(t *testing.T) {
	const success = "HTTP/1.1 202 Accepted\r\nContent-Length: 0\r\n\r\n"
	for _, size := range []int{0, 10, 8 << 20} { // the last is still being written when the connection ends
		t.Run(fmt.Sprint(size), func(t *testing.T) {
			served := make(chan int, 10)
			d := destination(t, rawSink(t, func(n int, conn net.Conn, requests *bufio.Reader) {
				for first := true; ; first = false {
					if n == 0 && !first {
						if _, err := requests.Peek(1); err == nil {
							served <- -n - 1
						}
						return
					}
					if !request(requests) {
						return
					}
					served <- n + 1
					_, _ = io.WriteString(conn, success)
				}
			}))
			e := sample("a")
			e.DataEncoded = make([]byte, size)
			for range 2 {
				if _, err := d.Send(t.Context(), e); err != nil {
					t.Fatal(err)
				}
			}
			for _, want := range []int{1, -1, 2} {
				if got := <-served; got != want {
					t.Errorf("got connection %d, want %d", got, want)
				}
			}
		})
	}
}

// A sink that closes each connection is one that does not answer. The event must not use up all connections that are kept.
func TestConnectionsThatAreAlwaysClosed(t *testing.T) {
	var mu sync.Mutex
	broken, asked := false, 0
	d := destination(t, rawSink(t, func(_ int, conn net.Conn, requests *bufio.Reader) {
		for request(requests) {
			mu.Lock()
			asked++
			closes := broken
			mu.Unlock()
			if closes {
				return
			}
			_, _ = io.WriteString(conn, "HTTP/1.1 202 Accepted\r\nContent-Length: 0\r\n\r\n")
		}
	}))
	var sending sync.WaitGroup
	for range 4 {
		sending.Go(func() {
			if _, err := d.Send(t.Context(), sample("a")); err != nil {
				t.Error(err)
			}
		})
	}
	sending.Wait()
	mu.Lock()
	broken, asked = true, 0
	mu.Unlock()
	if _, err := d.Send(t.Context(), sample("a")); !errors.Is(err, io.EOF) {
		t.Errorf("got %v, want the end of the connection", err)
	}
	mu.Lock()
	defer mu.Unlock()
	if asked != 2 {
		t.Errorf("got %d requests, want two", asked)
	}
}
