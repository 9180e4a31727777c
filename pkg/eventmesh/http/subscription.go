package http

import (
	"context"
	"errors"
	"fmt"
	"sync/atomic"
	"time"
)

const (
	// renewAfter is how long a subscription lasts before the next one is made beside it. EventMesh ends each 90 s after it was made.
	renewAfter = 15 * time.Second
	// overdue is how long a subscription lasts at most while no other can be made. Then it ends before EventMesh ends it, with its session.
	overdue = 45 * time.Second
	// round is the time from one look of EventMesh into its storage to the next, and dispatching how long it may then be at what it has found.
	round, dispatching = 200 * time.Millisecond, 100 * time.Millisecond
	// margin is the end of a round in which no request is made that has to be through before the next one begins.
	margin = 80 * time.Millisecond
	// deadLetters ends the names of the topics to which EventMesh moves what it has delivered in vain.
	deadLetters = "_DLQ"
)

// subscriptions are those of a poller's client. EventMesh has each beside the others. While there is none it leaves events in its storage,
// but for those that it is about to dispatch: they are lost.
type subscriptions struct {
	requests  chan struct{} // holds a value while some are made
	last      time.Time     // when the last one was made
	suspended atomic.Bool   // there is none, until what has come is dealt with
	left      bool          // there will be none
}

// subscription is the body of a request to subscribe or unsubscribe.
type subscription struct {
	Client string `json:"clientId"`
	Topic  string `json:"topic,omitempty"`
	Mode   string `json:"mode,omitempty"`
}

// lock lets nobody else make requests until unlock, and fails when the context ends before it can.
func (s *subscriptions) lock(ctx context.Context) error {
	select {
	case s.requests <- struct{}{}:
		return nil
	case <-ctx.Done():
		return fmt.Errorf("another request for the subscription is under way: %w", ctx.Err())
	}
}

func (s *subscriptions) unlock() { <-s.requests }

// subscribe makes a subscription, unless the member has left.
func (p *poller) subscribe(ctx context.Context) error {
	if err := p.lock(ctx); err != nil {
		return err
	}
	defer p.unlock()
	return p.add(ctx)
}

// add does so. The requests are locked.
func (p *poller) add(ctx context.Context) error {
	if p.left {
		return nil
	}
	mode := "LOAD_BALANCE"
	if p.broadcasting {
		mode = "BROADCAST"
	}
	a, err := p.there.Load().postJSON(ctx, pathSubscribe, subscription{p.client, p.topic, mode})
	if err != nil {
		return fmt.Errorf("subscribing to topic %s: %w", p.topic, err)
	}
	if instance, ok := a.member("instanceUrl"); ok {
		p.there.Store(p.s.at(instance))
	}
	p.suspended.Store(false)
	p.last = time.Now()
	return nil
}

// remove ends all subscriptions of the client, whoever of the group has made them: EventMesh ends one at a time, and which is by chance.
// Other members make theirs again. It does so while nothing is likely to be dispatched. The requests are locked.
func (p *poller) remove(ctx context.Context) error {
	for {
		p.awaitQuiet() // for it may be the last one
		a, err := p.there.Load().postJSON(ctx, pathUnsubscribe, subscription{Client: p.client, Topic: p.topic})
		if err != nil {
			return fmt.Errorf("unsubscribing from topic %s: %w", p.topic, err)
		}
		if removed, _ := a.member("removed"); removed != "true" {
			return nil
		}
	}
}

// renew makes another subscription before those that there are end. Where it cannot, it ends them in time: the session may still receive.
func (p *poller) renew(ctx context.Context) error {
	if err := p.lock(ctx); err != nil {
		return err
	}
	defer p.unlock()
	switch {
	case p.left:
		return nil
	case p.suspended.Load():
		return p.s.alive(ctx)
	case time.Since(p.last) < renewAfter:
		return nil
	}
	err := p.add(ctx)
	if err != nil && time.Since(p.last) > overdue {
		err = errors.Join(err, p.end(p.s.ctx)) //nolint:contextcheck // the other one may be over
		p.s.fail(err)
	}
	return err
}

// suspend ends the subscriptions until what has come is dealt with.
func (p *poller) suspend(ctx context.Context) error {
	if err := p.lock(ctx); err != nil {
		return err
	}
	defer p.unlock()
	if p.left || p.suspended.Load() {
		return nil
	}
	return p.end(ctx)
}

// end ends the subscriptions. The requests are locked.
func (p *poller) end(ctx context.Context) error {
	p.suspended.Store(true)
	return p.remove(ctx)
}

// proceed makes a subscription again after those that were suspended, when all that came before is dealt with. It does not wait for that
// for long: what EventMesh delivers again fills the client's buffer, and a client whose buffer is full gets nothing more for good.
func (p *poller) proceed(ctx context.Context) error {
	soon, cancel := context.WithTimeout(ctx, pollTimeout)
	defer cancel()
	if !p.ledger.awaitNone(soon, p.s.leaving) {
		p.ledger.late()
		return nil
	}
	p.emptied = time.Now()
	return p.subscribe(ctx)
}

// leave ends the subscriptions for good.
func (p *poller) leave(ctx context.Context) error {
	if err := p.lock(ctx); err != nil {
		return err
	}
	defer p.unlock()
	p.left = true
	if p.suspended.Load() {
		return nil
	}
	return p.remove(ctx)
}

// forget has EventMesh forget the client, once nothing is left for it. Other members notice, and subscribe again.
func (p *poller) forget(ctx context.Context) error {
	if _, err := p.there.Load().postJSON(ctx, pathUnsubscribe, subscription{Client: p.client}); err != nil {
		return fmt.Errorf("unsubscribing from topic %s: %w", p.topic, err)
	}
	return nil
}

// awaitQuiet waits for a time at which EventMesh is not likely to dispatch, going by when it has done so.
func (p *poller) awaitQuiet() {
	came := p.came.Load()
	if came == 0 {
		return
	}
	since := time.Since(time.UnixMilli(came)) % round
	if since >= dispatching && since < round-margin {
		return
	}
	select {
	case <-time.After((dispatching + round - since) % round):
	case <-p.s.ctx.Done():
	}
}

// awaitDispatch waits until it is known when EventMesh dispatches, while polls are made that wait for it. Where that does not come out in two
// rounds there is nothing to dispatch.
func (p *poller) awaitDispatch(ctx context.Context) {
	select {
	case <-p.known:
	case <-ctx.Done():
	case <-p.s.ctx.Done():
	}
}
