package source

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"sync/atomic"
	"time"

	"go.opentelemetry.io/otel"
	"go.uber.org/zap"

	"github.com/eventing-eventmesh/eventing-eventmesh/internal/backoff"
	"github.com/eventing-eventmesh/eventing-eventmesh/pkg/adapter"
	"github.com/eventing-eventmesh/eventing-eventmesh/pkg/eventmesh"
)

// source is the way of an event, put together.
type source struct {
	config     *Config
	logger     *zap.SugaredLogger
	subscriber *eventmesh.Subscriber
	buffer     *buffer
	deliverer  *deliverer
	metrics    *metrics
	publisher  *eventmesh.Publisher // of dead letters, or nil
	sender     *sender
	stopping   atomic.Bool
	stage      atomic.Value // of the shutdown, for the log
	told       atomic.Bool
}

func newSource(config *Config, client eventmesh.Config, spool *spool, logger *zap.SugaredLogger) (s *source, err error) {
	s = &source{config: config, logger: logger, sender: newSender(config, config.SinkURL, logger)}
	s.sender.token = &tokenFile{path: config.TokenFile}
	s.sender.replies = config.Type == Type(eventmesh.Sync)
	wait := backoff.Exponential{Min: config.BackoffMin, Max: config.BackoffMax}
	s.buffer = newBuffer(config.BufferEvents, config.BufferBytes, config.Ordering, wait, spool)
	s.buffer.budget = newBudget(config.Retries)
	places, err := s.deadLetters()
	if err != nil {
		return nil, err
	}
	s.buffer.buries = places != nil
	s.buffer.tell = s.unreadable
	if spool != nil {
		spool.stalled = s.stalled
	}
	s.deliverer = &deliverer{
		buffer: s.buffer, send: s.sender.send, sink: config.SinkURL, deadLetters: places, retries: config.Retries, backoff: wait,
		logger: logger, refusals: adapter.Sampled(logger),
	}
	s.subscriber, err = eventmesh.NewSubscriber(client, eventmesh.Subscription{
		Topics: config.Topics, Mode: eventmesh.Mode(config.Mode), Type: eventmesh.Type(config.Type),
	}, adapter.Transports...)
	if err != nil {
		return nil, errors.Join(err, s.close())
	}
	if s.metrics, err = newMetrics(otel.GetMeterProvider(), config.Group, s.state); err != nil {
		return nil, errors.Join(fmt.Errorf("creating metrics: %w", err), s.subscriber.Close(), s.close())
	}
	s.metrics.expect(config.Topics...)
	s.deliverer.metrics = s.metrics
	return s, nil
}

// deadLetters returns the place for dead letters, and nil where there is none.
func (s *source) deadLetters() (deadLetters, error) {
	switch c := s.config; {
	case c.DeadLetterSink.URL != nil:
		return newDeadLetterSink(c, s.logger.With("for", "dead letters")), nil
	case c.DeadLetterTopic != "":
		client, err := c.ClientConfig(c.Group, s.logger.With("for", "dead letters"))
		if err != nil {
			return nil, err
		}
		s.publisher, err = eventmesh.NewPublisher(client, adapter.Transports...)
		return deadLetterTopic{publisher: s.publisher, topic: c.DeadLetterTopic, timeout: s.sender.timeout}, err
	default:
		return nil, nil
	}
}

// close ends everything that run does not end.
func (s *source) close() error {
	var errs []error
	if s.metrics != nil {
		errs = append(errs, s.metrics.close())
	}
	if s.publisher != nil {
		errs = append(errs, s.publisher.Close())
	}
	s.sender.close()
	if place, ok := s.deliverer.deadLetters.(deadLetterSink); ok {
		place.close()
	}
	return errors.Join(errs...)
}

// endMargin is how long beyond its time-out a shutdown may take, for what should take none.
const endMargin = 2 * time.Second

// errCutOff says that something still runs that does not end.
var errCutOff = errors.New("the shutdown was cut off")

// work is what a source does at once.
type work struct {
	received, committed                    sync.WaitGroup
	delivered                              chan struct{}
	committer                              committer
	stopReceiving, stopCommitting, abandon context.CancelFunc
}

// run moves events until the context ends, and then drains. It fails with the spool. However long anything hangs, it returns within
// the time-out for that and a little more, with errCutOff if it has to.
func (s *source) run(ctx context.Context) error {
	w := s.start(context.WithoutCancel(ctx))
	defer w.abandon()
	select {
	case <-ctx.Done():
	case <-w.delivered: // the spool is damaged
	}
	s.stopping.Store(true)
	s.logger.Infow("shutting down", "events", s.buffer.status().totals.events, "timeout", s.config.DrainTimeout.String())
	drain, cancel := context.WithTimeout(context.WithoutCancel(ctx), s.config.DrainTimeout)
	defer cancel()
	stop := context.AfterFunc(drain, w.abandon)
	defer stop()
	ended := make(chan error, 1)
	go func() { ended <- s.end(drain, w) }()
	select {
	case err := <-ended:
		return err
	case <-time.After(s.config.DrainTimeout + endMargin):
		s.logger.Errorw("the shutdown does not end in time, and is cut off", "during", s.stage.Load())
		s.tell()
		return errCutOff
	}
}

func (s *source) start(ctx context.Context) *work {
	w := &work{
		delivered: make(chan struct{}),
		committer: committer{buffer: s.buffer, metrics: s.metrics, logger: s.logger},
	}
	ctx, w.abandon = context.WithCancel(ctx)
	receiving, stopReceiving := context.WithCancel(ctx)
	committing, stopCommitting := context.WithCancel(ctx)
	w.stopReceiving, w.stopCommitting = stopReceiving, stopCommitting
	w.received.Go(func() {
		r := receiver{
			subscriber: s.subscriber, buffer: s.buffer, overrides: s.config.Overrides, wrap: s.deliverer.deadLetters != nil,
			metrics: s.metrics, logger: s.logger,
		}
		r.run(receiving)
	})
	go func() {
		defer close(w.delivered)
		s.deliverer.run(ctx, s.config.MaxInFlight)
	}()
	if s.buffer.spool != nil {
		w.committed.Go(func() { w.committer.run(committing) })
	}
	return w
}

// end ends what has been started, in order.
func (s *source) end(drain context.Context, w *work) error {
	s.stage.Store("leaving the group")
	s.leave(drain, w)
	w.stopCommitting()
	s.stage.Store("writing the spool")
	wait(drain, s.config.DrainTimeout/4, &w.committed) // a disk that hangs keeps no event from the sink
	s.stage.Store("delivering")
	select {
	case <-s.buffer.stop():
	case <-w.delivered:
	case <-drain.Done():
	}
	w.abandon()
	s.stage.Store("closing the connection to EventMesh")
	_ = s.subscriber.Close() // deliveries that are not acknowledged come again
	s.stage.Store("receiving")
	w.received.Wait()
	s.stage.Store("a request to the sink")
	<-w.delivered
	s.stage.Store("writing the spool")
	w.committed.Wait()
	if s.buffer.spool != nil {
		w.committer.commit(drain) // what has been delivered since, to be forgotten
	}
	s.tell()
	s.stage.Store("closing connections")
	return errors.Join(s.buffer.status().failure, s.close())
}

// wait waits for a group, for no longer than that, or until the context ends.
func wait(ctx context.Context, most time.Duration, group *sync.WaitGroup) {
	ctx, cancel := context.WithTimeout(ctx, most)
	defer cancel()
	done := make(chan struct{})
	go func() {
		defer close(done)
		group.Wait()
	}()
	select {
	case <-done:
	case <-ctx.Done():
	}
}

// leave leaves the group, and returns when everything that still arrives has been received. What the spool does not take is
// delivered and acknowledged only afterwards, and then there is no sense in waiting for its acknowledgement, as TCP does.
func (s *source) leave(ctx context.Context, w *work) {
	s.buffer.leave()
	if s.buffer.spool != nil {
		most := s.config.DrainTimeout / 2
		if s.buffer.status().writing != nil {
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
			w.stopReceiving()
		}
	})
	w.received.Wait()
	leaving.Wait()
}

// tell says, once, what becomes of the events that have not been delivered.
func (s *source) tell() {
	if s.told.Swap(true) {
		return
	}
	status := s.buffer.status()
	lost, left := status.totals.events, int64(0)
	if s.buffer.spool != nil {
		lost, left = status.unsaved, status.totals.events-status.unsaved
	}
	if lost > 0 {
		s.logger.Errorw("events were not delivered before the deadline, and are lost", "events", lost)
	}
	switch {
	case left > 0 && errors.Is(status.writing, errMoved):
		s.logger.Errorw("events that have not been delivered are in a file that has been moved or deleted", "events", left, zap.Error(status.writing))
	case left > 0:
		s.logger.Infow("events that have not been delivered stay in the spool", "events", left)
	case lost == 0:
		s.logger.Info("everything received has been delivered")
	}
	if status.forgotten > 0 {
		s.logger.Warnw("events that have been delivered could not be removed from the spool, and will be delivered again", "events", status.forgotten)
	}
}

// stalled tells of a disk that does not answer.
func (s *source) stalled(now bool) {
	if now {
		s.logger.Errorw("the disk of the spool hangs: nothing more is received until it answers", "file", s.buffer.spool.path, "after", stallAfter.String())
	} else {
		s.logger.Infow("the disk of the spool answers again", "file", s.buffer.spool.path)
	}
}

// unreadable tells of a record of the spool that cannot be read.
func (s *source) unreadable(k *kept) {
	becomes := "is set aside in the file"
	if s.buffer.buries {
		becomes = "becomes a dead letter"
	}
	s.logger.Errorw("a record of the spool cannot be read; it "+becomes, "file", s.buffer.spool.path, "record", k.seq, "topic", k.topic,
		"bytes", len(k.record), zap.Error(k.unreadable))
}

// ready tells whether events get through: subscribed, and with room for more.
func (s *source) ready() error {
	switch status := s.buffer.status(); {
	case s.stopping.Load():
		return errors.New("shutting down")
	case status.writing != nil:
		return status.writing
	case status.full:
		return errors.New("the buffer is full: the sink takes events too slowly, or not at all")
	default:
		return s.subscriber.Ready()
	}
}

// state is for the metrics.
func (s *source) state() state {
	status := s.buffer.status()
	return state{
		events: status.totals.events, bytes: status.totals.bytes, maxEvents: s.config.BufferEvents, maxBytes: s.config.BufferBytes,
		oldest: status.oldest, inFlight: status.inFlight, connected: s.subscriber.Ready() == nil,
		sinkAvailable: !s.deliverer.failing.Load(), spoolWritable: status.writing == nil, unreadable: status.aside,
	}
}
