package dispatch

import (
	"context"
	"fmt"
	"strings"
	"sync/atomic"
	"time"

	"github.com/cloudevents/sdk-go/v2/event"
	"go.uber.org/zap"

	"github.com/eventing-eventmesh/eventing-eventmesh/internal/backoff"
)

// Destination is where events are sent. Its methods are called by several goroutines.
type Destination interface {
	// Send makes one attempt, within the context. It returns nil when the event is safe with the destination, a [*Rejection] for an answer
	// that is none of success, an [*UnsendableError] without asking the destination, and any other error where there was no answer. It does
	// not change the event.
	Send(ctx context.Context, e event.Event) (Answer, error)
	// String names the destination in dead letters, without secrets.
	String() string
}

// Answer is what a destination says of an event.
type Answer struct {
	// Status is that of HTTP, and 0 without an answer.
	Status int
	// Reply is the event of a successful answer, where one is asked for, and Invalid why what claims to be one cannot be read. The
	// destination has accepted the request all the same.
	Reply   *event.Event
	Invalid error
}

// Ordering says which events of a lane are sent one after the other, in the order in which they were put.
type Ordering string

const (
	// Unordered sends events as they come, and those that were not accepted later.
	Unordered Ordering = "unordered"
	// ByKey keeps the order of events with the same extension partitionkey, and of those without one of the same topic.
	ByKey Ordering = "key"
	// Strict keeps the order of all events.
	Strict Ordering = "strict"
)

// UnmarshalText parses the value, whatever its case.
func (o *Ordering) UnmarshalText(text []byte) error {
	switch *o = Ordering(strings.ToLower(string(text))); *o {
	case Unordered, ByKey, Strict:
		return nil
	default:
		return fmt.Errorf("%q is none of unordered, key and strict", text)
	}
}

// Backoff returns the time to the next attempt after so many failures, no less than was asked for, as far as it likes. The number may be
// as large as an int can be.
type Backoff func(failures int, asked time.Duration) time.Duration

// Exponential waits for random times below a ceiling, which doubles with each failure from least to most: full jitter.
func Exponential(least, most time.Duration) Backoff {
	return backoff.Exponential{Min: least, Max: most}.Wait
}

// LaneOptions say where the events of a lane go, and how.
type LaneOptions struct {
	// Name tells the lanes of a dispatcher apart, on disk too: no two have it at once. What overflows has it with "/overflow" behind it.
	Name string
	// Label is what logs call it, and metrics: see [TelemetryOptions].
	Label string
	// Destination is where events go.
	Destination Destination
	// Paused keeps events as they are: nothing is sent until [Lane.Update] says otherwise, but for requests that are under way.
	Paused bool
	// DeadLetter is where events go that the destination refuses for good, or has not accepted after all retries; nil: nowhere.
	DeadLetter Destination
	// Retries is how often an event is sent again; -1 is for ever.
	Retries int
	// Backoff is the wait before an event is sent again; by default exponential, from 100 ms to 30 s.
	Backoff Backoff
	// Punctual sends an event again when its own Backoff says, whatever became of others. Otherwise a destination that is away is asked
	// with one event at a time, and repeats that come to nothing are few: where retries have an end, events wait longer for theirs then.
	Punctual bool
	// DeadLetterBackoff is the wait before a dead letter is sent again, which has no end; by default Backoff.
	DeadLetterBackoff Backoff
	// Ordering is the order of events; by default Unordered.
	Ordering Ordering
	// MaxInFlight is how many requests are under way at once; by default all workers of the dispatcher.
	MaxInFlight int
	// MaxEvents and MaxBytes bound what is kept for this lane, as those of [Options] bound what is kept for all. A message that is also for
	// other lanes waits for room in this one.
	MaxEvents, MaxBytes int64
	// Overflow gives up what finds the lane full, instead of letting it wait: it goes to the place for dead letters, as far as there is one.
	// Until that has accepted it, it is kept beside the lane, within the same bounds once more; what finds those reached waits.
	Overflow bool
	// OnReply gets the answer of a destination that has a reply, or an invalid one, before the event is forgotten. After an error the event
	// is sent again.
	OnReply func(context.Context, *Message, Answer) error
}

// Lane is the way of events to one destination. Its methods may be called by several goroutines.
type Lane struct {
	dispatcher *Dispatcher
	logger     *zap.SugaredLogger // says which lane it is
	sampled    *zap.SugaredLogger // for refusals, of which there may be many
	current    atomic.Pointer[LaneOptions]

	overflow bool // it is beside another one, and gives up all that it has

	closed      atomic.Bool // set with the dispatcher's lock
	failing     atomic.Bool // the destination is away, by the last attempt
	deadFailing atomic.Bool // the place for dead letters did not accept the last one

	// What follows is guarded by the dispatcher.
	queue    queue
	sink     *circuit
	dead     *circuit // of the place for dead letters
	beside   *Lane    // has what found this one full; nil where nothing has
	events   int64
	bytes    int64
	inFlight int64
	active   bool // it is among those that may have something to send
	stored   stored
}

func newLane(d *Dispatcher, o LaneOptions) *Lane {
	o = o.withDefaults(d)
	l := &Lane{
		dispatcher: d, logger: d.options.Logger, sampled: d.sampled,
		queue: newQueue(o.Ordering), sink: &circuit{backoff: o.Backoff}, dead: &circuit{backoff: o.DeadLetterBackoff},
	}
	if o.Label != "" {
		l.logger, l.sampled = l.logger.With("destination", o.Label), l.sampled.With("destination", o.Label)
	}
	l.current.Store(&o)
	return l
}

func (o LaneOptions) withDefaults(d *Dispatcher) LaneOptions {
	if o.Backoff == nil {
		o.Backoff = Exponential(100*time.Millisecond, 30*time.Second)
	}
	if o.DeadLetterBackoff == nil {
		o.DeadLetterBackoff = o.Backoff
	}
	if o.Ordering == "" {
		o.Ordering = Unordered
	}
	if o.MaxInFlight <= 0 {
		o.MaxInFlight = d.options.Workers
	}
	return o
}

func (l *Lane) options() *LaneOptions { return l.current.Load() }

func (l *Lane) isClosed() bool { return l.closed.Load() }

func (o *LaneOptions) policy() policy {
	return policy{retries: o.Retries, deadLetters: o.DeadLetter != nil}
}

// Available tells whether the destination answers, as far as the last attempt says, and not with 429, 502, 503 or 504.
func (l *Lane) Available() bool { return !l.failing.Load() }

// choose returns the event to attempt next. Without one it returns when to ask again, or the zero time.
//
// What an event is sent for the first time never waits for other events' repeats: these, dead letters, and probes, which may hang, take
// half of the workers at most, and repeats have a budget besides. Within that they come first, or under load they would never come.
func (l *Lane) choose(now time.Time) (it *item, again time.Time) {
	d := l.dispatcher
	if l.options().Paused || l.inFlight >= int64(l.options().MaxInFlight) {
		return nil, time.Time{}
	}
	spare := d.secondary < max(1, d.options.Workers/2)
	if spare {
		if it, again = l.nextGivenUp(now); it != nil {
			return l.asSecondary(it), time.Time{}
		}
		it, at := l.nextRetry(now)
		if it != nil {
			return l.asSecondary(it), time.Time{}
		}
		again = earlier(again, at)
	}
	switch allowed, at := l.sink.allows(now); {
	case !allowed:
		return nil, earlier(again, at)
	case !l.sink.open && !l.overflow:
		return l.queue.nextFresh(), again
	case !spare:
		return nil, again
	default:
		it, at := l.nextProbe(now)
		return it, earlier(again, at)
	}
}

// nextProbe returns an event by which to find out about the destination.
func (l *Lane) nextProbe(now time.Time) (*item, time.Time) {
	it := l.queue.nextFresh()
	if it == nil {
		if at := l.queue.retries.next(); at.IsZero() || at.After(now) {
			return nil, at
		}
		it = l.queue.retries.pop()
	}
	l.sink.begin(it)
	return l.asSecondary(it), time.Time{}
}

// nextRetry returns an event to send again. While the destination is away there are probes alone.
func (l *Lane) nextRetry(now time.Time) (*item, time.Time) {
	due := l.queue.retries.next()
	switch {
	case due.IsZero(), l.sink.open:
		return nil, time.Time{}
	case due.After(now):
		return nil, due
	}
	if l.options().Punctual {
		return l.queue.retries.pop(), time.Time{}
	}
	budget := l.budget()
	if allowed, at := budget.allows(now); !allowed {
		return nil, at
	}
	it := l.queue.retries.pop()
	budget.repeat(it, now)
	return it, time.Time{}
}

// nextGivenUp returns an event for the place of dead letters.
func (l *Lane) nextGivenUp(now time.Time) (*item, time.Time) {
	due := l.queue.givenUps.next()
	if due.IsZero() || due.After(now) {
		return nil, due
	}
	if allowed, at := l.dead.allows(now); !allowed {
		return nil, at
	}
	it := l.queue.givenUps.pop()
	l.dead.begin(it)
	return it, time.Time{}
}

func (l *Lane) asSecondary(it *item) *item {
	it.secondary = true
	l.dispatcher.secondary++
	return it
}

func (l *Lane) budget() *budget {
	if l.options().Retries < 0 {
		return &l.dispatcher.endless
	}
	return &l.dispatcher.numbered
}

// heard notes what an attempt says of where the event was sent.
func (l *Lane) heard(it *item, v verdict) {
	c := l.sink
	if it.givenUp != nil {
		c = l.dead
	}
	switch {
	case v.silent, v.away && l.options().Punctual && it.givenUp == nil:
	case v.away:
		c.fail(it, time.Now(), v.retryAfter)
	default:
		if c.open {
			l.dispatcher.changed.Broadcast()
		}
		c.succeed()
	}
}

// earlier returns the earlier of two times, where the zero time is none.
func earlier(a, b time.Time) time.Time {
	if a.IsZero() || !b.IsZero() && b.Before(a) {
		return b
	}
	return a
}
