package sink

import (
	"errors"
	"fmt"
	"net/http"
	"strconv"
	"strings"

	"github.com/cloudevents/sdk-go/v2/event"
	"go.uber.org/zap"

	"github.com/eventing-eventmesh/eventing-eventmesh/internal/httpevent"
	"github.com/eventing-eventmesh/eventing-eventmesh/pkg/eventmesh"
)

// retryAfter, in seconds, is what a sender is asked to wait.
const retryAfter = "1"

// refusal is a request that the sink does not take, whatever EventMesh would say.
type refusal struct {
	status int
	error
}

func refusef(status int, format string, args ...any) error {
	return &refusal{status: status, error: fmt.Errorf(format, args...)}
}

// statuses tell a sender what an error of the client means to it.
var statuses = []struct {
	kind   error
	status int
}{
	{eventmesh.ErrInvalidEvent, http.StatusBadRequest},
	{eventmesh.ErrInvalidTopic, http.StatusBadRequest},
	{eventmesh.ErrTooLarge, http.StatusRequestEntityTooLarge},
	{eventmesh.ErrUnsupported, http.StatusForbidden},
	{eventmesh.ErrRateLimited, http.StatusTooManyRequests},
	{eventmesh.ErrInvalidReply, http.StatusBadGateway},
	{eventmesh.ErrNoReply, http.StatusGatewayTimeout},
}

// statusOf returns the status for an error. Those that are no fault of the event are 503, and the sender's to repeat: also
// credentials that EventMesh does not take, since an operator can mend them.
func statusOf(err error) int {
	var r *refusal
	if errors.As(err, &r) {
		return r.status
	}
	for _, s := range statuses {
		if errors.Is(err, s.kind) {
			return s.status
		}
	}
	return http.StatusServiceUnavailable
}

// accept answers that EventMesh has the event.
func accept(w http.ResponseWriter) { w.WriteHeader(http.StatusAccepted) }

// refuse answers why the event was not taken.
func (h *handler) refuse(w http.ResponseWriter, to destination, err error) {
	status := statusOf(err)
	setRefusalHeaders(w.Header(), status)
	http.Error(w, oneLine(err), status)
	h.logger.Warnw(fmt.Sprintf("event not taken: answered %d", status), "topic", to.topic, zap.Error(err))
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

// reply answers with the event that EventMesh has returned for a request.
func (h *handler) reply(w http.ResponseWriter, to destination, e event.Event) {
	w.Header()["Content-Type"] = nil // else net/http guesses one for data that has none
	body, err := httpevent.Write(w.Header(), e, httpevent.Auto)
	if err != nil {
		h.refuse(w, to, fmt.Errorf("sending the reply from %s: %w: %w", to.topic, eventmesh.ErrInvalidReply, err))
		return
	}
	w.Header().Set("Content-Length", strconv.Itoa(len(body)))
	if _, err := w.Write(body); err != nil { //nolint:gosec // it is no page, and has the content type of the event
		h.logger.Warnw("reply not sent", "topic", to.topic, zap.Error(err))
	}
}
