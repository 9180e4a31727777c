package http

import (
	"sync/atomic"
	"time"

	"github.com/eventing-eventmesh/eventing-eventmesh/pkg/eventmesh"
)

const (
	// pollTimeout is how long EventMesh keeps a poll that it has nothing for. It goes on with the polls of those who have ended, and what it
	// answers them comes again 30 s later.
	pollTimeout = 2 * time.Second
	// atOnce has EventMesh answer a poll at once.
	atOnce = -time.Millisecond
	// waited is how long a poll takes at least that has found nothing at first, and less one that has.
	waited = 50 * time.Millisecond
	// unknownPause is the least time between subscribing and doing so again because EventMesh does not know the client.
	unknownPause = 200 * time.Millisecond
	// patience is how long deliveries may wait for their receiver until the subscription ends. In that time EventMesh may take 1,000 more
	// out of its storage, which wait with them, and have to be acknowledged within 3 minutes.
	patience = 2 * time.Second
)

// poller receives the events of one topic for one client.
type poller struct {
	s             *subscriber
	there         atomic.Pointer[session] // where the client is known
	topic, client string
	broadcasting  bool
	ledger        *ledger
	subscriptions
	came  atomic.Int64  // when EventMesh has dispatched the last time that a poll waited for it, in milliseconds
	known chan struct{} // closed when came is known

	// What follows only run uses, until it has ended.
	drained bool      // nothing is left for the client
	singly  time.Time // until then one event is polled for at a time
	told    time.Time // until then nobody need be told again of an event that EventMesh cannot write
	size    int       // of an event in bytes, about
	asked   int       // how many deliveries the last poll asked for
	emptied time.Time // when nothing was left for the client
	brought int       // how many deliveries the last poll brought, those included that are under way already
}

// run polls, and hands over what comes, until the session ends or its member has left.
func (p *poller) run() error {
	p.emptied = time.Now()
	for pause := unknownPause; p.s.ctx.Err() == nil; {
		leaves := p.s.leaves()
		if proceed, err := p.awaitRoom(); err != nil || !proceed {
			return err
		}
		suspended, wait := p.suspended.Load(), pollTimeout
		if suspended || leaves {
			wait = atOnce
		}
		began := time.Now()
		deliveries, err := p.poll(wait)
		p.note(time.Since(began) >= waited)
		for _, d := range deliveries {
			if err == nil {
				err = p.hand(d)
			}
		}
		switch {
		case err != nil:
		case leaves:
			if p.drained = p.brought == 0; p.drained || p.s.late() {
				return nil
			}
		case len(deliveries) > 0 || p.brought > 0:
			pause = unknownPause
		case suspended:
			err = p.proceed(p.s.ctx)
		case time.Since(began) < wait/2: // so it answers who is no client of it
			p.rest(pause)
			pause = min(2*pause, pollTimeout)
			err = p.subscribe(p.s.ctx)
		}
		if err != nil {
			return err
		}
	}
	return nil
}

// note notes what a poll tells of EventMesh: one that found nothing at first, and so has waited, and one that brought all there is.
func (p *poller) note(waited bool) {
	if waited && p.brought > 0 {
		if p.came.Swap(time.Now().UnixMilli()) == 0 {
			close(p.known)
		}
	}
	if waited || p.brought < p.asked {
		p.emptied = time.Now()
	}
}

// awaitRoom waits until more deliveries may come, and returns false when none should any more. Without a subscription all may come that
// EventMesh still has for the client: most of it is under way already.
func (p *poller) awaitRoom() (proceed bool, err error) {
	for !p.suspended.Load() && p.ledger.room() < 1 {
		if p.s.leaves() {
			return false, nil
		}
		select {
		case <-p.ledger.fewer:
		case <-p.s.leaving:
		case <-p.s.ctx.Done():
			return false, nil
		case <-time.After(patience):
			p.ledger.late()
			if err := p.suspend(p.s.ctx); err != nil {
				return false, err
			}
		}
	}
	return true, nil
}

// hand hands a delivery over, unless the session ends before.
func (p *poller) hand(d *eventmesh.Delivery) error {
	timer := time.NewTimer(patience)
	defer timer.Stop()
	if time.Since(p.emptied) > patience { // others wait behind this one
		if err := p.suspend(p.s.ctx); err != nil {
			return err
		}
	}
	for {
		select {
		case p.s.deliveries <- d:
			return nil
		case <-p.s.ctx.Done():
			return nil
		case <-timer.C:
			if err := p.suspend(p.s.ctx); err != nil {
				return err
			}
		}
	}
}

// rest does nothing for a time.
func (p *poller) rest(pause time.Duration) {
	select {
	case <-time.After(pause):
	case <-p.s.leaving:
	case <-p.s.ctx.Done():
	}
}
