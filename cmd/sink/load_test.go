package main

import (
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/eventing-eventmesh/eventing-eventmesh/pkg/eventmesh/eventmeshtest"
)

// load is how much the load tests send: little by default, and as much as documented with LOAD=full.
type load struct {
	connections, perConnection int   // of good clients
	slow                       int   // connections of slow clients
	body                       int64 // of a request that is too large
	large                      int   // slow clients with a body that is almost complete
}

var loads = map[bool]load{
	false: {connections: 100, perConnection: 20, slow: 3000, body: 256 << 20, large: 200},
	true:  {connections: 500, perConnection: 200, slow: 10_000, body: 10 << 30, large: 1000},
}

func loadOf() load { return loads[os.Getenv("LOAD") == "full"] }

// memoryBound is far above what the sink takes with its default limits, and far below what it would take without them.
const memoryBound = 400 << 20

// raiseFileLimit lets the test, and the programs that it starts, have as many open files as the machine allows.
func raiseFileLimit(t *testing.T, want int) {
	t.Helper()
	var limit syscall.Rlimit
	if err := syscall.Getrlimit(syscall.RLIMIT_NOFILE, &limit); err != nil {
		t.Fatal(err)
	}
	limit.Cur = limit.Max
	if err := syscall.Setrlimit(syscall.RLIMIT_NOFILE, &limit); err != nil {
		t.Fatal(err)
	}
	if limit.Cur < uint64(want) {
		t.Skipf("the machine allows %d open files, want %d", limit.Cur, want)
	}
}

// peakMemory returns the largest resident set of the process so far, in bytes.
func (p *process) peakMemory(t *testing.T) int64 {
	t.Helper()
	status, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", p.Process.Pid))
	if err != nil {
		t.Skipf("no figures of a process on this system: %v", err)
	}
	for line := range strings.Lines(string(status)) {
		if rest, found := strings.CutPrefix(line, "VmHWM:"); found {
			kilobytes, err := strconv.ParseInt(strings.TrimSuffix(strings.TrimSpace(rest), " kB"), 10, 64)
			if err != nil {
				t.Fatal(err)
			}
			return kilobytes << 10
		}
	}
	t.Fatal("the process has no VmHWM")
	return 0
}

func (p *process) checkMemory(t *testing.T, what string) {
	t.Helper()
	peak := p.peakMemory(t)
	t.Logf("%s: the sink took %d MiB at most", what, peak>>20)
	if peak > memoryBound {
		t.Errorf("%s: the sink took %d MiB, want at most %d", what, peak>>20, memoryBound>>20)
	}
}

// loaded starts a sink with its default limits for a load test.
func loaded(t *testing.T, by protocol) *process {
	t.Helper()
	server := eventmeshtest.New(t, eventmeshtest.Options{Storage: eventmeshtest.RocketMQ, RateLimit: -1, RecordLimit: -1})
	p := start(t, append([]string{"EVENTMESH_URL=" + server.GRPCURL(), "EVENTMESH_TOPIC=orders", "EVENTMESH_SHUTDOWN_DELAY=0s", "EVENTMESH_DRAIN_TIMEOUT=1s"}, by.environment...)...)
	p.url = by.url(p)
	probe := &http.Client{Transport: by.transport()}
	defer probe.CloseIdleConnections()
	awaitStatus(t, probe, p.url+"/readiness", http.StatusOK, by.proto)
	return p
}

// sendAll sends events over so many connections at once, each on its own, and returns how many were not taken at the first
// attempt. One that is refused for now is sent again, as Knative's senders do.
func sendAll(t *testing.T, transport func() *http.Transport, url string, connections, perConnection int) (repeated int64) {
	t.Helper()
	var again atomic.Int64
	var senders sync.WaitGroup
	for c := range connections {
		senders.Go(func() {
			client := &http.Client{Transport: transport(), Timeout: patience}
			defer client.CloseIdleConnections()
			for n := range perConnection {
				again.Add(sendUntilTaken(t, client, url, strconv.Itoa(c)+"-"+strconv.Itoa(n)))
				if t.Failed() {
					return
				}
			}
		})
	}
	senders.Wait()
	return again.Load()
}

// sendUntilTaken sends an event until it is taken, and returns how often it had to be sent again.
func sendUntilTaken(t *testing.T, client *http.Client, url, id string) (again int64) {
	t.Helper()
	deadline := time.NewTimer(patience)
	defer deadline.Stop()
	for ; !accepted(t, client, url, id); again++ {
		select {
		case <-deadline.C:
			t.Errorf("event %s was not taken within %s", id, patience)
			return again
		case <-time.After(50 * time.Millisecond): // less than Retry-After asks for
		}
	}
	return again
}

// accepted sends an event, and returns false where it is to be sent again.
func accepted(t *testing.T, client *http.Client, url, id string) bool {
	t.Helper()
	r, err := event(t.Context(), url, id, `{"n":1}`)
	if err != nil {
		t.Error(err)
		return true
	}
	response, err := client.Do(r)
	switch {
	case errors.Is(err, syscall.ECONNRESET), errors.Is(err, io.EOF), errors.Is(err, io.ErrUnexpectedEOF):
		return false
	case err != nil && strings.Contains(err.Error(), "server closed idle connection"): // net/http's, before the request was written
		return false
	case err != nil:
		t.Errorf("event %s: %v", id, err)
		return true
	}
	defer func() { _ = response.Body.Close() }()
	_, _ = io.Copy(io.Discard, response.Body)
	switch response.StatusCode {
	case http.StatusAccepted:
		return true
	case http.StatusTooManyRequests, http.StatusServiceUnavailable:
		return false
	default:
		t.Errorf("event %s: got %d, want 202", id, response.StatusCode)
		return true
	}
}

func TestLoadOfManyConnections(t *testing.T) {
	l := loadOf()
	raiseFileLimit(t, 2*l.connections)
	for _, c := range protocols(t) {
		t.Run(c.name, func(t *testing.T) {
			p := loaded(t, c)
			repeated := sendAll(t, c.transport, p.url, l.connections, l.perConnection)
			t.Logf("%d events over %d connections at once, %d sent again", l.connections*l.perConnection, l.connections, repeated)
			p.checkMemory(t, c.name)
		})
	}
}

// TestLoadOfSlowClients has thousands of connections that are opened and then neglected, in each way that a sender can
// neglect one, while good clients send.
func TestLoadOfSlowClients(t *testing.T) {
	l := loadOf()
	raiseFileLimit(t, l.slow+1000)
	const head = "POST / HTTP/1.1\r\nHost: sink\r\nCe-Specversion: 1.0\r\nCe-Id: 1\r\nCe-Type: t\r\nCe-Source: /s\r\n"
	plain := protocols(t)[0]
	almost := strings.Repeat("x", 1<<20-1)
	for _, c := range []struct {
		name string
		says string
		n    int
	}{
		{"silent", "", l.slow},
		{"half a header", "POST / HTTP/1.1\r\nHost: si", l.slow},
		{"a body that does not come", head + "Content-Length: 1048576\r\n\r\n", l.slow},
		{"a chunk that does not come", head + "Transfer-Encoding: chunked\r\n\r\n10000\r\nx", l.slow},
		{"a body without its last byte", head + "Content-Length: 1048576\r\n\r\n" + almost, l.large},
		{"half a preface of HTTP/2", "PRI * HTTP/2.0\r\n\r\nSM", l.slow},
	} {
		t.Run(c.name, func(t *testing.T) {
			p := loaded(t, plain)
			address := strings.TrimPrefix(p.url, "http://")
			stop, opened := neglect(t, address, c.says, c.n)
			during := sendAll(t, plain.transport, p.url, 10, l.perConnection)
			<-opened
			after := sendAll(t, plain.transport, p.url, 10, l.perConnection)
			t.Logf("%d events during and after, %d and %d sent again", 20*l.perConnection, during, after)
			p.checkMemory(t, fmt.Sprintf("%d connections with %s", c.n, c.name))
			stop()
		})
	}
}

// neglect opens connections, says the same on each, and then nothing. Those that the sink closes stay closed. Opened is closed when
// all have been opened; stop closes them, and waits for all that was started.
func neglect(t *testing.T, address, says string, n int) (stop func(), opened <-chan struct{}) {
	t.Helper()
	const dialers = 50
	var mu sync.Mutex
	var conns []net.Conn
	left := make(chan struct{}, n)
	for range n {
		left <- struct{}{}
	}
	close(left)
	var opening sync.WaitGroup
	for range dialers {
		opening.Go(func() {
			for range left {
				conn, err := (&net.Dialer{Timeout: patience}).DialContext(t.Context(), "tcp", address)
				if err != nil {
					t.Errorf("opening a connection: %v", err)
					return
				}
				_ = conn.SetWriteDeadline(time.Now().Add(patience))
				_, _ = io.WriteString(conn, says) // which fails where the sink has closed it
				mu.Lock()
				conns = append(conns, conn)
				mu.Unlock()
			}
		})
	}
	done := make(chan struct{})
	go func() {
		defer close(done)
		opening.Wait()
	}()
	return func() {
		<-done
		for _, conn := range conns {
			_ = conn.Close()
		}
	}, done
}

// zeros is a body of a length that nobody holds in memory.
type zeros struct{ sent atomic.Int64 }

func (z *zeros) Read(b []byte) (int, error) {
	z.sent.Add(int64(len(b)))
	return len(b), nil
}

func TestLoadOfHugeBodies(t *testing.T) {
	l := loadOf()
	for _, c := range protocols(t) {
		t.Run(c.name, func(t *testing.T) {
			p := loaded(t, c)
			for _, length := range []int64{l.body, -1} {
				client := &http.Client{Transport: c.transport(), Timeout: patience}
				body := &zeros{}
				r, err := event(t.Context(), p.url, "1", "")
				if err != nil {
					t.Fatal(err)
				}
				r.Body, r.ContentLength, r.GetBody = io.NopCloser(io.LimitReader(body, l.body)), length, nil
				response, err := client.Do(r)
				if err != nil {
					t.Fatalf("length %d: %v", length, err)
				}
				_ = response.Body.Close()
				client.CloseIdleConnections()
				if response.StatusCode != http.StatusRequestEntityTooLarge {
					t.Errorf("length %d: got %d, want 413", length, response.StatusCode)
				}
				if sent := body.sent.Load(); sent >= l.body {
					t.Errorf("length %d: the whole body of %d bytes was sent", length, sent)
				}
			}
			if repeated := sendAll(t, c.transport, p.url, 2, 5); repeated != 0 {
				t.Errorf("%d good events were sent again", repeated)
			}
			p.checkMemory(t, fmt.Sprintf("bodies of %d MiB over %s", l.body>>20, c.name))
		})
	}
}
