package sink

import (
	"net/http"

	"github.com/cloudevents/sdk-go/v2/event"

	"github.com/eventing-eventmesh/eventing-eventmesh/internal/httpevent"
	"github.com/eventing-eventmesh/eventing-eventmesh/pkg/eventmesh"
)

// receive returns the event in a request that has been admitted.
func (h *handler) receive(r *http.Request, body []byte) (*event.Event, error) {
	e, err := check(httpevent.Read(r.Header, body))
	if err != nil {
		return nil, err
	}
	continueTrace(r.Context(), e)
	return e, nil
}

// check refuses what could not be read, or is no event that EventMesh carries.
func check(e *event.Event, err error) (*event.Event, error) {
	if err != nil {
		return nil, notAnEvent(err)
	}
	if err := eventmesh.Validate(*e); err != nil {
		return nil, err
	}
	return e, nil
}

func notAnEvent(err error) error { return refusef(http.StatusBadRequest, "not a CloudEvent: %w", err) }
