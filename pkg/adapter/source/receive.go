package source

import (
	"context"

	"go.uber.org/zap"

	"github.com/eventing-eventmesh/eventing-eventmesh/pkg/eventmesh"
)

// topicExtension holds the EventMesh topic of an event that the source sends.
const topicExtension = "eventmeshtopic"

// receiver moves deliveries from EventMesh into the buffer.
type receiver struct {
	subscriber *eventmesh.Subscriber
	buffer     *buffer
	overrides  Overrides
	logger     *zap.SugaredLogger
}

// run receives until the subscriber has left its group or was closed, or the context ends.
func (r *receiver) run(ctx context.Context) {
	for {
		d, err := r.subscriber.Receive(ctx)
		if err != nil {
			return // closed, or the context's end: the one who did that knows
		}
		if d.Err != nil {
			r.undecodable(d)
			continue
		}
		k := r.keep(d)
		if err := r.buffer.put(ctx, k); err != nil {
			r.logger.Errorw("an event found no room in the buffer before the deadline, and is lost", describe(k)...)
			return
		}
	}
}

func (r *receiver) keep(d *eventmesh.Delivery) *kept {
	e := d.Event
	if d.Topic != "" {
		e.SetExtension(topicExtension, d.Topic)
	}
	for name, value := range r.overrides {
		e.SetExtension(name, value)
	}
	return &kept{delivery: d, event: e}
}

// undecodable tells of a delivery that holds no event, and never will. It is acknowledged: EventMesh would only send it again.
func (r *receiver) undecodable(d *eventmesh.Delivery) {
	r.logger.Errorw("received what is no event; it is lost", "topic", d.Topic, "bytes", len(d.Raw), zap.Error(d.Err))
	if err := d.Ack(); err != nil {
		r.logger.Debugw("acknowledging what is no event", zap.Error(err))
	}
}
