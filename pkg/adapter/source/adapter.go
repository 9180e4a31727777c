package source

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"sync/atomic"

	cloudevents "github.com/cloudevents/sdk-go/v2"
	"go.uber.org/zap"
	framework "knative.dev/eventing/pkg/adapter/v2"
	"knative.dev/pkg/logging"

	"github.com/eventing-eventmesh/eventing-eventmesh/pkg/adapter"
	"github.com/eventing-eventmesh/eventing-eventmesh/pkg/eventmesh"
)

// Adapter is the running source.
type Adapter struct {
	config     *Config
	logger     *zap.SugaredLogger
	subscriber *eventmesh.Subscriber
	buffer     *buffer
	stopping   atomic.Bool
}

var _ framework.Adapter = (*Adapter)(nil)

// NewAdapter constructs the source for Knative's framework. The framework's client is not used: it has no deadline, and keeps too
// few connections.
func NewAdapter(ctx context.Context, env framework.EnvConfigAccessor, _ cloudevents.Client) framework.Adapter {
	config, ok := env.(*Config)
	if !ok {
		panic(fmt.Sprintf("configuration is a %T, want the source's", env))
	}
	return &Adapter{
		config: config, logger: logging.FromContext(ctx), buffer: newBuffer(config.BufferEvents, config.BufferBytes),
	}
}

// Start runs the source until the context ends, and then leaves the group and delivers what has been received, within the drain
// timeout. An error means that it could not start.
func (a *Adapter) Start(ctx context.Context) error {
	client, err := a.config.ClientConfig(a.config.Group, a.logger)
	if err != nil {
		return err
	}
	listener, err := adapter.Listen(ctx, a.config.ProbesPort)
	if err != nil {
		return err
	}
	a.subscriber, err = eventmesh.NewSubscriber(client, eventmesh.Subscription{
		Topics: a.config.Topics, Mode: eventmesh.Mode(a.config.Mode),
	}, adapter.Transports...)
	if err != nil {
		return errors.Join(err, listener.Close())
	}
	stopProbes := adapter.Probes{Ready: a.ready}.Serve(listener)
	a.logger.Infow("serving probes", "address", listener.Addr().String())
	a.logger.Infow("events are buffered in memory: those that the sink has not taken when the process dies are lost",
		"events", a.config.BufferEvents, "bytes", a.config.BufferBytes)

	running, abandon := context.WithCancel(context.WithoutCancel(ctx))
	defer abandon()
	sender := newSender(a.config)
	defer sender.client.CloseIdleConnections()
	var received, delivered sync.WaitGroup
	received.Go(func() {
		(&receiver{subscriber: a.subscriber, buffer: a.buffer, overrides: a.config.Overrides, logger: a.logger}).run(running)
	})
	delivered.Go(func() {
		(&deliverer{
			buffer: a.buffer, send: sender.send, logger: a.logger,
			retries: a.config.Retries, backoffMin: a.config.BackoffMin, backoffMax: a.config.BackoffMax,
		}).run(running, a.config.MaxInFlight)
	})

	<-ctx.Done()
	a.stopping.Store(true)
	a.logger.Infow("shutting down", "events", a.buffer.count.Load(), "timeout", a.config.DrainTimeout.String())
	a.drain(context.WithoutCancel(ctx), &received, abandon)
	delivered.Wait()
	return stopProbes()
}

// drain leaves the group, still takes what arrives, and waits until everything has been delivered; then, or at the deadline, it
// ends the goroutines by abandon.
func (a *Adapter) drain(ctx context.Context, received *sync.WaitGroup, abandon func()) {
	ctx, cancel := context.WithTimeout(ctx, a.config.DrainTimeout)
	defer cancel()
	stop := context.AfterFunc(ctx, abandon)
	defer stop()
	var leaving sync.WaitGroup
	leaving.Go(func() {
		if err := a.subscriber.Leave(ctx); err != nil {
			a.logger.Warnw("EventMesh did not let this replica leave its group", zap.Error(err))
		}
	})
	received.Wait()
	select {
	case <-a.buffer.close():
	case <-ctx.Done():
	}
	leaving.Wait()
	abandon()
	_ = a.subscriber.Close()
	if left := a.buffer.count.Load(); left > 0 {
		a.logger.Errorw("events were not delivered before the deadline, and are lost", "events", left)
		return
	}
	a.logger.Info("everything received has been delivered")
}

// ready tells whether events get through: subscribed, and with room for more.
func (a *Adapter) ready() error {
	switch {
	case a.stopping.Load():
		return errors.New("shutting down")
	case a.buffer.full():
		return errors.New("the buffer is full: the sink takes events too slowly, or not at all")
	default:
		return a.subscriber.Ready()
	}
}
