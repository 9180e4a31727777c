package main

import (
	"context"
	"crypto/rand"
	"fmt"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/eventing-eventmesh/eventing-eventmesh/pkg/eventmesh"
	"github.com/eventing-eventmesh/eventing-eventmesh/pkg/eventmesh/transports"
)

// republish is after how long an event that has not come back is followed by another one. RocketMQ gives a new group what comes after its
// consumer has started and found the topic, which EventMesh does not wait for.
const republish = 5 * time.Second

// tryTopic publishes to the topic, and receives that where it takes nothing from others, or nobody else is there.
func (f *doctorFlags) tryTopic(ctx context.Context, r *report, p *patient) {
	ctx, cancel := context.WithTimeout(ctx, f.timeout)
	defer cancel()
	t := &trip{topic: f.topic, report: r, patient: p, id: strings.ToLower(rand.Text()), timeout: f.timeout}
	if reason := p.harm(); reason != "" && (!f.alone || p.Release == eventmesh.Bridge) {
		t.oneWay(ctx, reason)
		return
	}
	b, err := t.subscribe(ctx)
	if err != nil {
		r.fail("subscribe", err, p.advise(err))
		return
	}
	defer b.leave(ctx)
	r.ok("subscribe", "EventMesh has accepted a subscription to %s", f.topic)
	t.round(ctx, b)
}

// trip is the way of events to a topic, and perhaps back.
type trip struct {
	topic   string
	report  *report
	patient *patient
	timeout time.Duration

	id        string // that those of its events begin with
	publisher *eventmesh.Publisher
	published []time.Time
}

// oneWay publishes alone, for a reason.
func (t *trip) oneWay(ctx context.Context, reason string) {
	defer t.close()
	if !t.publish(ctx) {
		return
	}
	advice := "for a round trip ask with a topic that nobody else uses, and --alone"
	if t.patient.Release == eventmesh.Bridge {
		advice = "for a round trip ask http://…:10105, with a topic that nobody else uses, and --alone"
	}
	t.report.note("round trip", "not made: "+reason, advice)
}

// round publishes until something comes back, or the time is over.
func (t *trip) round(ctx context.Context, b *boomerang) {
	const name = "round trip"
	defer t.close()
	again := time.NewTicker(republish)
	defer again.Stop()
	if !t.publish(ctx) {
		return
	}
	for {
		select {
		case came := <-b.came:
			t.report.ok(name, "the event came back after %s", came.at.Sub(t.published[came.attempt]).Round(time.Millisecond/10))
			return
		case <-again.C:
			if t.patient.Storage == eventmesh.RocketMQ && !t.publish(ctx) {
				return
			}
		case <-ctx.Done():
			t.report.fail(name, fmt.Errorf("none of %d events has come back within %s", len(t.published), t.timeout), t.patient.adviseOnRoundTrip(t.topic))
			return
		}
	}
}

// harm says what a subscription of one more group would do to others, or nothing where it does nothing.
func (p *patient) harm() string {
	switch {
	case p.Release == eventmesh.NextRelease:
		return "all who subscribe to a topic over http share its events, and one more would take some from the others"
	case p.Release == eventmesh.Bridge:
		return "subscribers over the bridge take events from others, and cannot acknowledge them"
	case p.Storage == eventmesh.RocketMQ:
		return ""
	case p.Storage == eventmesh.Standalone:
		return "with standalone storage a topic dies, for all, when a subscriber of any group leaves it"
	default:
		return "it is not known what one more subscriber does to others with this storage"
	}
}

func (p *patient) adviseOnRoundTrip(topic string) string {
	advice := "look into EventMesh's log"
	if p.Storage == eventmesh.RocketMQ {
		advice = "where the topic is new EventMesh finds it up to a minute later: ask again; then look into EventMesh's log, and with mqadmin topicStatus -t " + topic + " whether RocketMQ has the event"
	}
	if p.Storage == eventmesh.Standalone {
		advice = "with standalone storage a topic is dead once a subscriber has left it, and gives the events to the first group only: restart EventMesh, or take another topic"
	}
	return advice
}

// publish publishes an event, and tells whether EventMesh has confirmed it.
func (t *trip) publish(ctx context.Context) bool {
	const name = "publish"
	if err := t.connect(ctx); err != nil {
		t.report.fail(name, err, t.patient.advise(err))
		return false
	}
	e, began := doctorEvent(), time.Now()
	e.SetID(t.id + "-" + strconv.Itoa(len(t.published)))
	t.published = append(t.published, began)
	if err := t.publisher.Publish(ctx, t.topic, e); err != nil {
		t.report.fail(name, err, t.patient.advise(err))
		return false
	}
	if len(t.published) > 1 {
		return true
	}
	somebody := ""
	if t.patient.Storage == eventmesh.Standalone {
		somebody = ", so that somebody subscribes to it, or has died without leaving: over gRPC EventMesh takes a minute to see that"
	}
	t.report.ok(name, "EventMesh has confirmed event %s to %s after %s%s", e.ID(), t.topic, time.Since(began).Round(time.Millisecond/10), somebody)
	return true
}

// connect makes the publisher, and waits for its session.
func (t *trip) connect(ctx context.Context) error {
	if t.publisher != nil {
		return nil
	}
	cfg, connected := t.patient.connecting()
	var err error
	if t.publisher, err = eventmesh.NewPublisher(cfg, transports.All...); err != nil {
		return err
	}
	return first(ctx, connected)
}

func (t *trip) close() {
	if t.publisher != nil {
		_ = t.publisher.Close() // nothing is under way
	}
}

// connecting returns the configuration of a client, and its first status.
func (p *patient) connecting() (eventmesh.Config, <-chan eventmesh.Status) {
	status := make(chan eventmesh.Status, 1)
	cfg := p.cfg
	cfg.Notify = func(s eventmesh.Status) {
		select {
		case status <- s:
		default:
		}
	}
	return cfg, status
}

// first waits for it, and returns why there is no session.
func first(ctx context.Context, status <-chan eventmesh.Status) error {
	select {
	case s := <-status:
		return s.Err
	case <-ctx.Done():
		return fmt.Errorf("%w: connecting: %w", eventmesh.ErrNotConnected, ctx.Err())
	}
}

// boomerang receives the doctor's own events. Its group has no other member, ever, and in broadcasting RocketMQ neither keeps events for it
// nor gives it those of before.
type boomerang struct {
	subscriber *eventmesh.Subscriber
	id         string
	came       chan arrival
	receiving  sync.WaitGroup
}

// arrival is the first event that has come back, by its number.
type arrival struct {
	attempt int
	at      time.Time
}

func (t *trip) subscribe(ctx context.Context) (*boomerang, error) {
	cfg, subscribed := t.patient.connecting()
	cfg.Group += "-" + t.id
	subscription := eventmesh.Subscription{Topics: []string{t.topic}}
	if !t.patient.overHTTP() { // where each renewal of a broadcast subscription brings one more copy
		subscription.Mode = eventmesh.Broadcasting
	}
	subscriber, err := eventmesh.NewSubscriber(cfg, subscription, transports.All...)
	if err != nil {
		return nil, err
	}
	if err := first(ctx, subscribed); err != nil {
		_ = subscriber.Close() // it never was subscribed
		return nil, err
	}
	b := &boomerang{subscriber: subscriber, id: t.id, came: make(chan arrival, 1)}
	b.receiving.Go(b.receive)
	return b, nil
}

// receive takes what comes until the subscriber is closed. It acknowledges its own events, and leaves the others alone.
func (b *boomerang) receive() {
	ctx := context.Background()
	for {
		d, err := b.subscriber.Receive(ctx)
		if err != nil {
			return
		}
		attempt, own := b.own(d)
		if !own {
			_ = d.Release(ctx) // its session is over otherwise
			continue
		}
		select {
		case b.came <- arrival{attempt, time.Now()}:
		default: // another one
		}
		_ = d.Ack(ctx) // the same
	}
}

// own tells whether a delivery is one of the doctor's events, and which.
func (b *boomerang) own(d *eventmesh.Delivery) (attempt int, own bool) {
	if d.Err != nil || d.Event.Source() != doctorSource {
		return 0, false
	}
	number, found := strings.CutPrefix(d.Event.ID(), b.id+"-")
	attempt, err := strconv.Atoi(number)
	return attempt, found && err == nil
}

// leave ends the membership. Where EventMesh does not answer, it does so by itself in a minute.
func (b *boomerang) leave(ctx context.Context) {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), leaveTimeout)
	defer cancel()
	_ = b.subscriber.Leave(ctx)
	_ = b.subscriber.Close() // it has left, or has tried to
	b.receiving.Wait()
}
