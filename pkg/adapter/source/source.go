package source

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"sync/atomic"

	"go.opentelemetry.io/otel"
	"go.uber.org/zap"

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
}

func newSource(config *Config, client eventmesh.Config, spool *spool, logger *zap.SugaredLogger) (s *source, err error) {
	s = &source{config: config, logger: logger, sender: newSender(config, config.SinkURL, logger)}
	s.sender.token = &tokenFile{path: config.TokenFile}
	s.sender.replies = config.Type == Type(eventmesh.Sync)
	wait := backoff{min: config.BackoffMin, max: config.BackoffMax}
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

// run moves events until the context ends, and then drains. It fails with the spool.
func (s *source) run(ctx context.Context) error {
	running, abandon := context.WithCancel(context.WithoutCancel(ctx))
	defer abandon()
	var received, committed sync.WaitGroup
	receiving, stopReceiving := context.WithCancel(running)
	defer stopReceiving()
	received.Go(func() {
		r := receiver{
			subscriber: s.subscriber, buffer: s.buffer, overrides: s.config.Overrides, wrap: s.deliverer.deadLetters != nil,
			metrics: s.metrics, logger: s.logger,
		}
		r.run(receiving)
	})
	delivered := make(chan struct{})
	go func() {
		defer close(delivered)
		s.deliverer.run(running, s.config.MaxInFlight)
	}()
	committing, stopCommitting := context.WithCancel(running)
	defer stopCommitting()
	c := committer{buffer: s.buffer, metrics: s.metrics, logger: s.logger}
	if s.buffer.spool != nil {
		committed.Go(func() { c.run(committing) })
	}

	select {
	case <-ctx.Done():
	case <-delivered: // the spool is damaged
	}
	s.stopping.Store(true)
	s.logger.Infow("shutting down", "events", s.buffer.status().totals.events, "timeout", s.config.DrainTimeout.String())
	drain, cancel := context.WithTimeout(context.WithoutCancel(ctx), s.config.DrainTimeout)
	defer cancel()
	stop := context.AfterFunc(drain, abandon)
	defer stop()
	s.leave(drain, &received, stopReceiving)
	stopCommitting()
	committed.Wait()
	select {
	case <-s.buffer.stop():
	case <-delivered:
	case <-drain.Done():
	}
	abandon()
	_ = s.subscriber.Close() // deliveries that are not acknowledged come again
	received.Wait()
	committed.Wait()
	<-delivered
	if s.buffer.spool != nil {
		c.commit(running) // what has been delivered since, to be forgotten
	}
	s.tell()
	return errors.Join(s.buffer.status().failure, s.close())
}

// leave leaves the group, and returns when everything that still arrives has been received. What the spool does not take is
// delivered and acknowledged only afterwards, and then there is no sense in waiting for its acknowledgement, as TCP does.
func (s *source) leave(ctx context.Context, received *sync.WaitGroup, stopReceiving func()) {
	s.buffer.leave()
	if s.buffer.status().writing != nil {
		var cancel context.CancelFunc
		ctx, cancel = context.WithTimeout(ctx, s.config.DrainTimeout/4)
		defer cancel()
	}
	var leaving sync.WaitGroup
	leaving.Go(func() {
		if err := s.subscriber.Leave(ctx); err != nil {
			s.logger.Warnw("EventMesh did not let this replica leave its group", zap.Error(err))
			stopReceiving()
		}
	})
	received.Wait()
	leaving.Wait()
}

// tell says what becomes of the events that have not been delivered.
func (s *source) tell() {
	status := s.buffer.status()
	lost := status.totals.events
	if s.buffer.spool != nil {
		lost = status.unsaved
	}
	switch {
	case lost > 0:
		s.logger.Errorw("events were not delivered before the deadline, and are lost", "events", lost)
	case status.totals.events > 0:
		s.logger.Infow("events that have not been delivered stay in the spool", "events", status.totals.events)
	default:
		s.logger.Info("everything received has been delivered")
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
