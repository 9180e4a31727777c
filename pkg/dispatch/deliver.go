package dispatch

import (
	"context"
	"errors"
	"fmt"
	"time"

	"go.uber.org/zap"
)

var (
	errUndecodable   = errors.New("it is not an event")
	errNoDeadLetters = errors.New("there is no place for dead letters any more")
)

// deliver makes one attempt, and decides what becomes of the event. When the context ends meanwhile the event is still kept.
func (l *Lane) deliver(ctx context.Context, it *item) {
	o := l.options() // as it is now, to the end of the attempt
	if o.Paused {    // since the event was chosen
		l.dispatcher.settle(it, fate{verdict: verdict{silent: true}, step: stepAgain}, nil)
		return
	}
	if it.unreadable != nil && o.DeadLetter == nil {
		l.dispatcher.setAside(it)
		return
	}
	if l.overflow && it.givenUp == nil && !it.undecodable {
		it.givenUp = &givenUp{reason: reasonFull, failure: errFull}
	}
	var f fate
	var failure error
	switch {
	case it.givenUp != nil && o.DeadLetter == nil: // any more
		f = o.policy().givesUp(verdict{silent: true}, it.givenUp.reason)
		failure = fmt.Errorf("%w, after: %w", errNoDeadLetters, it.givenUp.failure)
	case it.givenUp != nil:
		failure = o.bury(ctx, it)
		f = o.policy().deadFate(it.givenUp.reason, failure)
	case it.undecodable: // without a place for dead letters none is kept, but one may be on disk
		failure = errUndecodable
		f = o.policy().givesUp(verdict{silent: true, final: true}, ReasonUndecodable)
	default:
		if failure = l.attempt(ctx, o, it); failure != nil && !judge(failure).unmade {
			it.attempts++
		}
		f = o.policy().fate(it.attempts, failure)
	}
	if failure != nil && ctx.Err() != nil {
		return
	}
	l.report(it, f, failure)
	l.dispatcher.settle(it, f, failure)
}

// attempt sends the event to its destination once.
func (l *Lane) attempt(ctx context.Context, o *LaneOptions, it *item) error {
	m := l.dispatcher.options.Telemetry
	ctx, span := m.startSpan(ctx, &it.event, it.topic, it.attempts)
	began := time.Now()
	answer, err := o.Destination.Send(ctx, it.event)
	if !judge(err).unmade {
		if it.attempts > 0 || it.seq <= l.dispatcher.before {
			m.redelivered(it)
		}
		m.requested(answer.Status, time.Since(began))
	}
	endSpan(span, err)
	if err == nil && o.OnReply != nil && (answer.Reply != nil || answer.Invalid != nil) {
		message := it.message
		if message == nil {
			message = &Message{Event: it.event, Topic: it.topic, Received: it.received}
		}
		err = o.OnReply(ctx, message, answer)
	}
	return err
}

// bury sends the event to the place for dead letters once.
func (o *LaneOptions) bury(ctx context.Context, it *item) error {
	letter := it.event
	if !it.undecodable {
		letter = deadLetter(it.event, o.Destination.String(), it.givenUp.failure)
	}
	_, err := o.DeadLetter.Send(ctx, letter)
	return err
}

// reportChange logs that a place accepts events again, or does not any more.
func (l *Lane) reportChange(it *item, f fate, failure error) {
	logger, dead := l.logger, it.givenUp != nil
	switch {
	case dead && f.step == stepRest && l.deadFailing.Swap(false):
		logger.Info("the place for dead letters accepts them again")
	case dead && f.step == stepAgain && !f.silent && !l.deadFailing.Swap(true):
		logger.Errorw("the place for dead letters does not accept them; they are kept and tried again", append(it.describe(), zap.Error(failure))...)
	case !dead && f.away && !l.failing.Swap(true):
		logger.Errorw("the sink does not accept events; they are kept and tried again", zap.Error(failure))
	case !dead && !f.away && !f.silent && l.failing.Swap(false):
		logger.Info("the sink answers again")
	}
}

// report counts and logs what became of an attempt.
func (l *Lane) report(it *item, f fate, failure error) {
	l.reportChange(it, f, failure)
	m, logger, dead := l.dispatcher.options.Telemetry, l.logger, it.givenUp != nil
	switch f.step {
	case stepRest:
		if !dead {
			m.delivered(it)
			return
		}
		logger.Warnw("an event became a dead letter", append(it.describe(), "reason", f.reason, zap.Error(it.givenUp.failure))...)
		m.deadLettered(it, f.reason)
	case stepDrop:
		if dead && !errors.Is(failure, errNoDeadLetters) {
			failure = fmt.Errorf("the place for dead letters refuses it: %w, after: %w", failure, it.givenUp.failure)
		}
		logger.Errorw("dropping an event that the sink does not accept", append(it.describe(), "reason", f.reason, zap.Error(failure))...)
		m.dropped(it, f.reason)
	case stepAgain:
		if !dead && !f.away && !f.silent && it.attempts == 1 {
			l.sampled.Errorw("the sink refuses an event; it is kept and tried again", append(it.describe(), zap.Error(failure))...)
		}
	case stepGiveUp:
	}
}
