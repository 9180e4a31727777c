package sink

import (
	"context"
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

func (g *guard) do(ctx context.Context, topic string, e event.Event, call func() (*event.Event, error)) (*event.Event, error) {
	if ctx.Err() != nil { // which says nothing about EventMesh
		return nil, fmt.Errorf("publishing to %s: %w: no time was left for it", topic, eventmesh.ErrUnconfirmed)
	}
	attempt := g.circuit.begin(topic, e.Source()+" "+e.ID(), time.Now())
	if attempt == nil {
		return nil, refusef(http.StatusServiceUnavailable,
			"publishing to %s: EventMesh has not confirmed the latest %d events in time, and is asked for one at a time until it does", topic, tripAfter)
	}
	reply, err := call()
	opened, closed := g.circuit.end(attempt, err, time.Now())
	refused, taken := g.authorization.learn(err, time.Now())
	switch {
	case opened:
		g.logger.Warnw("EventMesh does not confirm events in time: answering 503 at once, but for one request at a time", "topic", topic, zap.Error(err))
	case closed:
		g.logger.Infow("EventMesh answers in time again", "topic", topic)
	}
	switch {
	case refused:
		g.logger.Errorw("EventMesh does not take the credentials, or does not let them publish: not ready until it takes an event", "topic", topic, zap.Error(err))
	case taken:
		g.logger.Infow("EventMesh takes the credentials", "topic", topic)
	}
	return reply, err
}

// Ready returns nil, or why events cannot be published. That events are held back is none: without traffic there were no probe.
func (g *guard) Ready() error {
	if err := g.publisher.Ready(); err != nil {
		return err
	}
	return g.authorization.ready(time.Now())
}
