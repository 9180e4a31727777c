package source

import (
	"context"
	"errors"
	"sync"
	"sync/atomic"
	"time"

	"github.com/cloudevents/sdk-go/v2/event"
	"go.uber.org/zap"
)

// deliverer sends what the buffer keeps.
type deliverer struct {
	buffer *buffer
	send   func(context.Context, event.Event) (answer, error)
	sink   SinkURL
	// deadLetters is nil where there is no place for them.
	deadLetters deadLetters
	retries     int
	backoff     backoff
	metrics     *metrics
	logger      *zap.SugaredLogger

	failing     atomic.Bool // the sink did not take the last event, for now
	deadFailing atomic.Bool // the place for dead letters did not take the last one
}

// run sends up to n events at once, until the context ends or the buffer hands out no more; in the former case it gives up what is
// under way.
func (d *deliverer) run(ctx context.Context, n int) {
	defer d.buffer.watch(ctx)()
	var workers sync.WaitGroup
	for range n {
		workers.Go(func() {
			for k := d.buffer.next(ctx); k != nil; k = d.buffer.next(ctx) {
				d.deliver(ctx, k)
			}
		})
	}
	workers.Wait()
}

// deliver makes one attempt, and decides what becomes of the event. When the context ends meanwhile the event is still kept.
func (d *deliverer) deliver(ctx context.Context, k *kept) {
	if k.undecodable {
		d.discard(ctx, k)
		return
	}
	switch failure := d.attempt(ctx, k); {
	case failure == nil:
		if d.failing.Swap(false) {
			d.logger.Info("the sink takes events again")
		}
		d.buffer.succeeded()
		d.metrics.delivered(k.topic)
		d.rest(k)
	case ctx.Err() == nil:
		d.refused(ctx, k, failure)
	}
}

// refused decides what becomes of an event that the sink did not take.
func (d *deliverer) refused(ctx context.Context, k *kept, failure error) {
	k.attempts++
	var rejected *rejection
	final := errors.As(failure, &rejected) && rejected.final()
	exhausted := d.retries >= 0 && k.attempts > d.retries
	if !final && !d.failing.Swap(true) && !exhausted {
		d.logger.Errorw("the sink does not take events; they are kept and tried again", zap.Error(failure))
	}
	reason := reasonRetries
	if final {
		reason = reasonRejected
	}
	switch {
	case (final || exhausted) && d.deadLetters != nil:
		if d.bury(ctx, k, deadLetter(k.event, d.sink.URL, failure), reason, failure) {
			d.judge(k, final, rejected)
			d.rest(k)
		}
	case final && d.retries >= 0, exhausted:
		d.judge(k, final, rejected)
		d.drop(k, reason, failure)
	default:
		if final && k.attempts == 1 {
			d.logger.Errorw("the sink refuses an event; it is kept and tried again", append(describe(k), zap.Error(failure))...)
		}
		d.judge(k, false, rejected)
		d.later(k, rejected, final)
	}
}

// discard gives what is no event to the dead letters. A source without a place for them keeps none, but may find one in its spool.
func (d *deliverer) discard(ctx context.Context, k *kept) {
	switch failure := errors.New("it is no event"); {
	case d.deadLetters == nil:
		d.drop(k, reasonUndecodable, failure)
	case d.bury(ctx, k, k.event, reasonUndecodable, failure):
		d.rest(k)
	}
}

// attempt sends the event once.
func (d *deliverer) attempt(ctx context.Context, k *kept) error {
	again := k.attempts > 0 || k.seq <= d.buffer.before
	if again {
		d.metrics.redelivered(k.topic)
	}
	ctx, span := startSpan(ctx, &k.event, k.topic, k.attempts)
	began := time.Now()
	answer, err := d.send(ctx, k.event)
	var invalid *invalidReplyError
	if errors.As(err, &invalid) {
		d.metrics.replied(false)
		d.logger.Warnw("the sink answered a request with what is no event; there is no reply", append(describe(k), zap.Error(err))...)
		err = nil
	}
	d.metrics.requested(answer.status, time.Since(began))
	endSpan(span, err)
	if err == nil && answer.reply != nil {
		d.reply(ctx, k, *answer.reply)
	}
	return err
}

// reply sends a reply back to the requester. Where that fails there is nobody any more who waits for it.
func (d *deliverer) reply(ctx context.Context, k *kept, reply event.Event) {
	err := k.delivery.Reply(ctx, reply)
	d.metrics.replied(err == nil)
	if err != nil {
		d.logger.Warnw("a reply does not reach its requester", append(describe(k), zap.Error(err))...)
	}
}

// bury gives an event to the dead letters, and tells whether they took it. If not it is kept for another attempt.
func (d *deliverer) bury(ctx context.Context, k *kept, e event.Event, reason string, failure error) bool {
	if err := d.deadLetters.take(ctx, e); err != nil {
		if ctx.Err() != nil {
			return false
		}
		if d.deadFailing.CompareAndSwap(false, true) {
			d.logger.Errorw("the place for dead letters does not take them; they are kept and tried again", append(describe(k), zap.Error(err))...)
		}
		if k.undecodable {
			k.attempts++
		}
		d.buffer.failed(k, 0)
		d.later(k, nil, true)
		return false
	}
	if d.deadFailing.CompareAndSwap(true, false) {
		d.logger.Info("the place for dead letters takes them again")
	}
	d.logger.Warnw("an event became a dead letter", append(describe(k), "reason", reason, zap.Error(failure))...)
	d.metrics.deadLettered(k.topic, reason)
	return true
}

// drop gives an event up.
func (d *deliverer) drop(k *kept, reason string, failure error) {
	d.logger.Errorw("dropping an event that the sink does not take", append(describe(k), "reason", reason, zap.Error(failure))...)
	d.metrics.dropped(k.topic, reason)
	d.rest(k)
}

// judge tells the circuit what an answer says of the sink: alive, when it refused just this event.
func (d *deliverer) judge(k *kept, alive bool, rejected *rejection) {
	switch {
	case alive:
		d.buffer.succeeded()
	case rejected != nil:
		d.buffer.failed(k, rejected.retryAfter)
	default:
		d.buffer.failed(k, 0)
	}
}

// later keeps the event for another attempt. What the sink refuses for good has only a change of the sink to wait for.
func (d *deliverer) later(k *kept, rejected *rejection, final bool) {
	attempts, retryAfter := k.attempts, time.Duration(0)
	if final {
		attempts = manyAttempts
	}
	if rejected != nil {
		retryAfter = rejected.retryAfter
	}
	d.buffer.again(k, d.backoff.wait(attempts, retryAfter))
}

// manyAttempts stands for a wait up to the largest ceiling.
const manyAttempts = 1 << 20

// rest acknowledges an event that is out of our hands, and forgets it.
func (d *deliverer) rest(k *kept) {
	if k.delivery != nil {
		if err := k.delivery.Ack(); err != nil {
			d.logger.Debugw("EventMesh may deliver an event again", append(describe(k), zap.Error(err))...)
		}
	}
	d.buffer.release(k)
}

// describe names an event in a log: never its data.
func describe(k *kept) []any {
	return []any{
		"id", k.event.ID(), "source", k.event.Source(), "type", k.event.Type(), "topic", k.topic, "attempts", k.attempts,
	}
}
