package source

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"net/url"
	"strings"
	"time"

	"github.com/cloudevents/sdk-go/v2/event"
	"go.uber.org/zap"

	"github.com/eventing-eventmesh/eventing-eventmesh/internal/jsonevent"
	"github.com/eventing-eventmesh/eventing-eventmesh/pkg/eventmesh"
)

const (
	// topicExtension holds the EventMesh topic of an event that the source sends.
	topicExtension = "eventmeshtopic"
	// undecodableType is the type of the event that carries what was none to the dead letters.
	undecodableType = "org.apache.eventmesh.undecodable"
)

// receiver moves deliveries from EventMesh into the buffer.
type receiver struct {
	subscriber *eventmesh.Subscriber
	buffer     *buffer
	overrides  Overrides
	// wrap says that there is a place for what is no event.
	wrap    bool
	metrics *metrics
	logger  *zap.SugaredLogger
}

// run receives until the subscriber has left its group or was closed, or the context ends.
func (r *receiver) run(ctx context.Context) {
	for {
		d, err := r.subscriber.Receive(ctx)
		if err != nil {
			return // closed, or the context's end: the one who did that knows
		}
		if err := r.take(ctx, d); err != nil {
			return
		}
	}
}

// take keeps one delivery.
func (r *receiver) take(ctx context.Context, d *eventmesh.Delivery) error {
	k := r.keep(d)
	if d.Err == nil {
		if d.Err = r.buffer.prepare(k); d.Err != nil {
			d.Raw = asJSON(&k.event)
		}
	}
	if d.Err == nil {
		r.metrics.received(d.Topic)
	} else {
		r.metrics.undecodable(d.Topic)
		if !r.becomesDeadLetter(k, d) {
			r.lose(ctx, d)
			return nil
		}
		r.logger.Errorw("received what is no event; it becomes a dead letter", "topic", d.Topic, "bytes", len(d.Raw), zap.Error(d.Err))
	}
	if err := r.buffer.put(ctx, k); err != nil {
		r.logger.Errorw("an event found no room in the buffer before the deadline, and is lost", append(describe(k), zap.Error(err))...)
		return err
	}
	return nil
}

// becomesDeadLetter makes an event of what is none, and tells whether there is a place for it, and a record.
func (r *receiver) becomesDeadLetter(k *kept, d *eventmesh.Delivery) bool {
	if !r.wrap {
		return false
	}
	k.event, k.undecodable = noEvent(d.Topic, d.Raw, d.Err), true
	k.key = orderingKey(&k.event, d.Topic)
	return r.buffer.prepare(k) == nil // a topic can be too long for one
}

func (r *receiver) keep(d *eventmesh.Delivery) *kept {
	e := d.Event
	if d.Err == nil {
		if d.Topic != "" {
			e.SetExtension(topicExtension, d.Topic)
		}
		for name, value := range r.overrides {
			e.SetExtension(name, value)
		}
	}
	return &kept{delivery: d, event: e, topic: d.Topic, received: time.Now(), key: orderingKey(&e, d.Topic)}
}

// asJSON is an event whose record cannot be read back, as JSON, and where that cannot be written its data.
func asJSON(e *event.Event) []byte {
	text, err := jsonevent.Append(nil, event.Event{Context: e.Context, DataEncoded: e.DataEncoded, DataBase64: true})
	if err != nil {
		return e.DataEncoded
	}
	return text
}

// noEvent makes an event of what is none, for the dead letters.
func noEvent(topic string, raw []byte, failure error) event.Event {
	id := sha256.Sum256(append([]byte(topic+" "), raw...))
	topic = strings.ToValidUTF8(topic, "\uFFFD")
	e := event.New()
	e.SetID(hex.EncodeToString(id[:16]))
	e.SetSource("eventmesh:" + topic)
	if e.Source() == "" { // of a name that no URI can have
		e.SetSource("eventmesh:" + url.PathEscape(topic))
	}
	e.SetType(undecodableType)
	if topic != "" {
		e.SetExtension(topicExtension, topic)
	}
	e.SetDataContentType("application/octet-stream")
	e.DataEncoded, e.DataBase64 = raw, true
	addError(&e, "", noResponse, failure.Error())
	return e
}

// lose tells of a delivery that holds no event, and never will. It is acknowledged: EventMesh would only send it again.
func (r *receiver) lose(ctx context.Context, d *eventmesh.Delivery) {
	r.metrics.dropped(d.Topic, reasonUndecodable)
	r.logger.Errorw("received what is no event; it is lost", "topic", d.Topic, "bytes", len(d.Raw), zap.Error(d.Err))
	ctx, cancel := acknowledging(ctx)
	defer cancel()
	if err := d.Ack(ctx); err != nil {
		r.logger.Debugw("acknowledging what is no event", zap.Error(err))
	}
}
