package source

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"sync/atomic"
	"time"

	"github.com/cloudevents/sdk-go/v2/event"
	"go.uber.org/zap"

	"github.com/eventing-eventmesh/eventing-eventmesh/internal/backoff"
)

// deliverer sends what the buffer keeps.
type deliverer struct {
	buffer *buffer
	send   func(context.Context, event.Event) (answer, error)
	sink   SinkURL
	// deadLetters is nil where there is no place for them.
	deadLetters deadLetters
	retries     int
	backoff     backoff.Exponential
	metrics     *metrics
	logger      *zap.SugaredLogger
	refusals    *zap.SugaredLogger // of which there may be many

	failing     atomic.Bool // the sink is away, by the last attempt
	deadFailing atomic.Bool // the place for dead letters did not take the last one
}

// givenUp is an event's way to the place of dead letters.
type givenUp struct {
	reason   string
	failure  error
	attempts int // to bring it there
}

// run sends up to n events at once, until the context ends or the buffer hands out no more; in the former case it gives up what is
// under way.
func (d *deliverer) run(ctx context.Context, n int) {
	defer d.buffer.serve(ctx, n)()
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
	switch {
	case k.givenUp != nil:
		d.bury(ctx, k)
		return
	case k.undecodable: // without a place for dead letters none is kept, but one may be in the spool
		d.giveUp(ctx, k, reasonUndecodable, errNoEvent)
		return
	}
	failure := d.attempt(ctx, k)
	if failure != nil && ctx.Err() != nil {
		return
	}
	v := judge(failure)
	d.buffer.heard(k, v)
	if !v.away && !v.silent && d.failing.Swap(false) {
		d.logger.Info("the sink answers again")
	}
	if failure == nil {
		d.metrics.delivered(k.topic)
		d.rest(ctx, k, true)
		return
	}
	d.refused(ctx, k, v, failure)
}

var errNoEvent = errors.New("it is no event")

// refused decides what becomes of an event that the sink did not take.
func (d *deliverer) refused(ctx context.Context, k *kept, v verdict, failure error) {
	k.attempts++
	if v.away && !d.failing.Swap(true) {
		d.logger.Errorw("the sink does not take events; they are kept and tried again", zap.Error(failure))
	}
	switch {
	case v.final && (d.deadLetters != nil || d.retries >= 0):
		d.giveUp(ctx, k, reasonRejected, failure)
	case d.retries >= 0 && k.attempts > d.retries:
		d.giveUp(ctx, k, reasonRetries, failure)
	default:
		if !v.away && k.attempts == 1 {
			d.refusals.Errorw("the sink refuses an event; it is kept and tried again", append(describe(k), zap.Error(failure))...)
		}
		d.buffer.again(k, v.wait(d.backoff, k.attempts))
	}
}

// giveUp gives an event to the dead letters, where there is a place for them, and else drops it.
func (d *deliverer) giveUp(ctx context.Context, k *kept, reason string, failure error) {
	if d.deadLetters == nil {
		d.drop(ctx, k, reason, failure)
		return
	}
	k.givenUp = &givenUp{reason: reason, failure: failure}
	d.buffer.again(k, 0)
}

// bury brings an event to the place of dead letters. Where that does not take it, the event is kept for another attempt: only one that
// it refuses for good is dropped, and only where retries have an end.
func (d *deliverer) bury(ctx context.Context, k *kept) {
	letter := k.event
	if !k.undecodable {
		letter = deadLetter(k.event, d.sink.URL, k.givenUp.failure)
	}
	failure := d.deadLetters.take(ctx, letter)
	if failure != nil && ctx.Err() != nil {
		return
	}
	v := judge(failure)
	d.buffer.heard(k, v)
	switch {
	case failure == nil:
		if d.deadFailing.Swap(false) {
			d.logger.Info("the place for dead letters takes them again")
		}
		d.logger.Warnw("an event became a dead letter", append(describe(k), "reason", k.givenUp.reason, zap.Error(k.givenUp.failure))...)
		d.metrics.deadLettered(k.topic, k.givenUp.reason)
		d.rest(ctx, k, false)
	case v.final && d.retries >= 0:
		d.drop(ctx, k, k.givenUp.reason, fmt.Errorf("the place for dead letters refuses it: %w, after: %w", failure, k.givenUp.failure))
	default:
		if !d.deadFailing.Swap(true) {
			d.logger.Errorw("the place for dead letters does not take them; they are kept and tried again", append(describe(k), zap.Error(failure))...)
		}
		k.givenUp.attempts++
		d.buffer.again(k, v.wait(d.backoff, k.givenUp.attempts))
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
	d.metrics.requested(answer.status, time.Since(began))
	endSpan(span, err)
	if err == nil {
		d.reply(ctx, k, answer)
	}
	return err
}

// reply sends the reply in an answer back to the requester, or why it cannot be sent back. Where that fails as well there is nobody
// any more who waits for it.
func (d *deliverer) reply(ctx context.Context, k *kept, answer answer) {
	if answer.reply == nil && answer.invalid == nil {
		return
	}
	err := answer.invalid
	if err == nil {
		err = k.delivery.Reply(ctx, *answer.reply)
	}
	d.metrics.replied(err == nil)
	if answer.invalid != nil || isOfEvent(err) {
		d.logger.Warnw("a reply cannot be sent back; its requester is told why", append(describe(k), zap.Error(err))...)
		err = k.delivery.ReplyInvalid(ctx, err)
	}
	if err != nil {
		d.logger.Warnw("a reply does not reach its requester", append(describe(k), zap.Error(err))...)
	}
}

// drop gives an event up.
func (d *deliverer) drop(ctx context.Context, k *kept, reason string, failure error) {
	d.logger.Errorw("dropping an event that the sink does not take", append(describe(k), "reason", reason, zap.Error(failure))...)
	d.metrics.dropped(k.topic, reason)
	d.rest(ctx, k, false)
}

// rest acknowledges an event that is out of our hands, be it with the sink, and forgets it.
func (d *deliverer) rest(ctx context.Context, k *kept, taken bool) {
	if k.delivery != nil {
		ctx, cancel := acknowledging(ctx)
		defer cancel()
		if err := k.delivery.Ack(ctx); err != nil {
			d.logger.Debugw("EventMesh may deliver an event again", append(describe(k), zap.Error(err))...)
		}
	}
	d.buffer.release(k, taken)
}

// describe names an event in a log: never its data.
func describe(k *kept) []any {
	return []any{
		"id", k.event.ID(), "source", k.event.Source(), "type", k.event.Type(), "topic", k.topic, "attempts", k.attempts,
	}
}
