package sink

import (
	"context"

	"github.com/cloudevents/sdk-go/v2/event"
)

// publish returns when EventMesh has confirmed the event, or not in time; a request returns its reply. It goes on when the
// sender has gone away, since EventMesh may have the event by then.
func (h *handler) publish(ctx context.Context, to destination, e event.Event) (*event.Event, error) {
	timeout := h.config.PublishTimeout
	if to.request {
		timeout = h.config.RequestTimeout
	}
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), timeout)
	defer cancel()
	if to.request {
		return h.guard.Request(ctx, to.topic, e)
	}
	return nil, h.guard.Publish(ctx, to.topic, e)
}
