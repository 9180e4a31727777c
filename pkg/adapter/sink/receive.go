package sink

import (
	"net/http"

	"github.com/cloudevents/sdk-go/v2/event"
)

// receive returns the event in a request that has been admitted.
func (h *handler) receive(r *http.Request, body []byte) (*event.Event, error) {
	e, err := parse(r.Header, body)
	if err != nil {
		return nil, err
	}
	continueTrace(r.Context(), e)
	return e, nil
}
