package sink

import (
	"bytes"
	"errors"
	"io"
	"net/http"

	"github.com/cloudevents/sdk-go/v2/event"
)

// receive returns the event in the body.
func (h *handler) receive(w http.ResponseWriter, r *http.Request) (*event.Event, error) {
	body, err := h.read(w, r)
	if err != nil {
		return nil, err
	}
	r.Body = io.NopCloser(bytes.NewReader(body))
	e, err := parse(r.Context(), r)
	if err != nil {
		return nil, err
	}
	continueTrace(r.Context(), e)
	return e, nil
}

// read reads a body of at most the size that is allowed.
func (h *handler) read(w http.ResponseWriter, r *http.Request) ([]byte, error) {
	limit := h.config.MaxEventBytes
	if r.ContentLength > limit {
		return nil, refusef(http.StatusRequestEntityTooLarge, "the body has %d bytes, EVENTMESH_MAX_EVENT_BYTES allows %d", r.ContentLength, limit)
	}
	body, err := io.ReadAll(http.MaxBytesReader(w, r.Body, limit))
	var tooLarge *http.MaxBytesError
	switch {
	case errors.As(err, &tooLarge):
		return nil, refusef(http.StatusRequestEntityTooLarge, "the body has more than the %d bytes that EVENTMESH_MAX_EVENT_BYTES allows", limit)
	case err != nil:
		return nil, refusef(http.StatusRequestTimeout, "reading the body: %w", err)
	}
	return body, nil
}
