package sink

import (
	"context"
	"crypto/tls"
	"errors"
	"net"
	"net/http"
	"os"
	"strings"
	"sync/atomic"
	"time"

	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/metric"
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

// handled lets connections know which requests have a handler.
func handled(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if one, _ := r.Context().Value(connectionKey{}).(*connection); one != nil {
			one.header.handled.Store(true)
		}
		next.ServeHTTP(w, r)
	})
}

// SetReadDeadline notes when what comes is not of the handshake of TLS, or of the request before, any more: net/http then takes the
// deadline away.
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

// Write closes the connection instead of answering a header that is late. net/http means to give no answer, but takes what there is of
// a line for the line (bufio.Reader.ReadLine drops the error), and finds that malformed: to the sender of a good event, which only was
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

// unreadable counts and logs a request that no handler has seen.
func (h *handler) unreadable(errorType string, from net.Addr) {
	h.unread.Add(context.Background(), 1, metric.WithAttributes(errorTypeOf(errorType)))
	const message = "a request could not be read: "
	switch errorType {
	case headerLate:
		h.logger.Warnw(message+"its header did not come in time, no answer", "sender", from.String())
	case semconv.ErrorTypeOther.Value.AsString():
		h.logger.Warnw(message+"answered by the HTTP server, over TLS", "sender", from.String())
	default:
		h.logger.Warnw(message+"answered "+errorType, "sender", from.String())
	}
}

func errorTypeOf(name string) attribute.KeyValue { return semconv.ErrorTypeKey.String(name) }
