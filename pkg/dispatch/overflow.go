package dispatch

import "errors"

// besideSuffix makes the name of the lane beside another one, which is that on disk too.
const besideSuffix = "/overflow"

var errFull = errors.New("as many events wait for the sink as may be kept")

// beside returns the options of the lane beside one with these. While there is no place for dead letters it keeps what it has: that has not
// been tried, and so is not dropped.
func (o LaneOptions) beside() LaneOptions {
	o.Name += besideSuffix
	o.Paused = o.Paused || o.DeadLetter == nil
	o.Ordering, o.Backoff = Unordered, o.DeadLetterBackoff
	return o
}

// openBeside opens the lane beside this one, where it may be needed: also for what an earlier process has left there. The lock is held.
func (l *Lane) openBeside() {
	d := l.dispatcher
	beside := newLane(d, l.options().beside())
	beside.overflow, beside.dead = true, beside.sink // it sends to one place alone
	d.store.attach(beside)
	if l.options().Overflow || beside.events > 0 {
		d.lanes = append(d.lanes, beside)
		l.beside = beside
	}
}

// keeper returns the lane that keeps an event of a size: this one, or the one beside it. The lock is held.
func (l *Lane) keeper(size int64) *Lane {
	if l.overflows() && !l.admits(size) {
		return l.beside
	}
	return l
}

// overflows tells whether what finds the lane full goes beside it. The lock is held.
func (l *Lane) overflows() bool {
	o := l.options()
	return l.beside != nil && o.Overflow && o.DeadLetter != nil
}
