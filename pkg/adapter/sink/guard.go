package sink

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"time"

	"github.com/cloudevents/sdk-go/v2/event"
	"go.uber.org/zap"

	"github.com/eventing-eventmesh/eventing-eventmesh/pkg/eventmesh"
)

// guard is a publisher that learns from what becomes of publishes: whether EventMesh confirms any, and takes the credentials.
type guard struct {
	publisher
	circuit       circuit
	authorization authorization
	logger        *zap.SugaredLogger
}

func (g *guard) Publish(ctx context.Context, topic string, e event.Event) error {
	_, err := g.do(ctx, topic, e, func() (*event.Event, error) { return nil, g.publisher.Publish(ctx, topic, e) })
	return err
}

func (g *guard) Request(ctx context.Context, topic string, e event.Event) (*event.Event, error) {
	return g.do(ctx, topic, e, func() (*event.Event, error) { return g.publisher.Request(ctx, topic, e) })
}

func (g *guard) do(ctx context.Context, topic string, e event.Event, call func() (*event.Event, error)) (reply *event.Event, err error) {
	if ctx.Err() != nil { // which says nothing about EventMesh
		return nil, fmt.Errorf("publishing to %s: %w: no time was left for it", topic, eventmesh.ErrUnconfirmed)
	}
	attempt := g.circuit.begin(topic, e.Source()+" "+e.ID(), time.Now())
	if attempt == nil {
		return nil, refusef(http.StatusServiceUnavailable,
			"publishing to %s: EventMesh has not confirmed the latest %d events in time, and is asked for one at a time until it does", topic, tripAfter)
	}
	defer func() {
		// Events of a batch have goroutines of their own: one that makes a library panic must not end the process.
		if reason := recover(); reason != nil {
			g.logger.Errorw("an event could not be published: panic", "topic", topic, "reason", reason, zap.StackSkip("stack", 1))
			reply, err = nil, fmt.Errorf("publishing to %s: %w", topic, errPanic)
		}
		g.learn(attempt, err)
	}()
	return call()
}

var errPanic = errors.New("internal error")

// learn takes note of what became of a publish, and logs what is new by it.
func (g *guard) learn(a *attempt, err error) {
	if errors.Is(err, eventmesh.ErrInvalidReply) { // EventMesh has done its part
		err = nil
	}
	now := time.Now()
	opened, closed := g.circuit.end(a, err, now)
	refused, taken := g.authorization.learn(err, now)
	switch {
	case opened:
		g.logger.Warnw("EventMesh does not confirm events in time: answering 503 at once, but for one request at a time", "topic", a.topic, zap.Error(err))
	case closed:
		g.logger.Infow("EventMesh answers in time again", "topic", a.topic)
	}
	switch {
	case refused:
		g.logger.Errorw("EventMesh does not take the credentials, or does not let them publish: not ready until it takes an event", "topic", a.topic, zap.Error(err))
	case taken:
		g.logger.Infow("EventMesh takes the credentials", "topic", a.topic)
	}
}

// Ready returns nil, or why events cannot be published. That events are held back is none: without traffic there were no probe.
func (g *guard) Ready() error {
	if err := g.publisher.Ready(); err != nil {
		return err
	}
	return g.authorization.ready(time.Now())
}
