package source

import (
	"context"
	"errors"
	"fmt"
	"sync/atomic"

	cloudevents "github.com/cloudevents/sdk-go/v2"
	"go.uber.org/zap"
	framework "knative.dev/eventing/pkg/adapter/v2"
	"knative.dev/pkg/logging"

	"github.com/eventing-eventmesh/eventing-eventmesh/pkg/adapter"
	"github.com/eventing-eventmesh/eventing-eventmesh/pkg/adapter/delivery"
	"github.com/eventing-eventmesh/eventing-eventmesh/pkg/adapter/podevents"
	"github.com/eventing-eventmesh/eventing-eventmesh/pkg/dispatch"
)

// Adapter is the source as Knative's framework runs it.
type Adapter struct {
	config *Config
	logger *zap.SugaredLogger
	// readiness is what the running source says, or why it does not run yet.
	readiness atomic.Pointer[func() error]
}

var _ framework.Adapter = (*Adapter)(nil)

// NewAdapter constructs the source for Knative's framework. The framework's client is not used: it has no deadline, and keeps too
// few connections.
func NewAdapter(ctx context.Context, env framework.EnvConfigAccessor, _ cloudevents.Client) framework.Adapter {
	config, ok := env.(*Config)
	if !ok {
		panic(fmt.Sprintf("configuration is a %T, want the source's", env))
	}
	a := &Adapter{config: config, logger: logging.FromContext(ctx)}
	a.notReady(errors.New("starting"))
	return a
}

// Start runs the source until the context ends, and then leaves the group and delivers what has been received, within the drain
// timeout; with a spool it finishes what is in flight, and the rest stays there. A source that should only empty its spool ends when it is
// empty. An error means that it could not start, that its spool is damaged, or that it is not empty though it should be.
func (a *Adapter) Start(ctx context.Context) (err error) {
	client, err := a.config.ClientConfig(a.config.Group, a.logger)
	if err != nil {
		return err
	}
	listener, err := adapter.Listen(ctx, a.config.ProbesPort)
	if err != nil {
		return err
	}
	stopProbes := adapter.Probes{Ready: a.ready}.Serve(listener)
	defer func() { err = errors.Join(err, stopProbes()) }()
	defer podevents.New(ctx, a.config.Component, a.config.GetNamespace(), a.config.Pod, a.logger).Watch(ctx, a.ready)()
	a.logger.Infow("serving probes", "address", listener.Addr().String())

	disk, err := a.openDisk(ctx)
	if err != nil || ctx.Err() != nil {
		return err
	}
	s, err := newSource(a.config, client, disk, a.logger)
	if err != nil {
		return err
	}
	ready := s.ready
	a.readiness.Store(&ready)
	if err = s.run(ctx); errors.Is(err, errCutOff) {
		return s.emptied()
	}
	return err
}

func (a *Adapter) ready() error { return (*a.readiness.Load())() }

func (a *Adapter) notReady(err error) {
	says := func() error { return err }
	a.readiness.Store(&says)
}

// besidesBuffer is the RAM in bytes that a source should do with besides the events that it keeps in memory.
const besidesBuffer = 64 << 20

// openDisk opens the directory that the configuration names, if any, and waits until it can be written, or the context ends.
func (a *Adapter) openDisk(ctx context.Context) (*dispatch.Disk, error) {
	bounds := []any{"maxEvents", a.config.BufferEvents, "maxBytes", a.config.BufferBytes}
	if a.config.SpoolDir == "" {
		adapter.LimitMemory(besidesBuffer + a.config.BufferBytes)
		says := "events are kept in memory: those that the sink has not accepted when the process dies are lost"
		if a.config.redelivers() {
			says = "events are kept in memory: those that the sink has not accepted when the process dies EventMesh delivers again"
		}
		a.logger.Infow(says, bounds...)
		return nil, nil
	}
	return delivery.OpenDisk(ctx, delivery.DiskOptions{Dir: a.config.SpoolDir, Older: laneName, NotReady: func(err error) { a.notReady(ofSpool(err)) }, Logger: a.logger.With(bounds...)})
}
