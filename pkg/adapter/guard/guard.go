// Package guard is between an HTTP server that receives events and EventMesh's client that publishes them. It learns from what becomes of
// publishes whether EventMesh confirms any, and accepts the credentials; it counts and measures them; and its errors tell senders what they
// mean to them.
package guard

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"time"

	"github.com/cloudevents/sdk-go/v2/event"
	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/metric"
	"go.uber.org/zap"

	"github.com/eventing-eventmesh/eventing-eventmesh/pkg/adapter/podevents"
	"github.com/eventing-eventmesh/eventing-eventmesh/pkg/eventmesh"
	"github.com/eventing-eventmesh/eventing-eventmesh/pkg/ingress"
)

// Publisher is what a guard needs of an [eventmesh.Publisher].
type Publisher interface {
	Publish(ctx context.Context, topic string, e event.Event) error
	Request(ctx context.Context, topic string, e event.Event) (*event.Event, error)
	Ready() error
}

// Options configure a Guard.
type Options struct {
	// Meter makes the instruments.
	Meter metric.Meter
	// Name begins the names of those that are not OpenTelemetry's own.
	Name string
	// Attributes are those of all that is measured, besides its topic.
	Attributes []attribute.KeyValue
	// Topics are those that are counted from 0.
	Topics []string
	// Logger is told of changes. It has to sample what repeats.
	Logger *zap.SugaredLogger
}

// Guard publishes events. Its methods may be called by several goroutines.
type Guard struct {
	publisher     Publisher
	circuit       circuit
	authorization authorization
	metrics       *metrics
	logger        *zap.SugaredLogger
}

// New returns a Guard of a publisher. An error says which metric cannot be made.
func New(p Publisher, o Options) (*Guard, error) {
	g := &Guard{publisher: p, logger: o.Logger}
	var err error
	g.metrics, err = newMetrics(o, func() (connected, open bool) { return p.Ready() == nil, g.circuit.open() })
	return g, err
}

// Expect counts the publishes of a topic from 0 on. Of a counter that starts at 1 Prometheus sees no increase.
func (g *Guard) Expect(topic string) { g.metrics.expect(topic) }

// Close ends the measuring. The publisher stays open.
func (g *Guard) Close() error { return g.metrics.close() }

// Publish returns when EventMesh has confirmed the event, or an error that tells its status.
func (g *Guard) Publish(ctx context.Context, topic string, e event.Event) (*event.Event, error) {
	return g.do(ctx, topic, operationPublish, e, func() (*event.Event, error) { return nil, g.publisher.Publish(ctx, topic, e) })
}

// Request returns the reply to the event, or an error that tells its status.
func (g *Guard) Request(ctx context.Context, topic string, e event.Event) (*event.Event, error) {
	return g.do(ctx, topic, operationRequest, e, func() (*event.Event, error) { return g.publisher.Request(ctx, topic, e) })
}

func (g *Guard) do(ctx context.Context, topic, operation string, e event.Event, ask func() (*event.Event, error)) (reply *event.Event, err error) {
	began := time.Now()
	attempt := g.circuit.begin(topic, e.Source()+" "+e.ID(), began)
	if attempt == nil {
		return nil, ingress.Refusef(http.StatusServiceUnavailable, "publishing to %s: %w", topic, errHeldBack)
	}
	err = errPanic // unless the call returns
	defer func() { g.learn(attempt, err) }()
	reply, err = ask()
	o := outcomeOf(err)
	g.metrics.published(ctx, call{topic, operation, o.errorType}, time.Since(began))
	if err != nil {
		err = &ingress.RefusalError{Status: o.status, Err: err}
	}
	return reply, err
}

var (
	errPanic    = errors.New("the event made a library panic")
	errHeldBack = fmt.Errorf("EventMesh has not confirmed the latest %d events in time, and is asked for one at a time until it does", tripAfter)
)

// outcome is what an error of the client means: the value of error.type in metrics, and the status for the sender.
type outcome struct {
	kind      error
	errorType string
	status    int
}

// outcomes are all that are known. The first that fits counts.
var outcomes = []outcome{
	{eventmesh.ErrNoReply, "no_reply", http.StatusGatewayTimeout},
	{eventmesh.ErrInvalidReply, "invalid_reply", http.StatusBadGateway},
	{eventmesh.ErrUnconfirmed, "unconfirmed", http.StatusServiceUnavailable},
	{eventmesh.ErrNotConnected, "not_connected", http.StatusServiceUnavailable},
	{eventmesh.ErrRateLimited, "rate_limited", http.StatusTooManyRequests},
	{eventmesh.ErrNoSubscriber, "no_subscriber", http.StatusServiceUnavailable},
	{eventmesh.ErrRefused, "refused", http.StatusServiceUnavailable},
	{eventmesh.ErrUnauthorized, "unauthorized", http.StatusServiceUnavailable}, // an operator can mend that
	{eventmesh.ErrInvalidEvent, "invalid_event", http.StatusBadRequest},
	{eventmesh.ErrTooLarge, "too_large", http.StatusRequestEntityTooLarge},
	{eventmesh.ErrInvalidTopic, errorOther, http.StatusBadRequest},
	{eventmesh.ErrUnsupported, errorOther, http.StatusForbidden},
}

// outcomeOf returns what an error means, and the zero value for none. One of no known kind is no fault of the event, and the sender's to
// repeat.
func outcomeOf(err error) outcome {
	if err == nil {
		return outcome{}
	}
	for _, o := range outcomes {
		if errors.Is(err, o.kind) {
			return o
		}
	}
	return outcome{errorType: errorOther, status: http.StatusServiceUnavailable}
}

// learn notes what became of a publish, and logs what is new by it.
func (g *Guard) learn(a *attempt, err error) {
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
		g.logger.Errorw("EventMesh does not accept the credentials, or does not let them publish: not ready until it confirms an event", "topic", a.topic, zap.Error(err))
	case taken:
		g.logger.Infow("EventMesh accepts the credentials", "topic", a.topic)
	}
}

// Ready returns nil, or why events cannot be published. It stays ready while events are held back: without traffic there would be no probe.
func (g *Guard) Ready() error {
	if err := g.publisher.Ready(); err != nil {
		return err
	}
	return g.authorization.ready(time.Now())
}

// Trouble returns nil, or why events are not published, as far as is known: also while the Guard is ready for another to find that out.
func (g *Guard) Trouble() error {
	if err := g.publisher.Ready(); err != nil {
		return err
	}
	if err := g.authorization.refused(); err != nil {
		return err
	}
	if g.circuit.open() {
		return podevents.Because(podevents.NotConfirming, errHeldBack)
	}
	return nil
}
