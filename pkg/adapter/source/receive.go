package source

import (
	"context"

	"github.com/cloudevents/sdk-go/v2/event"
	"go.uber.org/zap"

	"github.com/eventing-eventmesh/eventing-eventmesh/internal/jsonevent"
	"github.com/eventing-eventmesh/eventing-eventmesh/pkg/adapter/delivery"
	"github.com/eventing-eventmesh/eventing-eventmesh/pkg/dispatch"
	"github.com/eventing-eventmesh/eventing-eventmesh/pkg/eventmesh"
)

// receive moves deliveries from EventMesh into the dispatcher, until the subscriber has left its group or was closed, or the context
// ends.
func (s *source) receive(ctx context.Context) {
	for {
		d, err := s.subscriber.Receive(ctx)
		if err != nil {
			return // closed, or the context's end: the one who did that knows
		}
		if err := s.keep(ctx, d); err != nil {
			return
		}
	}
}

// keep puts one delivery.
func (s *source) keep(ctx context.Context, d *eventmesh.Delivery) error {
	m := s.message(d)
	if d.Err == nil {
		if d.Err = s.dispatcher.Prepare(m); d.Err != nil {
			d.Raw = asJSON(&m.Event)
		}
	}
	if d.Err == nil {
		s.metrics.received(d.Topic)
	} else {
		s.metrics.undecodable(d.Topic)
		m = &dispatch.Message{Event: delivery.NoEvent(d.Topic, d.Raw), Topic: d.Topic, Undecodable: d.Err, Origin: d}
		if !s.config.hasDeadLetters() || s.dispatcher.Prepare(m) != nil { // a topic can be too long for a record
			s.lose(ctx, d)
			return nil //nolint:nilerr // it has been told
		}
		s.logger.Errorw("received a message that is not an event; it becomes a dead letter", "topic", d.Topic, "bytes", len(d.Raw), zap.Error(d.Err))
	}
	err := s.dispatcher.Put(ctx, m, s.lane)
	if err != nil {
		says := "an event found no room in the buffer before the deadline, and is lost"
		if s.config.redelivers() {
			says = "an event found no room in the buffer before the deadline; EventMesh delivers it again"
		}
		s.logger.Errorw(says, append(describe(m), zap.Error(err))...)
	}
	return err
}

// message returns a delivery's event with the extensions that it gets.
func (s *source) message(d *eventmesh.Delivery) *dispatch.Message {
	m := &dispatch.Message{Event: d.Event, Topic: d.Topic, Origin: d}
	if d.Err == nil {
		if d.Topic != "" {
			m.Event.SetExtension(delivery.TopicExtension, d.Topic)
		}
		for name, value := range s.config.Overrides {
			m.Event.SetExtension(name, value)
		}
	}
	return m
}

func deliveryOf(m *dispatch.Message) *eventmesh.Delivery {
	d, _ := m.Origin.(*eventmesh.Delivery)
	return d
}

// describe names an event in a log: never its data.
func describe(m *dispatch.Message) []any {
	return []any{"id", m.Event.ID(), "source", m.Event.Source(), "type", m.Event.Type(), "topic", m.Topic}
}

// asJSON is an event whose record cannot be read back, as JSON, and where that cannot be written its data.
func asJSON(e *event.Event) []byte {
	text, err := jsonevent.Append(nil, event.Event{Context: e.Context, DataEncoded: e.DataEncoded, DataBase64: true})
	if err != nil {
		return e.DataEncoded
	}
	return text
}

// lose tells of a delivery that is not an event, and never will be. It is acknowledged: EventMesh would only send it again.
func (s *source) lose(ctx context.Context, d *eventmesh.Delivery) {
	s.telemetry.Dropped(d.Topic, dispatch.ReasonUndecodable)
	s.logger.Errorw("received a message that is not an event; it is lost", "topic", d.Topic, "bytes", len(d.Raw), zap.Error(d.Err))
	if err := eventmesh.Acknowledge(ctx, d); err != nil {
		s.logger.Debugw("acknowledging a message that is not an event", zap.Error(err))
	}
}

// reply sends the reply in an answer back to the requester, or why it cannot be sent back. Where that fails as well there is nobody
// any more who waits for it: the event is not sent again.
func (s *source) reply(ctx context.Context, m *dispatch.Message, answer dispatch.Answer) error {
	d := deliveryOf(m)
	if d == nil {
		return nil
	}
	err := answer.Invalid
	if err == nil {
		err = eventmesh.Validate(*answer.Reply)
	}
	invalid := err != nil
	if err == nil {
		err = d.Reply(ctx, *answer.Reply)
	}
	s.metrics.replied(err == nil)
	if invalid || isOfEvent(err) {
		s.logger.Warnw("a reply cannot be sent back; its requester is told why", append(describe(m), zap.Error(err))...)
		err = d.ReplyInvalid(ctx, err)
	}
	if err != nil {
		s.logger.Warnw("a reply does not reach its requester", append(describe(m), zap.Error(err))...)
	}
	return nil
}
