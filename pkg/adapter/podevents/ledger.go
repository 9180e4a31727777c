package podevents

import (
	"slices"
	"time"

	"golang.org/x/time/rate"
)

const (
	// hold is how long a state has to last before there is an Event of it.
	hold = 10 * time.Second
	// gap is the least time between two writes.
	gap = 10 * time.Second
	// repeat is the time between two writes of the same thing, and until a reason may be written once more after the first burst.
	repeat = 10 * time.Minute
	burst  = 5
)

// ledger knows what has been written, and decides what is next. It is not for several goroutines at a time.
type ledger struct {
	// state is what readiness says, and since when. Its reason is "" while all is well.
	state struct {
		reason  Reason
		message string
		since   time.Time
	}
	// told is the reason of the latest Event that is about readiness: "" before the first.
	told Reason
	// noted are messages that are no states, at most one for each reason.
	noted map[Reason]note
	// written are the latest Events by their reasons, and allowed bounds how many there are.
	written map[Reason]written
	allowed map[Reason]*rate.Limiter
	// latest is when anything has been tried to be written.
	latest time.Time
}

// note is a message, and how often it came.
type note struct {
	message string
	times   int32
}

// written is an Event as Kubernetes has it.
type written struct {
	name, message string
	count         int32
	at            time.Time
}

// entry is an Event to be written: a new one, or another count of the earlier one that it has the name of.
type entry struct {
	reason Reason
	note
	earlier written
	isNote  bool
}

func newLedger() *ledger {
	return &ledger{noted: map[Reason]note{}, written: map[Reason]written{}, allowed: map[Reason]*rate.Limiter{}}
}

// observe takes what readiness says.
func (l *ledger) observe(reason Reason, message string, now time.Time) {
	if reason != l.state.reason {
		l.state.since = now
	}
	l.state.reason, l.state.message = reason, message
}

// note takes what is no state. The first message of a reason stays until it is written, but one that has just been written makes way.
func (l *ledger) note(reason Reason, message string) {
	waiting, found := l.noted[reason]
	switch {
	case found && waiting.message == message:
		waiting.times++
		l.noted[reason] = waiting
	case !found || waiting.message == l.written[reason].message:
		l.noted[reason] = note{message, 1}
	}
}

// next returns what is to be written now, and counts it as tried. The last ones do not wait for the gap.
func (l *ledger) next(now time.Time, last bool) (entry, bool) {
	if !last && now.Sub(l.latest) < gap {
		return entry{}, false
	}
	for _, e := range l.due(now) {
		if l.allowed[e.reason] == nil {
			l.allowed[e.reason] = rate.NewLimiter(rate.Every(repeat), burst)
		}
		if l.allowed[e.reason].AllowN(now, 1) {
			l.latest = now
			return e, true
		}
	}
	return entry{}, false
}

// due returns what would be written if there were no bounds, and state comes first.
func (l *ledger) due(now time.Time) (all []entry) {
	if reason, message := l.ofState(now); reason != "" && (reason != l.told || l.isNews(reason, message, now)) {
		all = append(all, l.entry(reason, note{message, 1}, false))
	}
	reasons := make([]Reason, 0, len(l.noted))
	for reason, noted := range l.noted {
		if l.isNews(reason, noted.message, now) {
			reasons = append(reasons, reason)
		}
	}
	slices.Sort(reasons)
	for _, reason := range reasons {
		all = append(all, l.entry(reason, l.noted[reason], true))
	}
	return all
}

// ofState returns what there is to tell of a state that has lasted: "" for nothing.
func (l *ledger) ofState(now time.Time) (Reason, string) {
	switch {
	case now.Sub(l.state.since) < hold:
		return "", ""
	case l.state.reason != "":
		return l.state.reason, l.state.message
	case l.told == "" || l.told == Recovered:
		return "", ""
	default:
		return Recovered, "ready again after " + string(l.told)
	}
}

// isNews tells whether the latest Event of a reason says something else, or has said so long ago.
func (l *ledger) isNews(reason Reason, message string, now time.Time) bool {
	w := l.written[reason]
	return w.name == "" || w.message != message || now.Sub(w.at) >= repeat
}

func (l *ledger) entry(reason Reason, n note, isNote bool) entry {
	e := entry{reason: reason, note: n, isNote: isNote}
	if w := l.written[reason]; w.message == n.message {
		e.earlier = w
	}
	return e
}

// wrote takes what Kubernetes has accepted.
func (l *ledger) wrote(e entry, name string, count int32, now time.Time) {
	l.written[e.reason] = written{name, e.message, count, now}
	switch {
	case !e.isNote:
		l.told = e.reason
	case l.noted[e.reason].message == e.message:
		delete(l.noted, e.reason)
	}
}
