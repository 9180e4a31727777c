package dispatcher

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"sync/atomic"

	cloudevents "github.com/cloudevents/sdk-go/v2"
	"go.opentelemetry.io/otel"
	"go.opentelemetry.io/otel/metric"
	"go.uber.org/zap"
	"k8s.io/client-go/kubernetes"
	framework "knative.dev/eventing/pkg/adapter/v2"
	"knative.dev/pkg/logging"

	"github.com/eventing-eventmesh/eventing-eventmesh/internal/telemetry"
	"github.com/eventing-eventmesh/eventing-eventmesh/pkg/adapter"
	"github.com/eventing-eventmesh/eventing-eventmesh/pkg/adapter/delivery"
	"github.com/eventing-eventmesh/eventing-eventmesh/pkg/broker/dataplane"
	"github.com/eventing-eventmesh/eventing-eventmesh/pkg/dispatch"
	"github.com/eventing-eventmesh/eventing-eventmesh/pkg/eventmesh"
)

// dispatcher is what Knative's framework runs.
type dispatcher struct {
	config          *Config
	logger, sampled *zap.SugaredLogger
	notReady        atomic.Pointer[error] // nil: ready, as far as the disk goes
	engine          *dispatch.Dispatcher
	telemetry       *dispatch.Telemetry
	gauges          metric.Registration
	gauged          telemetry.Names // Brokers

	receiving     context.Context //nolint:containedctx // that of all who receive, which ends long after the one of Start
	stopReceiving context.CancelFunc
	members       sync.WaitGroup

	mu           sync.Mutex
	brokers      map[string]*served // by UID
	destinations destinations
	turns        map[string]chan struct{} // of opening sessions, by the URL of an EventMesh
	known        bool                     // which Brokers there are

	tokens *tokens
}

// NewAdapter returns the dispatcher. It gets its configuration, a *Config, and its logger from the framework; the client is of no use to it.
func NewAdapter(ctx context.Context, env framework.EnvConfigAccessor, _ cloudevents.Client) framework.Adapter {
	config, ok := env.(*Config)
	if !ok {
		panic(fmt.Sprintf("configuration is a %T, want the dispatcher's", env))
	}
	d := &dispatcher{config: config, logger: logging.FromContext(ctx), turns: map[string]chan struct{}{}}
	d.sampled = adapter.Sampled(d.logger)
	d.says(errors.New("starting"))
	d.receiving, d.stopReceiving = context.WithCancel(context.WithoutCancel(ctx))
	return d
}

func (d *dispatcher) says(err error) { d.notReady.Store(&err) }

// Start runs until the context ends, and then leaves all groups, and finishes what is in flight: what is on disk stays there. An error means
// that it cannot run.
func (d *dispatcher) Start(ctx context.Context) error {
	source, err := d.config.Source(d.config.SpoolDir, d.logger)
	if err != nil {
		return err
	}
	if err := d.authenticate(); err != nil {
		return err
	}
	if err := d.measure(otel.GetMeterProvider()); err != nil {
		return fmt.Errorf("creating metrics: %w", err)
	}
	return dataplane.Run(ctx, &d.config.Config, source, dataplane.Program{
		Open: d.open, Apply: d.apply, Ready: d.ready, Status: d.status, Serve: d.serveUntil, Close: d.close, Logger: d.logger,
	})
}

// authenticate has the cluster asked for tokens, where there is one.
func (d *dispatcher) authenticate() error {
	cluster, err := d.config.Cluster()
	if err != nil {
		return err
	}
	var client kubernetes.Interface
	if cluster != nil {
		cluster.QPS, cluster.Burst = tokensPerSecond, 2*tokensPerSecond
		if client, err = kubernetes.NewForConfig(cluster); err != nil {
			return fmt.Errorf("creating a client of Kubernetes: %w", err)
		}
	}
	d.tokens = newTokens(client, d.sampled)
	d.destinations.tokens = d.tokens
	return nil
}

// open opens the disk. Without one, at the end of the context, there is nothing to run.
func (d *dispatcher) open(ctx context.Context) (bool, error) {
	disk, err := delivery.OpenDisk(ctx, delivery.DiskOptions{
		Dir: d.config.SpoolDir, NotReady: d.says,
		Logger: d.logger.With("maxEvents", d.config.BufferEvents, "maxBytes", d.config.BufferBytes),
	})
	if err != nil || disk == nil {
		return false, err
	}
	d.engine = dispatch.New(dispatch.Options{
		Workers: d.config.MaxInFlight, Disk: disk, Acknowledge: d.acknowledge, Undecodable: delivery.NoEvent, Telemetry: d.telemetry, Logger: d.logger,
	})
	d.engine.Start()
	d.members.Go(func() { d.tokens.run(d.receiving) })
	d.notReady.Store(nil)
	return true, nil
}

// serveUntil waits for the end, and then leaves the groups and drains.
func (d *dispatcher) serveUntil(ctx context.Context) error {
	<-ctx.Done()
	d.says(errors.New("shutting down"))
	d.logger.Infow("shutting down", "events", d.engine.Status().Events, "timeout", d.config.DrainTimeout.String())
	return nil
}

// close leaves all groups, finishes what is in flight, and ends all that runs.
func (d *dispatcher) close() {
	defer d.stopReceiving()
	if d.engine == nil {
		return
	}
	ctx, cancel := context.WithTimeout(context.Background(), d.config.DrainTimeout)
	defer cancel()
	d.engine.Unbound()
	d.leaveAll(ctx)
	d.engine.Drain(ctx)
	d.stopReceiving()
	d.members.Wait()
	d.destinations.begin("")
	d.destinations.end()
	switch s := d.engine.Status(); {
	case s.Unsaved > 0:
		d.logger.Errorw("events were neither delivered nor saved before the deadline: over HTTP EventMesh delivers them again, else they are lost", "events", s.Unsaved)
	case s.Events > 0:
		d.logger.Infow("events that have not been delivered stay on disk", "events", s.Events)
	default:
		d.logger.Info("everything received has been delivered")
	}
	if err := errors.Join(d.telemetry.Close(), d.gauges.Unregister()); err != nil {
		d.logger.Warnw("closing metrics", zap.Error(err))
	}
}

// leaveAll leaves all groups at once, in half of the time.
func (d *dispatcher) leaveAll(ctx context.Context) {
	ctx, cancel := context.WithTimeout(ctx, d.config.DrainTimeout/2)
	defer cancel()
	var leaving sync.WaitGroup
	for _, s := range d.brokers {
		if s.member != nil {
			leaving.Go(func() { s.member.leave(ctx, d.logger) })
		}
	}
	leaving.Wait()
}

// acknowledge tells EventMesh that events are safe.
func (d *dispatcher) acknowledge(safe []*dispatch.Message) {
	deliveries := make([]*eventmesh.Delivery, 0, len(safe))
	for _, m := range safe {
		if of, ok := m.Origin.(*eventmesh.Delivery); ok {
			deliveries = append(deliveries, of)
		}
	}
	if err := eventmesh.Acknowledge(context.Background(), deliveries...); err != nil {
		d.logger.Debugw("EventMesh may deliver events again", "events", len(safe), zap.Error(err))
	}
}

// ready returns nil, or why this replica is of no use. That a Broker's EventMesh is away is no matter of the others.
func (d *dispatcher) ready() error {
	if err := d.notReady.Load(); err != nil {
		return *err
	}
	d.mu.Lock()
	defer d.mu.Unlock()
	if !d.known {
		return errors.New("it is not known yet which Brokers there are")
	}
	return d.engine.Status().Writing
}
