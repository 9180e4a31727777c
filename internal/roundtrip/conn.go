package roundtrip

import (
	"bufio"
	"fmt"
	"io"
	"math"
	"net"
	"net/http"
	"strconv"
	"syscall"
	"time"
)

const (
	// together is how long a body may be to be copied behind the header, in bytes, so that they are written at once.
	together = 16 << 10
	// atOnce is how much memory is taken for a body because its length was announced, in bytes.
	atOnce = 1 << 20
	// lateAnswer is how long an answer is waited for when the server does not take the request.
	lateAnswer = time.Second
)

// conn is a connection to a server, with one request at a time.
type conn struct {
	net.Conn
	to      Server
	raw     net.Conn        // without TLS
	socket  syscall.RawConn // of raw, if it has one
	reader  *bufio.Reader   // of limit
	limit   io.LimitedReader
	header  int64 // what that of an answer may have, in bytes
	body    int64
	written []byte    // the last request
	since   time.Time // when it was used last
	// succeeded says that the last request was not refused.
	succeeded bool
}

func newConn(whole, raw net.Conn, to Server, maxHeader, maxBody int) *conn {
	c := &conn{Conn: whole, to: to, raw: raw, header: int64(maxHeader), body: int64(maxBody)}
	if socket, ok := raw.(syscall.Conn); ok {
		c.socket, _ = socket.SyscallConn()
	}
	c.limit.R = whole
	c.reader = bufio.NewReader(&c.limit)
	return c
}

// abort ends what is under way, from another goroutine.
func (c *conn) abort() { _ = c.raw.Close() }

// exchange writes a request and reads its answer, and tells whether the connection can be used again.
func (c *conn) exchange(r Request) (a Answer, reusable bool, err error) {
	unwritten := c.write(r)
	if unwritten != nil { // it may have been answered before its end
		_ = c.SetReadDeadline(time.Now().Add(lateAnswer))
	}
	a, reusable, err = c.answer()
	if unwritten != nil {
		reusable = false
		if err != nil {
			err = unwritten
		}
	}
	return a, reusable, err
}

func (c *conn) write(r Request) error {
	w := c.written[:0]
	w = append(w, r.Method...)
	w = append(w, ' ')
	w = append(w, r.Target...)
	w = append(w, " HTTP/1.1\r\nHost: "...)
	w = append(w, c.to.Host...)
	w = append(w, "\r\n"...)
	w = append(w, r.Header.lines...)
	if r.Body != nil {
		w = append(w, "Content-Length: "...)
		w = strconv.AppendInt(w, int64(len(r.Body)), 10)
		w = append(w, "\r\n"...)
	}
	w = append(w, "\r\n"...)
	if len(r.Body) <= together {
		w = append(w, r.Body...)
		c.written = w
		_, err := c.Write(w)
		return err
	}
	c.written = w
	parts := net.Buffers{w, r.Body}
	_, err := parts.WriteTo(c.Conn)
	return err
}

// answer reads an answer, and passes over those that only announce one.
func (c *conn) answer() (a Answer, reusable bool, err error) {
	c.limit.N = c.header
	response, err := http.ReadResponse(c.reader, nil) //nolint:bodyclose // what is left of it is left with the connection
	for err == nil && response.StatusCode < http.StatusOK {
		response, err = http.ReadResponse(c.reader, nil) //nolint:bodyclose // it has none
	}
	if err != nil {
		if c.limit.N <= 0 {
			err = fmt.Errorf("%w: its header has more than %d bytes", ErrTooLong, c.header)
		}
		return Answer{}, false, err
	}
	a.Status = response.StatusCode
	if a.Body, err = c.readBody(response); err != nil {
		return Answer{}, false, err
	}
	return a, !response.Close && c.reader.Buffered() == 0, nil
}

// readBody reads the body of an answer to its end.
func (c *conn) readBody(response *http.Response) ([]byte, error) {
	c.limit.N = math.MaxInt64
	n := response.ContentLength
	switch {
	case n > c.body:
	case n >= 0 && n <= atOnce:
		body := make([]byte, n)
		_, err := io.ReadFull(response.Body, body)
		return body, err
	default:
		body, err := io.ReadAll(io.LimitReader(response.Body, c.body+1))
		if err != nil || int64(len(body)) <= c.body {
			return body, err
		}
	}
	return nil, fmt.Errorf("%w: it has more than %d bytes", ErrTooLong, c.body)
}
