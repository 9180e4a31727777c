package broker

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"sync"
	"sync/atomic"

	"github.com/cloudevents/sdk-go/v2/event"
	"go.uber.org/zap"

	"github.com/eventing-eventmesh/eventing-eventmesh/pkg/broker/filter"
	"github.com/eventing-eventmesh/eventing-eventmesh/pkg/dispatch"
)

// Trigger is what a [Fanout] knows of a Trigger.
type Trigger struct {
	// UID tells it from every other, also from one of the same name that was deleted.
	UID string
	// Namespace and Name are for logs.
	Namespace, Name string
	// Filter tells which events it gets.
	Filter filter.Filter
	// Delivery is how.
	Delivery Delivery
	// Subscriber is where they go. While that is not known, nil, the Trigger gets no event, and what is kept for it stays.
	Subscriber dispatch.Destination
	// DeadLetterSink is where those go that it does not accept; nil: nowhere.
	DeadLetterSink dispatch.Destination
	// Replies is where the events of answers go, which is the Broker's own address, so that they come to it as any other event does. Until it
	// has one, nil, what is replied to is kept.
	Replies dispatch.Destination
	// Ordering is the order of its events, as long as it exists; by default [dispatch.Unordered].
	Ordering dispatch.Ordering
	// MaxInFlight is how many requests are under way at once; by default [DefaultMaxInFlight].
	MaxInFlight int
	// MaxEvents and MaxBytes bound what is kept for it, in the way of [dispatch.Options]; 0 is no bound.
	MaxEvents, MaxBytes int64
	// Overflow sends events that find those bounds reached to the dead letter sink, if there is one, instead of letting all of the Broker's
	// wait; as many again are kept for it.
	Overflow bool
}

// DefaultMaxInFlight is that of a Trigger that says nothing.
const DefaultMaxInFlight = 16

// FanoutOptions are those of [NewFanout].
type FanoutOptions struct {
	// UID is that of the Broker: of one that is created anew the Triggers are the same, and get nothing of what was kept for them.
	UID string
	// Dispatcher keeps the events of all Triggers, and sends them. Many may share it.
	Dispatcher *dispatch.Dispatcher
	// Logger is told of what is wrong with a Trigger; nil: nobody is.
	Logger *zap.SugaredLogger
}

// Fanout hands the events of one Broker to those of its Triggers that want them. Its methods may be called by several goroutines.
type Fanout struct {
	options FanoutOptions

	setting sync.Mutex // one Set at a time
	served  atomic.Pointer[map[string]served]
}

// served is a Trigger with its way through the dispatcher.
type served struct {
	Trigger
	lane *dispatch.Lane
	told *atomic.Bool // that its filter has no answer, since the last Set
}

// NewFanout returns one without Triggers.
func NewFanout(o FanoutOptions) *Fanout {
	if o.Logger == nil {
		o.Logger = zap.NewNop().Sugar()
	}
	f := &Fanout{options: o}
	f.served.Store(&map[string]served{})
	return f
}

// Set says which Triggers there are; of two with the same UID the last counts. What a Trigger's filter says holds for events that are put
// from now on, and all else of it for the next attempt, also of what waits. What is kept for a Trigger that is not there any more is
// forgotten, so that one which exists has to be there, ready or not; the log says how many events that were.
func (f *Fanout) Set(triggers []Trigger) {
	f.setting.Lock()
	defer f.setting.Unlock()
	before, next := *f.served.Load(), make(map[string]served, len(triggers))
	for _, t := range triggers {
		next[t.UID] = served{Trigger: t, told: &atomic.Bool{}}
	}
	for uid, s := range next {
		old, known := before[uid]
		switch s.lane = old.lane; {
		case !known:
			s.lane = f.options.Dispatcher.Lane(f.lane(s.Trigger))
		case !s.sameWay(old.Trigger):
			s.lane.Update(f.lane(s.Trigger))
		}
		next[uid] = s
	}
	f.served.Store(&next)
	for uid, s := range before {
		if _, stays := next[uid]; stays {
			continue
		}
		left := s.lane.Close()
		f.options.Logger.Infow("a Trigger is gone", "namespace", s.Namespace, "trigger", s.Name, "undelivered", left)
	}
}

// sameWay tells whether events go the same way as by another state of the Trigger, whichever it wants.
func (t Trigger) sameWay(other Trigger) bool {
	t.Filter, other.Filter = filter.Filter{}, filter.Filter{}
	return t == other
}

// Label is what metrics call a Trigger.
func (t Trigger) Label() string { return t.Namespace + "/" + t.Name }

// lane is how the events of a Trigger are delivered: each for itself, at its own time.
func (f *Fanout) lane(t Trigger) dispatch.LaneOptions {
	o := dispatch.LaneOptions{
		Name: f.options.UID + "/" + t.UID, Label: t.Label(), Destination: withoutTTL{t.Subscriber}, Paused: t.Subscriber == nil, Retries: t.Delivery.Retries, Backoff: t.Delivery.Backoff, Ordering: t.Ordering,
		MaxInFlight: t.MaxInFlight, Punctual: true, DeadLetterBackoff: dispatch.Exponential(minDeadLetterBackoff, maxDeadLetterBackoff),
		MaxEvents: t.MaxEvents, MaxBytes: t.MaxBytes, Overflow: t.Overflow, OnReply: t.reply,
	}
	if t.DeadLetterSink != nil {
		o.DeadLetter = withoutTTL{t.DeadLetterSink}
	}
	if o.MaxInFlight <= 0 {
		o.MaxInFlight = DefaultMaxInFlight
	}
	return o
}

// Full tells whether a Trigger, by its UID, has as many events as may be kept for it, and whether others wait for that.
func (f *Fanout) Full(uid string) (full, waits bool) {
	if s, ok := (*f.served.Load())[uid]; ok {
		return s.lane.Full()
	}
	return false, false
}

// Put keeps an event for each Trigger that wants it, and waits until there is room for it; see [dispatch.Dispatcher.Put].
func (f *Fanout) Put(ctx context.Context, m *dispatch.Message) error {
	var lanes []*dispatch.Lane
	for _, s := range *f.served.Load() {
		if s.Subscriber == nil {
			continue
		}
		matches, err := s.Filter.Match(m.Event)
		if err != nil && !s.told.Swap(true) {
			f.options.Logger.Errorw("the filter of a Trigger has no answer, so that it does not get an event", "namespace", s.Namespace, "trigger", s.Name, zap.Error(err))
		}
		if matches {
			lanes = append(lanes, s.lane)
		}
	}
	return f.options.Dispatcher.Put(ctx, m, lanes...)
}

// reply brings the event of an answer to the Broker. Where that does not work the delivery has failed, by the rules of Knative.
func (t Trigger) reply(ctx context.Context, m *dispatch.Message, a dispatch.Answer) error {
	invalid := a.Invalid
	if invalid == nil {
		invalid = a.Reply.Validate()
	}
	if invalid != nil { // as an answer of Knative's own Broker
		return &dispatch.Rejection{Status: http.StatusBadGateway, Body: fmt.Sprintf("the reply is no event: %v", invalid)}
	}
	e := a.Reply.Clone()
	if err := Reply(e.Context, m.Event.Context); err != nil {
		return err
	}
	if t.Replies == nil {
		return errors.New("the Broker has no address yet, to which the reply could go")
	}
	if _, err := t.Replies.Send(ctx, e); err != nil {
		return fmt.Errorf("the reply has not come to the Broker: %w", err)
	}
	return nil
}

// withoutTTL is a destination that does not see the TTL of events.
type withoutTTL struct{ dispatch.Destination }

// Send implements [dispatch.Destination].
func (d withoutTTL) Send(ctx context.Context, e event.Event) (dispatch.Answer, error) {
	if _, err := e.Context.GetExtension(TTL); err == nil {
		e = e.Clone()
		e.SetExtension(TTL, nil)
	}
	return d.Destination.Send(ctx, e)
}
