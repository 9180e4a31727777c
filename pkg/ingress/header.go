package ingress

import (
	"crypto/tls"
	"errors"
	"net"
	"os"
	"strings"
	"sync/atomic"
	"time"

	semconv "go.opentelemetry.io/otel/semconv/v1.41.0"
)

const (
	// headerLate is the error of a header that did not come in time.
	headerLate = "timeout"
	// answerStart is as much of an answer as tells its status.
	answerStart = len("HTTP/1.1 400")
	// alertBytes is the most that TLS writes to end a connection; answers are longer.
	alertBytes = 70
)

// header watches what becomes of a request until a handler has it. net/http answers by itself what it cannot read, and tells nobody.
type header struct {
	begun   atomic.Bool
	late    atomic.Bool
	handled atomic.Bool            // by a handler, since the last answer
	answer  atomic.Pointer[string] // the start of what was written unless handled
}

// SetReadDeadline notes when what comes is not of the handshake of TLS, or of the request before, any more: net/http then removes the
// deadline.
func (o *connection) SetReadDeadline(t time.Time) error {
	if t.IsZero() {
		o.header.begun.Store(false)
		o.header.answer.Store(nil)
	}
	return o.Conn.SetReadDeadline(t)
}

// Read notes when a header begins to come, and when it is late.
func (o *connection) Read(b []byte) (int, error) {
	n, err := o.Conn.Read(b)
	if h := &o.header; !h.handled.Load() {
		if n > 0 {
			h.begun.Store(true)
		}
		if err != nil && errors.Is(err, os.ErrDeadlineExceeded) {
			h.late.Store(true)
		}
	}
	return n, err
}

// Write closes the connection instead of answering a header that is late. net/http means to give no answer, but reads what there is of
// a line as the line (bufio.Reader.ReadLine drops the error), and finds that malformed: to the sender of a good event, which only was
// slow, this 400 would be final.
func (o *connection) Write(b []byte) (int, error) {
	if h := &o.header; len(b) > alertBytes && !h.handled.Load() {
		if h.late.Load() {
			h.begun.Store(true)
			_ = o.Close()
			return 0, net.ErrClosed
		}
		start := string(b[:answerStart])
		h.answer.Store(&start)
	}
	return o.Conn.Write(b)
}

// errorType returns why the last request of a connection that has ended could not be read, or "". What is written over TLS cannot be
// seen, and over HTTP/2 requests are none of a connection's.
func (h *header) errorType(conn net.Conn) string {
	answer := h.answer.Load()
	switch {
	case h.handled.Load():
		return ""
	case h.late.Load() && h.begun.Load():
		return headerLate
	case answer == nil:
		return ""
	}
	if version, status, _ := strings.Cut(*answer, " "); strings.HasPrefix(version, "HTTP/1.") {
		return status
	}
	if secure, ok := conn.(*tls.Conn); ok {
		if state := secure.ConnectionState(); state.HandshakeComplete && state.NegotiatedProtocol != "h2" {
			return semconv.ErrorTypeOther.Value.AsString()
		}
	}
	return ""
}
