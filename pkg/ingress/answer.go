package ingress

import (
	"errors"
	"fmt"
	"net/http"
	"strconv"
	"strings"

	"github.com/cloudevents/sdk-go/v2/event"
	"go.uber.org/zap"

	"github.com/eventing-eventmesh/eventing-eventmesh/internal/httpevent"
)

// retryAfter, in seconds, is what a sender is asked to wait.
const retryAfter = "1"

// RefusalError is an error that says with which status it is answered. Errors that wrap none are answered 503, so that senders repeat.
type RefusalError struct {
	Status int
	// Challenge is what a 401 asks for: the header WWW-Authenticate.
	Challenge string
	// Err is the reason. Senders get to read it, in one line, and logs have it: it must hold neither data nor secrets.
	Err error
}

func (r *RefusalError) Error() string { return r.Err.Error() }

// Unwrap returns the reason.
func (r *RefusalError) Unwrap() error { return r.Err }

// Refusef returns a [RefusalError] with a reason made by [fmt.Errorf].
func Refusef(status int, format string, args ...any) error {
	return &RefusalError{Status: status, Err: fmt.Errorf(format, args...)}
}

func notAnEvent(err error) error { return Refusef(http.StatusBadRequest, "not a CloudEvent: %w", err) }

func statusOf(err error) int {
	if r, ok := errors.AsType[*RefusalError](err); ok {
		return r.Status
	}
	return http.StatusServiceUnavailable
}

// refuse answers why an event was not accepted.
func (s *Server) refuse(w http.ResponseWriter, topic string, err error) {
	status := statusOf(err)
	setRefusalHeaders(w.Header(), status)
	if r, ok := errors.AsType[*RefusalError](err); ok && r.Challenge != "" {
		w.Header().Set("WWW-Authenticate", r.Challenge)
	}
	http.Error(w, oneLine(err), status)
	s.options.Logger.Warnw(fmt.Sprintf("event not accepted: answered %d", status), "topic", topic, zap.Error(err))
}

// setRefusalHeaders sets what a status needs besides the reason.
func setRefusalHeaders(header http.Header, status int) {
	switch status {
	case http.StatusMethodNotAllowed:
		header.Set("Allow", eventMethods)
	case http.StatusTooManyRequests, http.StatusServiceUnavailable:
		header.Set("Retry-After", retryAfter)
	}
}

func oneLine(err error) string { return strings.Join(strings.Fields(err.Error()), " ") }

// reply answers with an event.
func (s *Server) reply(w http.ResponseWriter, topic string, e event.Event) {
	w.Header()["Content-Type"] = nil // else net/http guesses one for data that has none
	body, err := httpevent.Write(w.Header(), e, httpevent.Auto)
	if err != nil {
		s.refuse(w, topic, Refusef(http.StatusBadGateway, "sending the reply from %s: no usable reply: %w", topic, err))
		return
	}
	w.Header().Set("Content-Length", strconv.Itoa(len(body)))
	if _, err := w.Write(body); err != nil {
		s.options.Logger.Warnw("reply not sent", "topic", topic, zap.Error(err))
	}
}
