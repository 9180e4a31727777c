package dispatcher

import (
	"cmp"
	"context"

	"go.uber.org/zap"

	"github.com/eventing-eventmesh/eventing-eventmesh/pkg/broker"
	"github.com/eventing-eventmesh/eventing-eventmesh/pkg/broker/dataplane"
	"github.com/eventing-eventmesh/eventing-eventmesh/pkg/broker/table"
	"github.com/eventing-eventmesh/eventing-eventmesh/pkg/dispatch"
	"github.com/eventing-eventmesh/eventing-eventmesh/pkg/eventmesh"
)

// served is a Broker that is served.
type served struct {
	of     *table.Broker
	fanout *broker.Fanout
	member *member // nil while it is not known where its events are
}

// apply serves the Brokers of a table.
func (d *dispatcher) apply(t *table.Table) {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.destinations.begin(t.Trust)
	gone := d.brokers
	d.brokers = make(map[string]*served, len(t.Brokers))
	for _, b := range t.Brokers {
		s := gone[b.UID]
		delete(gone, b.UID)
		if s == nil {
			s = &served{fanout: broker.NewFanout(broker.FanoutOptions{UID: b.UID, Dispatcher: d.engine, Logger: d.logger})}
		}
		d.serve(s, b)
		d.brokers[b.UID] = s
	}
	for _, s := range gone {
		d.logger.Infow("a Broker is gone", "namespace", s.of.Namespace, "broker", s.of.Name)
		s.fanout.Set(nil)
		d.part(s.member)
	}
	d.destinations.end()
	if !t.Stale && !d.known {
		if left := d.engine.Sweep(); left > 0 {
			d.logger.Infow("events are forgotten of Triggers that are gone since the last start", "events", left)
		}
		d.known = true
	}
}

// serve serves a Broker as it is now.
func (d *dispatcher) serve(s *served, b *table.Broker) {
	s.of = b
	triggers := make([]broker.Trigger, len(b.Triggers))
	for i := range b.Triggers {
		triggers[i] = d.trigger(&b.Triggers[i], b)
		d.telemetry.Expect(triggers[i].Label(), b.Topic)
	}
	s.fanout.Set(triggers)
	of := membership{mesh: b.Mesh, topic: b.Topic, group: b.Group}
	switch {
	case s.member != nil && s.member.of == of:
	case b.Mesh.URL == "":
		d.part(s.member)
		s.member = nil
	default:
		d.part(s.member)
		s.member = d.join(of, s.member, func(ctx context.Context, delivery *eventmesh.Delivery) error { return d.keep(ctx, s.fanout, delivery) })
	}
}

// part leaves a group in the background.
func (d *dispatcher) part(m *member) {
	if m == nil {
		return
	}
	d.members.Go(func() {
		ctx, cancel := context.WithTimeout(d.receiving, leaveTimeout)
		defer cancel()
		m.leave(ctx, d.logger)
	})
}

// trigger is a Trigger of a Broker with its connections.
func (d *dispatcher) trigger(t *table.Trigger, of *table.Broker) broker.Trigger {
	w := way{
		owner: t.UID, namespace: t.Namespace, timeout: cmp.Or(t.Delivery.Timeout, d.config.Timeout), mode: t.Delivery.Mode,
		connections: cmp.Or(t.MaxInFlight, broker.DefaultMaxInFlight), account: t.ServiceAccount,
	}
	replies := way{owner: of.UID, namespace: of.Namespace, to: of.Address, timeout: d.config.Timeout, connections: broker.DefaultMaxInFlight}
	if of.Address.Audience != "" { // it may heed who sends
		replies.owner, replies.account = t.UID, t.ServiceAccount
	}
	subscriber, dead := w, w
	subscriber.to, subscriber.replies, subscriber.answerable = t.Subscriber, true, replies.identity()
	if dead.to = t.DeadLetterSink; dead.mode == dispatch.Binary {
		dead.mode = dispatch.Auto // that it cannot be sent in this mode may be why it is given up
	}
	return broker.Trigger{
		UID: t.UID, Namespace: t.Namespace, Name: t.Name, Filter: t.Filter, Delivery: t.Delivery,
		Subscriber: d.destinations.get(subscriber), DeadLetterSink: d.destinations.get(dead), Replies: d.destinations.get(replies),
		Ordering: t.Ordering, MaxInFlight: w.connections, MaxEvents: d.config.BufferEvents, MaxBytes: d.config.BufferBytes, Overflow: t.Overflow,
	}
}

// keep keeps a delivery for the Triggers that want it. What is no event is nobody's.
func (d *dispatcher) keep(ctx context.Context, f *broker.Fanout, of *eventmesh.Delivery) error {
	m := &dispatch.Message{Event: of.Event, Topic: of.Topic, Origin: of}
	if of.Err == nil {
		of.Err = d.engine.Prepare(m)
	}
	if of.Err != nil {
		d.sampled.Errorw("received a message that is no event; no Trigger gets it", "topic", of.Topic, "bytes", len(of.Raw), zap.Error(of.Err))
		d.telemetry.Dropped(of.Topic, dispatch.ReasonUndecodable)
		return d.forget(ctx, of)
	}
	err := f.Put(ctx, m)
	if err != nil {
		d.logger.Warnw("an event found no room before the end; EventMesh may deliver it again", "topic", of.Topic, "id", m.Event.ID(), zap.Error(err))
	}
	return err
}

// forget lets EventMesh forget what nobody can get.
func (d *dispatcher) forget(ctx context.Context, of *eventmesh.Delivery) error {
	if err := eventmesh.Acknowledge(ctx, of); err != nil {
		d.logger.Debugw("acknowledging what nobody gets", zap.Error(err))
	}
	return ctx.Err()
}

// status tells what is served.
func (d *dispatcher) status() dataplane.Status {
	if d.notReady.Load() != nil {
		return dataplane.Status{}
	}
	d.mu.Lock()
	defer d.mu.Unlock()
	status := dataplane.Status{Brokers: make(map[string]dataplane.BrokerStatus, len(d.brokers))}
	writing := d.engine.Status().Writing
	for uid, s := range d.brokers {
		b := dataplane.BrokerStatus{
			Generation: s.of.Generation, Topic: s.of.Topic, Problem: s.problem(writing), Triggers: make(map[string]dataplane.TriggerStatus, len(s.of.Triggers)),
		}
		for i := range s.of.Triggers {
			t := &s.of.Triggers[i]
			b.Triggers[t.UID] = dataplane.TriggerStatus{Generation: t.Generation, Problem: d.problem(s, t)}
		}
		status.Brokers[uid] = b
	}
	return status
}

// problem says what is wrong with a Trigger, if so.
func (d *dispatcher) problem(s *served, t *table.Trigger) *table.Problem {
	if t.Problem != nil {
		return t.Problem
	}
	for _, to := range []table.Endpoint{t.Subscriber, t.DeadLetterSink, s.of.Address} {
		if err := d.tokens.problem(identity{t.Namespace, t.ServiceAccount, to.Audience}); err != nil {
			return &table.Problem{Reason: dataplane.ReasonToken, Message: err.Error()}
		}
	}
	return s.full(t)
}

// full says that as many events are kept for a Trigger as may be, if so, and what becomes of more.
func (s *served) full(t *table.Trigger) *table.Problem {
	message := "as many events wait for the subscriber as may be kept: "
	switch full, waits := s.fanout.Full(t.UID); {
	case waits && t.Overflow:
		message += "more have gone to the dead letter sink, for which as many wait now, so that the Broker receives no more until one of both has accepted some"
	case waits:
		message += "its Broker receives no more until it has accepted some"
	case full:
		message += "more go to the dead letter sink until it has accepted some"
	default:
		return nil
	}
	return &table.Problem{Reason: dataplane.ReasonFull, Message: message}
}

// problem says why a Broker's events do not come, if so.
func (s *served) problem(writing error) *table.Problem {
	switch {
	case s.of.Problem != nil:
		return s.of.Problem
	case writing != nil:
		return &table.Problem{Reason: dataplane.ReasonDisk, Message: writing.Error()}
	case s.member == nil:
		return &table.Problem{Reason: dataplane.ReasonNotConnected, Message: errConnecting.Error()}
	}
	if err := s.member.ready(); err != nil {
		return &table.Problem{Reason: dataplane.ReasonNotConnected, Message: err.Error()}
	}
	return nil
}
