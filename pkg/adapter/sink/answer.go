package sink

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"strings"

	"github.com/cloudevents/sdk-go/v2/binding"
	"github.com/cloudevents/sdk-go/v2/binding/format"
	"github.com/cloudevents/sdk-go/v2/event"
	cehttp "github.com/cloudevents/sdk-go/v2/protocol/http"
	"github.com/cloudevents/sdk-go/v2/types"
	"go.uber.org/zap"

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
func (h *handler) reply(ctx context.Context, w http.ResponseWriter, to destination, e event.Event) {
	if !fitsHeaders(e) {
		ctx = binding.WithForceStructured(ctx)
	}
	w.Header()[cehttp.ContentType] = nil // else net/http guesses one for data that has none
	if err := cehttp.WriteResponseWriter(ctx, binding.ToMessage(&e), http.StatusOK, w); err != nil {
		h.logger.Warnw("reply not sent", "topic", to.topic, zap.Error(err))
	}
}

// fitsHeaders tells whether binary mode keeps every attribute: receivers differ in whether they undo percent-encoding, and
// HTTP has no control characters. A content type of CloudEvents itself would make the data read as the event.
func fitsHeaders(e event.Event) bool {
	if format.IsFormat(e.DataContentType()) {
		return false
	}
	values := []string{e.ID(), e.Source(), e.Type(), e.Subject(), e.DataSchema(), e.DataContentType()}
	for _, extension := range e.Extensions() {
		value, err := types.Format(extension)
		if err != nil {
			return false
		}
		values = append(values, value)
	}
	for _, value := range values {
		if strings.TrimSpace(value) != value || strings.ContainsFunc(value, needsEncoding) {
			return false
		}
	}
	return true
}

func needsEncoding(r rune) bool { return r < ' ' || r > '~' || r == '%' || r == '"' }
