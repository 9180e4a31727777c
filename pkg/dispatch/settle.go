package dispatch

import "time"

// settle does what was decided of an item that has been attempted.
func (d *Dispatcher) settle(it *item, f fate, failure error) {
	var safe *Message
	d.with(func() {
		it.lane.heard(it, f.verdict)
		switch {
		case f.step == stepRest, f.step == stepDrop, it.lane.isClosed():
			safe = d.release(it, it.givenUp == nil && f.step == stepRest)
		case f.step == stepGiveUp:
			it.givenUp = &givenUp{reason: f.reason, failure: failure}
			d.again(it, 0)
		case it.givenUp != nil:
			it.givenUp.attempts++
			d.again(it, f.wait(it.lane.options().DeadLetterBackoff, it.givenUp.attempts))
		default:
			d.again(it, f.wait(it.lane.options().Backoff, max(it.attempts, 1))) // none where the lane is paused
		}
	})
	if safe != nil {
		d.options.Acknowledge([]*Message{safe})
	}
}

// again keeps an event that was not accepted, for another attempt after a while.
func (d *Dispatcher) again(it *item, wait time.Duration) {
	d.returned(it)
	if d.stopped && it.saved {
		d.checkDrained() // it stays on disk
		return
	}
	it.lane.queue.wait(it, time.Now().Add(wait))
	d.activate(it.lane)
	d.changed.Signal()
}

// release forgets an event that has found its place of rest, be it its destination. It returns the message where that is to be
// acknowledged now.
func (d *Dispatcher) release(it *item, delivered bool) (safe *Message) {
	l := it.lane
	d.returned(it)
	l.budget().rested(it, delivered)
	l.queue.done(it)
	if !l.isClosed() {
		l.events, l.bytes = l.events-1, l.bytes-it.size
		d.events, d.bytes = d.events-1, d.bytes-it.size
	}
	safe = d.store.rested(it)
	d.activate(l)
	d.room.Broadcast()
	d.changed.Signal()
	if d.stopped {
		d.checkDrained()
	}
	return safe
}

// setAside lets go of a record that cannot be read, and has no place but the disk: whatever changes meanwhile, it stays there.
func (d *Dispatcher) setAside(it *item) {
	it.setAside = true
	d.with(func() { d.release(it, false) })
}

// returned takes back what choose noted of an attempt.
func (d *Dispatcher) returned(it *item) {
	it.inFlight = false
	d.inFlight--
	it.lane.inFlight--
	if it.secondary {
		it.secondary = false
		d.secondary--
	}
	if it.probe != nil {
		it.probe.end(it)
	}
}
