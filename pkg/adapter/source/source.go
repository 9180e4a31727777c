package source

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"sync/atomic"
	"syscall"
	"time"

	"go.opentelemetry.io/otel"
	"go.uber.org/zap"

	"github.com/eventing-eventmesh/eventing-eventmesh/pkg/adapter"
	"github.com/eventing-eventmesh/eventing-eventmesh/pkg/adapter/delivery"
	"github.com/eventing-eventmesh/eventing-eventmesh/pkg/adapter/podevents"
	"github.com/eventing-eventmesh/eventing-eventmesh/pkg/dispatch"
	"github.com/eventing-eventmesh/eventing-eventmesh/pkg/eventmesh"
)

// laneName names K_SINK on disk.
const laneName = "sink"

// source is the way of an event, put together.
type source struct {
	config     *Config
	logger     *zap.SugaredLogger
	subscriber *eventmesh.Subscriber // nil where only a spool is emptied
	dispatcher *dispatch.Dispatcher
	lane       *dispatch.Lane
	telemetry  *dispatch.Telemetry
	metrics    *metrics
	publisher  *eventmesh.Publisher // of dead letters, or nil
	https      []*dispatch.HTTP
	onDisk     bool
	receiving  sync.WaitGroup
	stopping   atomic.Bool
	stage      atomic.Value // of the shutdown, for the log
	told       atomic.Bool
}

// newSource makes a source, whose disk it owns from then on.
func newSource(config *Config, client eventmesh.Config, disk *dispatch.Disk, logger *zap.SugaredLogger) (*source, error) {
	s := &source{config: config, logger: logger, onDisk: disk != nil}
	if !config.SpoolDrain {
		var err error
		s.subscriber, err = eventmesh.NewSubscriber(client, eventmesh.Subscription{
			Topics: config.Topics, Mode: eventmesh.Mode(config.Mode), Type: eventmesh.Type(config.Type),
		}, adapter.Transports...)
		if err != nil {
			return nil, err
		}
	}
	if err := s.make(disk); err != nil {
		return nil, errors.Join(err, s.close())
	}
	return s, nil
}

func (s *source) make(disk *dispatch.Disk) (err error) {
	c := s.config
	if s.telemetry, s.metrics, err = newTelemetry(otel.GetMeterProvider(), c, s.connected()); err != nil {
		return fmt.Errorf("creating metrics: %w", err)
	}
	s.dispatcher = dispatch.New(dispatch.Options{
		Workers: c.MaxInFlight, MaxEvents: c.BufferEvents, MaxBytes: c.BufferBytes, Disk: disk,
		Acknowledge: s.acknowledge, Undecodable: delivery.NoEvent, Telemetry: s.telemetry, Logger: s.logger,
	})
	deadLetter, err := s.deadLetter()
	if err != nil {
		return err
	}
	s.lane = s.dispatcher.Lane(dispatch.LaneOptions{
		Name: laneName, Destination: s.overHTTP(c.SinkURL, c.ContentMode, true), DeadLetter: deadLetter, Retries: c.Retries,
		Backoff: dispatch.Exponential(c.BackoffMin, c.BackoffMax), Ordering: c.Ordering, OnReply: s.reply,
	})
	return nil
}

// connected returns what tells whether the source is subscribed, or nil where it should not be.
func (s *source) connected() func() bool {
	if s.subscriber == nil {
		return nil
	}
	return func() bool { return s.subscriber.Ready() == nil }
}

// close ends everything that run does not end.
func (s *source) close() error {
	var errs []error
	if s.subscriber != nil {
		errs = append(errs, s.subscriber.Close())
	}
	if s.metrics != nil {
		errs = append(errs, s.metrics.close(), s.telemetry.Close())
	}
	if s.publisher != nil {
		errs = append(errs, s.publisher.Close())
	}
	for _, destination := range s.https {
		destination.Close()
	}
	return errors.Join(errs...)
}

// acknowledge tells EventMesh that events are safe.
func (s *source) acknowledge(safe []*dispatch.Message) {
	deliveries := make([]*eventmesh.Delivery, len(safe))
	for i, m := range safe {
		deliveries[i] = deliveryOf(m)
	}
	if err := eventmesh.Acknowledge(context.Background(), deliveries...); err != nil {
		s.logger.Debugw("EventMesh may deliver events again", "events", len(safe), zap.Error(err))
	}
}

// endMargin is how long beyond its time-out a shutdown may take, for what should take none.
const endMargin = 2 * time.Second

// errCutOff says that something still runs that does not end.
var errCutOff = errors.New("the shutdown was cut off")

// run moves events until the context ends, or the spool is empty that it should empty, and then drains. However long anything hangs, it
// returns within the time-out for that and a little more, with errCutOff if it has to.
func (s *source) run(ctx context.Context) error {
	s.dispatcher.Start()
	receiving, stopReceiving := context.WithCancel(context.WithoutCancel(ctx))
	defer stopReceiving()
	if s.subscriber != nil {
		s.receiving.Go(func() { s.receive(receiving) })
		<-ctx.Done()
	} else {
		s.empty(ctx)
	}
	s.stopping.Store(true)
	s.logger.Infow("shutting down", "events", s.dispatcher.Status().Events, "timeout", s.config.DrainTimeout.String())
	drain, cancel := context.WithTimeout(context.WithoutCancel(ctx), s.config.DrainTimeout)
	defer cancel()
	ended := make(chan error, 1)
	go func() { ended <- s.end(drain, stopReceiving) }()
	select {
	case err := <-ended:
		return errors.Join(err, s.emptied())
	case <-time.After(s.config.DrainTimeout + endMargin):
		during := s.stage.Load()
		if at := s.dispatcher.Status().Stage; at != "" {
			during = at
		}
		s.logger.Errorw("the shutdown does not end in time, and is cut off", "during", during)
		s.tell()
		return errCutOff
	}
}

// end ends what has been started, in order.
func (s *source) end(drain context.Context, stopReceiving func()) error {
	if s.subscriber != nil {
		s.stage.Store("leaving the group")
		s.leave(drain, stopReceiving)
	}
	s.dispatcher.Drain(drain)
	if s.subscriber != nil {
		s.stage.Store("closing the connection to EventMesh")
		_ = s.subscriber.Close() // deliveries that are not acknowledged come again
	}
	s.stage.Store("receiving")
	stopReceiving()
	s.receiving.Wait()
	s.tell()
	s.stage.Store("closing connections")
	return s.close()
}

// leave leaves the group, and returns when everything that still arrives has been received. What the disk does not accept is
// delivered and acknowledged only afterwards, and then there is no sense in waiting for its acknowledgement, as TCP does.
func (s *source) leave(ctx context.Context, stopReceiving func()) {
	defer context.AfterFunc(ctx, stopReceiving)() // what has left the group may still wait for room
	s.dispatcher.Unbound()
	if s.onDisk {
		most := s.config.DrainTimeout / 2
		if s.dispatcher.Status().Writing != nil {
			most /= 2
		}
		var cancel context.CancelFunc
		ctx, cancel = context.WithTimeout(ctx, most)
		defer cancel()
	}
	var leaving sync.WaitGroup
	leaving.Go(func() {
		if err := s.subscriber.Leave(ctx); err != nil {
			s.logger.Warnw("EventMesh did not let this replica leave its group", zap.Error(err))
			if !errors.Is(err, eventmesh.ErrNotConnected) { // or what is on its way is followed by the end
				stopReceiving()
			}
		}
	})
	s.receiving.Wait()
	leaving.Wait()
}

// tell says, once, what becomes of the events that have not been delivered.
func (s *source) tell() {
	if s.told.Swap(true) {
		return
	}
	status := s.dispatcher.Status()
	lost, left := status.Events, int64(0)
	if s.onDisk {
		lost, left = status.Unsaved, status.Events-status.Unsaved
	}
	if lost > 0 {
		says := "events were not delivered before the deadline, and are lost"
		if s.config.redelivers() {
			says = "events were not delivered before the deadline; EventMesh delivers them again"
		}
		s.logger.Errorw(says, "events", lost)
	}
	switch {
	case left > 0 && errors.Is(status.Writing, dispatch.ErrMoved):
		s.logger.Errorw("events that have not been delivered are in a directory that has been moved or deleted", "events", left, zap.Error(status.Writing))
	case left > 0:
		s.logger.Infow("events that have not been delivered stay in the spool", "events", left)
	case lost == 0:
		s.logger.Info("everything received has been delivered")
	}
	if status.Unremoved > 0 {
		s.logger.Warnw("events that have been delivered could not be removed from the spool, and will be delivered again", "events", status.Unremoved)
	}
}

// ready tells whether events get through: subscribed, and with room for more.
func (s *source) ready() error {
	switch status := s.dispatcher.Status(); {
	case s.stopping.Load():
		return errors.New("shutting down")
	case status.Writing != nil:
		return ofSpool(status.Writing)
	case status.Full:
		return podevents.Because(podevents.BufferFull, errors.New("the buffer is full: the sink accepts events too slowly, or not at all"))
	case s.subscriber == nil:
		return nil
	default:
		return s.subscriber.Ready()
	}
}

// ofSpool returns the error of a disk with its reason.
func ofSpool(err error) error {
	if errors.Is(err, syscall.ENOSPC) || errors.Is(err, syscall.EDQUOT) {
		return podevents.Because(podevents.SpoolFull, err)
	}
	return podevents.Because(podevents.SpoolFailed, err)
}
