package sink

import (
	"bufio"
	"bytes"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"strconv"
	"strings"
	"sync"
	"testing"
	"testing/iotest"
	"time"
)

func TestBodyIsReadWhole(t *testing.T) {
	const most = 10_000
	for _, size := range []int{0, 1, bodyStart - 1, bodyStart, bodyStart + 1, 4096, most - 1, most} {
		for _, known := range []bool{true, false} {
			for name, wrap := range map[string]func(io.Reader) io.Reader{"at once": func(r io.Reader) io.Reader { return r }, "bytewise": iotest.OneByteReader, "with the end": iotest.DataErrReader} {
				want := bytes.Repeat([]byte("x"), size)
				room := newBodies(most + 1)
				r := httptest.NewRequestWithContext(t.Context(), http.MethodPost, "/", wrap(bytes.NewReader(want)))
				r.ContentLength = -1
				if known {
					r.ContentLength = int64(size)
				}
				got, release, err := room.read(httptest.NewRecorder(), r, most)
				if err != nil || !bytes.Equal(got, want) {
					t.Fatalf("%d bytes, length known: %t, %s: got %d bytes and %v", size, known, name, len(got), err)
				}
				if room.held < int64(size) || room.held > max(2*int64(size), bodyStart) {
					t.Errorf("%d bytes take room for %d", size, room.held)
				}
				release()
				if room.held != 0 || room.arriving.Len() != 0 {
					t.Errorf("%d bytes: %d are held after the release, %d bodies arrive", size, room.held, room.arriving.Len())
				}
			}
		}
	}
}

func TestRoomForBodies(t *testing.T) {
	room := newBodies(1000)
	room.grace = time.Hour
	type arrival struct {
		*body
		wasCut bool
	}
	begin := func() *arrival {
		a := &arrival{}
		a.body = room.begin(func() { a.wasCut = true })
		return a
	}
	reserve := func(what string, a *arrival, size int64, want error) {
		t.Helper()
		if err := a.reserve(size); !errors.Is(err, want) {
			t.Errorf("%s: got %v, want %v", what, err, want)
		}
	}
	first, second, third := begin(), begin(), begin()
	reserve("first", first, 400, nil)
	reserve("second", second, 600, nil)
	reserve("full of bodies that arrive quickly", third, 1, errBodiesFull)
	if first.wasCut || second.wasCut {
		t.Error("a body gave way within its time")
	}
	room.grace = 0
	reserve("full of bodies that arrive slowly", third, 300, nil)
	if !first.wasCut || second.wasCut {
		t.Errorf("first gave way: %t, second: %t; want the first alone", first.wasCut, second.wasCut)
	}
	reserve("gave way", first, 1, errGaveWay)
	if !first.arrived() || second.arrived() {
		t.Error("want that the first gave way, and the second has arrived")
	}
	reserve("full of bodies that have arrived, and of itself", third, 200, errBodiesFull)
	for _, a := range []*arrival{first, second, third} {
		a.arrived()
		a.release()
	}
	if room.held != 0 || room.arriving.Len() != 0 {
		t.Errorf("%d bytes are held in the end, %d bodies arrive", room.held, room.arriving.Len())
	}
}

func TestRoomForBodiesAtOnce(t *testing.T) {
	room := newBodies(20_000)
	room.grace = 0
	var readers sync.WaitGroup
	for n := range 100 {
		readers.Go(func() {
			r := httptest.NewRequestWithContext(t.Context(), http.MethodPost, "/", iotest.HalfReader(strings.NewReader(strings.Repeat("x", 10*n+1))))
			content, release, err := room.read(httptest.NewRecorder(), r, 1000)
			if err != nil {
				return
			}
			if len(content) != 10*n+1 {
				t.Errorf("got %d bytes, want %d", len(content), 10*n+1)
			}
			release()
		})
	}
	readers.Wait()
	if room.held != 0 || room.arriving.Len() != 0 {
		t.Errorf("%d bytes are held in the end, %d bodies arrive", room.held, room.arriving.Len())
	}
}

func TestNoRoomForABody(t *testing.T) {
	h, server, _ := serve(t, &fake{}, "EVENTMESH_MAX_EVENT_BYTES=1000", "EVENTMESH_BUFFER_BYTES=1000")
	other := h.bodies.begin(func() {})
	if err := other.reserve(1000); err != nil {
		t.Fatal(err)
	}
	other.arrived() // so that it does not give way
	got := post(t, server.URL)
	if got.status != http.StatusTooManyRequests || got.header.Get("Retry-After") != "1" || !strings.Contains(got.body, "EVENTMESH_BUFFER_BYTES") {
		t.Errorf("got %d %q, Retry-After %q; want 429", got.status, got.body, got.header.Get("Retry-After"))
	}
	other.release()
	if got := post(t, server.URL); got.status != http.StatusAccepted {
		t.Errorf("got %d %q when there is room again, want 202", got.status, got.body)
	}
}

// stalled sends most of an event, and then nothing. It returns what the answer will be.
func stalled(t *testing.T, client *http.Client, url string, size int) (answers <-chan answer, goOn func()) {
	t.Helper()
	reader, writer := io.Pipe()
	r, err := http.NewRequestWithContext(t.Context(), http.MethodPost, url, reader)
	if err != nil {
		t.Fatal(err)
	}
	r.Header = binary()
	got := make(chan answer, 1)
	go func() {
		defer close(got)
		response, err := client.Do(r)
		if err != nil {
			got <- answer{body: err.Error()}
			return
		}
		defer func() { _ = response.Body.Close() }()
		text, _ := io.ReadAll(response.Body)
		got <- answer{status: response.StatusCode, body: string(text)}
	}()
	if _, err := writer.Write([]byte(`"` + strings.Repeat("x", size))); err != nil {
		t.Fatal(err)
	}
	return got, func() {
		_, _ = io.WriteString(writer, `"`)
		_ = writer.Close()
	}
}

func TestSlowBodiesHoldNeitherPlacesNorRoom(t *testing.T) {
	var h2 http.Protocols
	h2.SetUnencryptedHTTP2(true)
	for name, transport := range map[string]*http.Transport{"HTTP/1.1": {}, "HTTP/2": {Protocols: &h2}} {
		t.Run(name, func(t *testing.T) {
			client := &http.Client{Transport: transport}
			t.Cleanup(client.CloseIdleConnections)
			h, server, _ := serve(t, &fake{}, "EVENTMESH_MAX_IN_FLIGHT=1", "EVENTMESH_MAX_EVENT_BYTES=1100", "EVENTMESH_BUFFER_BYTES=6000")
			h.bodies.grace = 0
			const slow, size = 4, 1000
			var answers [slow]<-chan answer
			var goOn [slow]func()
			for n := range slow {
				answers[n], goOn[n] = stalled(t, client, server.URL, size)
				eventually(t, func() string {
					h.bodies.mu.Lock()
					defer h.bodies.mu.Unlock()
					if h.bodies.held < int64(n+1)*size {
						return fmt.Sprintf("%d bytes are held", h.bodies.held)
					}
					return ""
				})
			}
			// There is one place, and room for less than two more.
			for n := range 3 {
				if got := send(t, client, http.MethodPost, server.URL, binary(), strings.NewReader(`"`+strings.Repeat("y", size)+`"`)); got.status != http.StatusAccepted {
					t.Errorf("good event %d: got %d %q, want 202", n, got.status, got.body)
				}
			}
			fifth, last := stalled(t, client, server.URL, size)
			sixth, lastButOne := stalled(t, client, server.URL, size)
			if got := <-answers[0]; got.status != http.StatusTooManyRequests || !strings.Contains(got.body, "gave way") {
				t.Errorf("the slowest: got %d %q, want 429", got.status, got.body)
			}
			last()
			lastButOne()
			for n, late := range []<-chan answer{fifth, sixth} {
				if got := <-late; got.status != http.StatusAccepted && got.status != http.StatusTooManyRequests {
					t.Errorf("late event %d: got %d %q, want 202 or 429", n, got.status, got.body)
				}
			}
			goOn[slow-1]()
			if got := <-answers[slow-1]; got.status != http.StatusAccepted {
				t.Errorf("the last of the slow ones: got %d %q, want 202", got.status, got.body)
			}
			for n := range slow {
				goOn[n]()
				<-answers[n]
			}
			eventually(t, func() string {
				h.bodies.mu.Lock()
				defer h.bodies.mu.Unlock()
				if h.bodies.held != 0 {
					return fmt.Sprintf("%d bytes are held", h.bodies.held)
				}
				return ""
			})
		})
	}
}

// endless is a body that never ends.
type endless struct{ read int64 }

func (e *endless) Read(b []byte) (int, error) {
	e.read += int64(len(b))
	return len(b), nil
}

func TestBodyThatIsTooLargeIsNotReadWhole(t *testing.T) {
	var h2 http.Protocols
	h2.SetUnencryptedHTTP2(true)
	for name, transport := range map[string]*http.Transport{"HTTP/1.1": {}, "HTTP/2": {Protocols: &h2}} {
		for length, want := range map[int64]string{-1: "more than", 10 << 30: "10737418240"} {
			t.Run(fmt.Sprintf("%s, length %d", name, length), func(t *testing.T) {
				client := &http.Client{Transport: transport}
				t.Cleanup(client.CloseIdleConnections)
				_, server, _ := serve(t, &fake{}, "EVENTMESH_MAX_EVENT_BYTES=100000")
				body := &endless{}
				r, err := http.NewRequestWithContext(t.Context(), http.MethodPost, server.URL, body)
				if err != nil {
					t.Fatal(err)
				}
				r.Header, r.ContentLength = binary(), length
				response, err := client.Do(r)
				if err != nil {
					t.Fatal(err)
				}
				defer func() { _ = response.Body.Close() }()
				text, _ := io.ReadAll(response.Body)
				if response.StatusCode != http.StatusRequestEntityTooLarge || !strings.Contains(string(text), want) {
					t.Errorf("got %d %q, want 413 with %q", response.StatusCode, text, want)
				}
			})
		}
	}
}

func TestRefusalReachesSendersThatReadLate(t *testing.T) {
	const size = 4 << 20
	for _, c := range []struct {
		name, head string
		body       bool
		interim    bool
	}{
		{"waits for 100", "Content-Length: " + strconv.Itoa(size) + "\r\nExpect: 100-continue\r\n", false, false},
		{"waits for 100, without a length", "Transfer-Encoding: chunked\r\nExpect: 100-continue\r\n", false, true},
		{"sends everything first", "Content-Length: " + strconv.Itoa(size) + "\r\n", true, false},
	} {
		t.Run(c.name, func(t *testing.T) {
			_, server, _ := serve(t, &fake{}, "EVENTMESH_MAX_EVENT_BYTES=1000")
			conn, err := (&net.Dialer{}).DialContext(t.Context(), "tcp", server.Listener.Addr().String())
			if err != nil {
				t.Fatal(err)
			}
			defer func() { _ = conn.Close() }()
			_ = conn.SetDeadline(time.Now().Add(patience))
			if _, err := io.WriteString(conn, "POST / HTTP/1.1\r\nHost: sink\r\nCe-Specversion: 1.0\r\nCe-Id: 1\r\nCe-Type: t\r\nCe-Source: /s\r\n"+c.head+"\r\n"); err != nil {
				t.Fatal(err)
			}
			reader := bufio.NewReader(conn)
			if c.interim {
				response, err := http.ReadResponse(reader, nil)
				if err != nil || response.StatusCode != http.StatusContinue {
					t.Fatalf("got %v and %v, want 100", response, err)
				}
				_, _ = fmt.Fprintf(conn, "%x\r\n%s\r\n", 2000, strings.Repeat("x", 2000))
			}
			if c.body {
				n, err := conn.Write(bytes.Repeat([]byte("x"), size))
				t.Logf("sent %d bytes: %v", n, err)
			}
			response, err := http.ReadResponse(reader, nil)
			if err != nil {
				t.Fatal(err)
			}
			defer func() { _ = response.Body.Close() }()
			if response.StatusCode != http.StatusRequestEntityTooLarge {
				t.Errorf("got %d, want 413", response.StatusCode)
			}
		})
	}
}
