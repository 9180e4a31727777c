package source

import (
	"context"
	"errors"
	"math/rand/v2"
	"sync"
	"sync/atomic"
	"time"

	"github.com/cloudevents/sdk-go/v2/event"
	"go.uber.org/zap"
)

// deliverer sends what the buffer keeps.
type deliverer struct {
	buffer *buffer
	send   func(context.Context, event.Event) error
	logger *zap.SugaredLogger

	retries                int
	backoffMin, backoffMax time.Duration

	failing atomic.Bool // the sink did not take the last event, for now
}

// run sends up to n events at once, until the context ends; it then gives up what is under way.
func (d *deliverer) run(ctx context.Context, n int) {
	var workers sync.WaitGroup
	for range n {
		workers.Go(func() {
			for {
				select {
				case k := <-d.buffer.ready:
					d.deliver(ctx, k)
				case <-ctx.Done():
					return
				}
			}
		})
	}
	workers.Wait()
}

// deliver makes one attempt, and decides what becomes of the event.
func (d *deliverer) deliver(ctx context.Context, k *kept) {
	err := d.send(ctx, k.event)
	if err == nil {
		if d.failing.CompareAndSwap(true, false) {
			d.logger.Info("the sink takes events again")
		}
		d.rest(k)
		return
	}
	if ctx.Err() != nil {
		return // given up, and still kept
	}
	k.attempts++
	var rejected *rejection
	final := errors.As(err, &rejected) && rejected.final()
	switch {
	case d.retries >= 0 && (final || k.attempts > d.retries):
		d.logger.Errorw("dropping an event that the sink does not take", append(describe(k), zap.Error(err))...)
		d.rest(k)
		return
	case final && k.attempts == 1:
		d.logger.Errorw("the sink refuses an event; it is kept and tried again", append(describe(k), zap.Error(err))...)
	case !final && d.failing.CompareAndSwap(false, true):
		d.logger.Errorw("the sink does not take events; they are kept and tried again", zap.Error(err))
	}
	d.buffer.later(k, d.wait(k.attempts, rejected, final))
}

// rest acknowledges an event that is out of our hands, and forgets it.
func (d *deliverer) rest(k *kept) {
	if err := k.delivery.Ack(); err != nil {
		d.logger.Debugw("EventMesh may deliver an event again", append(describe(k), zap.Error(err))...)
	}
	d.buffer.release(k)
}

// wait returns the time to the next attempt: a random one below a ceiling that doubles with each, and no less than the sink has
// asked for. What the sink refuses for good has only a change of the sink to wait for.
func (d *deliverer) wait(attempts int, rejected *rejection, final bool) time.Duration {
	ceiling := d.backoffMax
	if doubled := d.backoffMin << min(attempts-1, 20); !final && doubled > 0 && doubled < ceiling {
		ceiling = doubled
	}
	wait := rand.N(ceiling) + 1 //nolint:gosec // not a secret
	if rejected != nil {
		wait = max(wait, min(rejected.retryAfter, d.backoffMax))
	}
	return wait
}

// describe names an event in a log: never its data.
func describe(k *kept) []any {
	return []any{
		"id", k.event.ID(), "source", k.event.Source(), "type", k.event.Type(), "topic", k.delivery.Topic, "attempts", k.attempts,
	}
}
