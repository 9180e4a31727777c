package ingress

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

	"github.com/eventing-eventmesh/eventing-eventmesh/internal/ingresstest"
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
				got, err := room.read(httptest.NewRecorder(), r, most)
				if err != nil || !bytes.Equal(got.content, want) {
					t.Fatalf("%d bytes, length known: %t, %s: got %v and %v", size, known, name, got, err)
				}
				if room.held < int64(size) || room.held > max(2*int64(size), bodyStart) {
					t.Errorf("%d bytes take room for %d", size, room.held)
				}
				got.release()
				if room.held != 0 || room.arriving.Len() != 0 {
					t.Errorf("%d bytes: %d are held after the release, %d bodies arrive", size, room.held, room.arriving.Len())
				}
			}
		}
	}
}

// arrival is a body whose connection notes that it is cut.
type arrival struct {
	*body
	http.ResponseWriter
	wasCut bool
}

func (a *arrival) SetReadDeadline(time.Time) error {
	a.wasCut = true
	return nil
}

func TestRoomForBodies(t *testing.T) {
	room := newBodies(1000)
	room.grace = time.Hour
	begin := func() *arrival {
		a := &arrival{ResponseWriter: httptest.NewRecorder()}
		a.body = room.begin(a)
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
			got, err := room.read(httptest.NewRecorder(), r, 1000)
			if err != nil {
				return
			}
			if len(got.content) != 10*n+1 {
				t.Errorf("got %d bytes, want %d", len(got.content), 10*n+1)
			}
			got.release()
		})
	}
	readers.Wait()
	if room.held != 0 || room.arriving.Len() != 0 {
		t.Errorf("%d bytes are held in the end, %d bodies arrive", room.held, room.arriving.Len())
	}
}

func TestNoRoomForABody(t *testing.T) {
	server, _ := serve(t, &fake{}, bounds(Bounds{BodyBytes: 1000, HeldBytes: 1000}))
	other := server.bodies.begin(httptest.NewRecorder())
	if err := other.reserve(1000); err != nil {
		t.Fatal(err)
	}
	other.arrived() // so that it does not give way
	got := ingresstest.Post(t, server.URL)
	if got.Status != http.StatusTooManyRequests || got.Header.Get("Retry-After") != "1" || !strings.Contains(got.Body, "EVENTMESH_BUFFER_BYTES") {
		t.Errorf("got %d %q, Retry-After %q; want 429", got.Status, got.Body, got.Header.Get("Retry-After"))
	}
	other.release()
	if got := ingresstest.Post(t, server.URL); got.Status != http.StatusAccepted {
		t.Errorf("got %d %q when there is room again, want 202", got.Status, got.Body)
	}
}

// stalled sends most of an event, and then nothing. It returns what the answer will be.
func stalled(t *testing.T, client *http.Client, url string, size int) (answers <-chan ingresstest.Answer, goOn func()) {
	t.Helper()
	reader, writer := io.Pipe()
	r, err := http.NewRequestWithContext(t.Context(), http.MethodPost, url, reader)
	if err != nil {
		t.Fatal(err)
	}
	r.Header = ingresstest.Binary()
	got := make(chan ingresstest.Answer, 1)
	go func() {
		defer close(got)
		response, err := client.Do(r)
		if err != nil {
			got <- ingresstest.Answer{Body: err.Error()}
			return
		}
		defer func() { _ = response.Body.Close() }()
		text, _ := io.ReadAll(response.Body)
		got <- ingresstest.Answer{Status: response.StatusCode, Body: string(text)}
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
			server, _ := serve(t, &fake{}, bounds(Bounds{InFlight: 1, BodyBytes: 1100, HeldBytes: 6000}))
			server.bodies.grace = 0
			const slow, size = 4, 1000
			var answers [slow]<-chan ingresstest.Answer
			var goOn [slow]func()
			for n := range slow {
				answers[n], goOn[n] = stalled(t, client, server.URL, size)
				eventually(t, func() string {
					server.bodies.mu.Lock()
					defer server.bodies.mu.Unlock()
					if server.bodies.held < int64(n+1)*size {
						return fmt.Sprintf("%d bytes are held", server.bodies.held)
					}
					return ""
				})
			}
			// There is one place, and room for less than two more.
			for n := range 3 {
				if got := ingresstest.Send(t, client, http.MethodPost, server.URL, ingresstest.Binary(), strings.NewReader(`"`+strings.Repeat("y", size)+`"`)); got.Status != http.StatusAccepted {
					t.Errorf("good event %d: got %d %q, want 202", n, got.Status, got.Body)
				}
			}
			fifth, last := stalled(t, client, server.URL, size)
			sixth, lastButOne := stalled(t, client, server.URL, size)
			if got := <-answers[0]; got.Status != http.StatusTooManyRequests || !strings.Contains(got.Body, "gave way") {
				t.Errorf("the slowest: got %d %q, want 429", got.Status, got.Body)
			}
			last()
			lastButOne()
			for n, late := range []<-chan ingresstest.Answer{fifth, sixth} {
				if got := <-late; got.Status != http.StatusAccepted && got.Status != http.StatusTooManyRequests {
					t.Errorf("late event %d: got %d %q, want 202 or 429", n, got.Status, got.Body)
				}
			}
			goOn[slow-1]()
			if got := <-answers[slow-1]; got.Status != http.StatusAccepted {
				t.Errorf("the last of the slow ones: got %d %q, want 202", got.Status, got.Body)
			}
			for n := range slow {
				goOn[n]()
				<-answers[n]
			}
			eventually(t, func() string {
				server.bodies.mu.Lock()
				defer server.bodies.mu.Unlock()
				if server.bodies.held != 0 {
					return fmt.Sprintf("%d bytes are held", server.bodies.held)
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
				server, _ := serve(t, &fake{}, bounds(Bounds{BodyBytes: 100_000}))
				body := &endless{}
				r, err := http.NewRequestWithContext(t.Context(), http.MethodPost, server.URL, body)
				if err != nil {
					t.Fatal(err)
				}
				r.Header, r.ContentLength = ingresstest.Binary(), length
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
			server, _ := serve(t, &fake{}, bounds(Bounds{BodyBytes: 1000}))
			conn, err := (&net.Dialer{}).DialContext(t.Context(), "tcp", server.host)
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
