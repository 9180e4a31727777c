package broker_test

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/cloudevents/sdk-go/v2/event"
	"go.uber.org/zap"
	"go.uber.org/zap/zaptest/observer"
	eventingv1 "knative.dev/eventing/pkg/apis/eventing/v1"

	"github.com/eventing-eventmesh/eventing-eventmesh/internal/await"
	"github.com/eventing-eventmesh/eventing-eventmesh/pkg/broker"
	"github.com/eventing-eventmesh/eventing-eventmesh/pkg/broker/filter"
	"github.com/eventing-eventmesh/eventing-eventmesh/pkg/dispatch"
)

// place is a subscriber, a dead letter sink or a Broker.
type place struct {
	answer func(event.Event) (dispatch.Answer, error)

	mu  sync.Mutex
	got []event.Event
}

func (p *place) Send(_ context.Context, e event.Event) (a dispatch.Answer, err error) {
	a.Status = 200
	if p.answer != nil {
		a, err = p.answer(e)
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	p.got = append(p.got, e)
	return a, err
}

func (*place) String() string { return "http://place" }

func (p *place) events() []event.Event {
	p.mu.Lock()
	defer p.mu.Unlock()
	return slices.Clone(p.got)
}

// ids are those of the events that came, in the order in which they did.
func (p *place) ids() (all []string) {
	for _, e := range p.events() {
		all = append(all, e.ID())
	}
	return all
}

func says(status int) func(event.Event) (dispatch.Answer, error) {
	return func(event.Event) (dispatch.Answer, error) {
		return dispatch.Answer{Status: status}, &dispatch.Rejection{Status: status}
	}
}

// newEvent returns one as it comes to a Broker.
func newEvent(id, typ string) event.Event {
	e := event.New()
	e.SetID(id)
	e.SetSource("/test")
	e.SetType(typ)
	e.SetExtension(broker.TTL, 7)
	return e
}

// wants is the filter of Triggers that want events of a type, and of all with "".
func wants(t *testing.T, typ string) filter.Filter {
	t.Helper()
	f, err := filter.New(&eventingv1.TriggerSpec{Filter: &eventingv1.TriggerFilter{Attributes: map[string]string{"type": typ}}})
	if err != nil {
		t.Fatal(err)
	}
	return f
}

// retrying is a delivery with some retries, after 1, 2, … seconds.
func retrying(retries int) broker.Delivery {
	return broker.Delivery{Retries: retries, Delay: time.Second, Linear: true}
}

// serve starts a Broker with some Triggers, and returns it with what puts an event, and with its log.
func serve(t *testing.T, replies *place, triggers ...broker.Trigger) (f *broker.Fanout, put func(...event.Event), logs *observer.ObservedLogs) {
	t.Helper()
	core, logs := observer.New(zap.InfoLevel)
	d := dispatch.New(dispatch.Options{Logger: zap.New(core).Sugar()})
	f = broker.NewFanout(broker.FanoutOptions{Dispatcher: d, Logger: zap.New(core).Sugar()})
	f.Set(replying(replies, triggers...))
	d.Start()
	t.Cleanup(func() {
		ended, cancel := context.WithCancel(context.Background())
		cancel()
		d.Drain(ended)
	})
	return f, func(events ...event.Event) {
		for _, e := range events {
			if err := f.Put(t.Context(), &dispatch.Message{Event: e}); err != nil {
				t.Error(err)
			}
		}
	}, logs
}

// replying are Triggers whose replies go to a place.
func replying(to *place, triggers ...broker.Trigger) []broker.Trigger {
	triggers = slices.Clone(triggers)
	for i := range triggers {
		triggers[i].Replies = to
	}
	return triggers
}

func wantIDs(t *testing.T, of string, p *place, want ...string) {
	t.Helper()
	if got := p.ids(); fmt.Sprint(got) != fmt.Sprint(want) {
		t.Errorf("%s got %v, want %v", of, got, want)
	}
}

// Each event goes to every Trigger that wants it, without what only Brokers see, whatever becomes of it elsewhere.
func TestFanout(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		all, orders, nobody, dead := &place{}, &place{answer: says(503)}, &place{}, &place{}
		_, put, _ := serve(t, &place{},
			broker.Trigger{UID: "1", Filter: wants(t, ""), Subscriber: all, Ordering: dispatch.Strict},
			broker.Trigger{UID: "2", Filter: wants(t, "order"), Subscriber: orders, DeadLetterSink: dead, Delivery: retrying(2)},
			broker.Trigger{UID: "3", Filter: wants(t, "other"), Subscriber: nobody},
		)
		none := newEvent("b", "payment")
		none.SetExtension(broker.TTL, "as another client of EventMesh may have it")
		put(newEvent("a", "order"), none)
		time.Sleep(4 * time.Second)
		wantIDs(t, "the Trigger of all events", all, "a", "b")
		wantIDs(t, "the Trigger of orders", orders, "a", "a", "a")
		wantIDs(t, "its dead letter sink", dead, "a")
		wantIDs(t, "the Trigger of other events", nobody)
		for _, e := range append(all.events(), dead.events()...) {
			if ttl, ok := e.Extensions()[broker.TTL]; ok {
				t.Errorf("event %s has a TTL of %v", e.ID(), ttl)
			}
		}
		if got := dead.events()[0].Extensions(); got[dispatch.ErrorDestination] != "http://place" || got[dispatch.ErrorCode] != "503" {
			t.Errorf("the dead letter has %v", got)
		}
	})
}

// However many events a subscriber does not accept, each becomes a dead letter after its own retries.
func TestFanoutKeepsTime(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		dead := &place{}
		_, put, _ := serve(t, &place{}, broker.Trigger{UID: "1", Subscriber: &place{answer: says(503)}, DeadLetterSink: dead, Delivery: retrying(3)})
		for i := range 500 {
			put(newEvent(fmt.Sprint(i), "order"))
		}
		time.Sleep(7 * time.Second)
		if got := len(dead.events()); got != 500 {
			t.Errorf("got %d dead letters after three retries, want all 500", got)
		}
	})
}

// A reply comes to the Broker with the TTL of its event, and until it has the event is delivered again.
func TestFanoutReplies(t *testing.T) {
	reply := newEvent("reply", "reply")
	reply.SetExtension(broker.TTL, 255)
	replies := func(event.Event) (dispatch.Answer, error) { return dispatch.Answer{Status: 200, Reply: &reply}, nil }
	for name, test := range map[string]struct {
		subscriber, broker func(event.Event) (dispatch.Answer, error)
		delivered, replied int
		code               string // of the dead letter, if there is one
	}{
		"accepted":           {replies, nil, 1, 1, ""},
		"the Broker is away": {replies, says(503), 4, 4, "503"},
		"it refuses":         {replies, says(400), 1, 1, "400"},
		"no answer":          {replies, func(event.Event) (dispatch.Answer, error) { return dispatch.Answer{}, errors.New("away") }, 4, 4, "-1"},
		"no event": {
			func(event.Event) (dispatch.Answer, error) {
				return dispatch.Answer{Status: 200, Invalid: errors.New("no id")}, nil
			}, nil, 4, 0, "502",
		},
		"no event, though it reads as one": {
			func(event.Event) (dispatch.Answer, error) {
				return dispatch.Answer{Status: 200, Reply: &event.Event{Context: &event.EventContextV1{}}}, nil
			}, nil, 4, 0, "502",
		},
		"none": {nil, nil, 1, 0, ""},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				subscriber, own, dead := &place{answer: test.subscriber}, &place{answer: test.broker}, &place{}
				_, put, _ := serve(t, own, broker.Trigger{UID: "1", Subscriber: subscriber, DeadLetterSink: dead, Delivery: retrying(3)})
				put(newEvent("a", "order"))
				time.Sleep(time.Minute)
				if got := len(subscriber.events()); got != test.delivered || len(own.events()) != test.replied {
					t.Errorf("got %d deliveries and %d replies, want %d and %d", got, len(own.events()), test.delivered, test.replied)
				}
				for _, e := range own.events() {
					if e.ID() != "reply" || e.Extensions()[broker.TTL] != int32(7) {
						t.Errorf("got %s with a TTL of %v, want the reply with 7", e.ID(), e.Extensions()[broker.TTL])
					}
				}
				letters := dead.events()
				if len(letters) > 0 != (test.code != "") || len(letters) > 0 && letters[0].Extensions()[dispatch.ErrorCode] != test.code {
					t.Errorf("got dead letters %v, want one with code %q", letters, test.code)
				}
			})
		})
	}
}

// What a Trigger says holds from now on, for what waits too, but for what it wants.
func TestFanoutFollowsItsTriggers(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		away, later, deleted, again := &place{answer: says(503)}, &place{}, &place{answer: says(503)}, &place{}
		changes := broker.Trigger{UID: "1", Name: "changes", Filter: wants(t, "order"), Subscriber: away, Delivery: retrying(1000)}
		f, put, logs := serve(t, &place{}, changes, broker.Trigger{UID: "2", Name: "deleted", Subscriber: deleted, Delivery: retrying(1000)})
		put(newEvent("a", "order"), newEvent("b", "payment"))
		time.Sleep(9 * time.Second) // they come again after 1, 3, 6 and 10
		changes.Filter, changes.Subscriber = wants(t, "payment"), later
		f.Set([]broker.Trigger{changes, {UID: "3", Name: "deleted", Subscriber: again, Ordering: dispatch.Strict}})
		put(newEvent("c", "order"), newEvent("d", "payment"))
		before := len(deleted.events())
		time.Sleep(10 * time.Second)
		got := later.ids()
		slices.Sort(got)
		if fmt.Sprint(got) != "[a d]" {
			t.Errorf("the new subscriber got %v, want what waited, and what the Trigger wants now", got)
		}
		wantIDs(t, "the Trigger that was created anew", again, "c", "d")
		if got := len(deleted.events()); got != before {
			t.Errorf("the subscriber of the Trigger that was deleted was asked %d times more", got-before)
		}
		lines := logs.FilterMessage("a Trigger is gone").All()
		if len(lines) != 1 || lines[0].ContextMap()["trigger"] != "deleted" || lines[0].ContextMap()["undelivered"] != int64(2) {
			t.Errorf("got %v in the log, want that it had 2 events", lines)
		}
	})
}

// A filter without an answer costs its own Trigger the event, and no other.
func TestFanoutWithAFilterWithoutAnAnswer(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f, err := filter.New(&eventingv1.TriggerSpec{Filters: []eventingv1.SubscriptionsAPIFilter{{CESQL: "id"}}})
		if err != nil {
			t.Fatal(err)
		}
		bad, good := &place{}, &place{}
		_, put, logs := serve(t, &place{}, broker.Trigger{UID: "1", Name: "bad", Filter: f, Subscriber: bad}, broker.Trigger{UID: "2", Subscriber: good})
		put(newEvent("a", "order"))
		synctest.Wait()
		put(newEvent("b", "order"))
		synctest.Wait()
		wantIDs(t, "the Trigger without a condition", bad)
		wantIDs(t, "the other", good, "a", "b")
		if got := logs.All(); len(got) != 1 || got[0].ContextMap()["trigger"] != "bad" {
			t.Errorf("got %v in the log, want the Trigger, once", got)
		}
	})
}

// Triggers change while events come.
func TestFanoutConcurrently(t *testing.T) {
	stays := &place{}
	f, put, _ := serve(t, &place{}, broker.Trigger{UID: "stays", Subscriber: stays})
	const events = 500
	done := make(chan struct{})
	go func() {
		defer close(done)
		for i := range events {
			put(newEvent(fmt.Sprint(i), "order"))
		}
	}()
	for i := 0; ; i++ {
		select {
		case <-done:
			await.Until(t, await.Patience, func() string {
				if got := len(stays.events()); got != events {
					return fmt.Sprintf("got %d events, want %d", got, events)
				}
				return ""
			})
			return
		default:
			f.Set([]broker.Trigger{{UID: "stays", Subscriber: stays}, {UID: fmt.Sprint(i), Subscriber: &place{answer: says(503)}, Delivery: retrying(5)}})
		}
	}
}

// What a Trigger's subscriber has not accepted is there after a restart, with what its reply needs; what a Trigger that is gone has left is not.
func TestFanoutAfterARestart(t *testing.T) {
	dir := t.TempDir()
	start := func(own *place, triggers ...broker.Trigger) (*broker.Fanout, *dispatch.Dispatcher) {
		disk, err := dispatch.OpenDisk(dispatch.DiskOptions{Dir: dir})
		if err != nil {
			t.Fatal(err)
		}
		d := dispatch.New(dispatch.Options{Disk: disk})
		f := broker.NewFanout(broker.FanoutOptions{Dispatcher: d})
		f.Set(replying(own, triggers...))
		return f, d
	}
	away := &place{answer: says(503)}
	stays, goes := broker.Trigger{UID: "stays", Subscriber: away, Delivery: retrying(1000)}, broker.Trigger{UID: "goes", Subscriber: away, Delivery: retrying(1000)}
	f, d := start(&place{}, stays, goes)
	d.Start()
	if err := f.Put(t.Context(), &dispatch.Message{Event: newEvent("a", "order")}); err != nil {
		t.Fatal(err)
	}
	await.Until(t, await.Patience, func() string {
		if s := d.Status(); s.Unsaved > 0 || s.Events != 2 {
			return fmt.Sprintf("on disk: %+v", s)
		}
		return ""
	})
	ended, cancel := context.WithCancel(t.Context())
	cancel()
	d.Drain(ended)

	reply, own := newEvent("reply", "reply"), &place{}
	stays.Subscriber = &place{answer: func(event.Event) (dispatch.Answer, error) { return dispatch.Answer{Status: 200, Reply: &reply}, nil }}
	_, d = start(own, stays, stays)
	if got := d.Sweep(); got != 1 {
		t.Errorf("%d events of Triggers that are gone, want 1", got)
	}
	d.Start()
	await.Until(t, await.Patience, func() string {
		if s := d.Status(); s.Events > 0 {
			return fmt.Sprintf("delivered: %+v", s)
		}
		return ""
	})
	d.Drain(t.Context())
	wantIDs(t, "the Broker", own, "reply")
	if got := own.events()[0].Extensions()[broker.TTL]; got != int32(7) {
		t.Errorf("the reply has a TTL of %v, want 7", got)
	}
}

// A Trigger whose subscriber is not known keeps what it has, gets nothing more, and goes on once it is.
func TestFanoutWithASubscriberThatIsNotKnown(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		dead, fails := &place{}, &place{answer: says(503)}
		trigger := broker.Trigger{UID: "1", Subscriber: &place{answer: says(503)}, DeadLetterSink: dead, Delivery: retrying(2)}
		f, put, _ := serve(t, &place{}, trigger)
		put(newEvent("a", "order"))
		synctest.Wait()
		trigger.Subscriber = nil
		f.Set([]broker.Trigger{trigger})
		put(newEvent("b", "order"))
		time.Sleep(time.Hour)
		wantIDs(t, "the dead letter sink", dead)
		put(newEvent("c", "order"))
		trigger.Subscriber = fails
		f.Set([]broker.Trigger{trigger})
		synctest.Wait()
		put(newEvent("d", "order"))
		time.Sleep(time.Minute)
		wantIDs(t, "the subscriber", fails, "a", "d", "d", "a", "d") // the first attempt of a was made before
		wantIDs(t, "the dead letter sink", dead, "a", "d")
	})
}

// What finds a Trigger full goes to its dead letter sink, without a TTL, where the Trigger says so: others do not wait then.
func TestFanoutOfAFullTrigger(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		away, dead, beside := &place{answer: says(503)}, &place{}, &place{}
		full := broker.Trigger{UID: "1", Subscriber: away, DeadLetterSink: dead, Delivery: retrying(1000), MaxEvents: 2}
		other := broker.Trigger{UID: "2", Subscriber: beside, Ordering: dispatch.Strict}
		f, put, _ := serve(t, &place{}, full, other)
		put(newEvent("a", "order"), newEvent("b", "order"))
		go put(newEvent("c", "order"))
		synctest.Wait()
		wantIDs(t, "the other Trigger", beside, "a", "b")
		if full, waits := f.Full("1"); !full || !waits {
			t.Errorf("it says that it is full: %t, and others wait: %t; want both", full, waits)
		}
		full.Overflow = true
		f.Set([]broker.Trigger{full, other})
		synctest.Wait()
		put(newEvent("d", "order"))
		synctest.Wait()
		wantIDs(t, "the other Trigger", beside, "a", "b", "c", "d")
		wantIDs(t, "the dead letter sink", dead, "c", "d")
		if full, waits := f.Full("1"); !full || waits {
			t.Errorf("it says that it is full: %t, and others wait: %t; want that they do not", full, waits)
		}
		for _, e := range dead.events() {
			if got := e.Extensions(); got[dispatch.ErrorCode] != "-1" || got[dispatch.ErrorDestination] != "http://place" || got[broker.TTL] != nil {
				t.Errorf("dead letter %s has %v", e.ID(), got)
			}
		}
		if full, waits := f.Full("2"); full || waits {
			t.Errorf("the other says that it is full: %t, and others wait: %t", full, waits)
		}
	})
}

// Until a Broker has an address a reply has nowhere to go, and so its delivery fails.
func TestFanoutWithoutAnAddress(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		reply, own := newEvent("reply", "reply"), &place{}
		trigger := broker.Trigger{UID: "1", Delivery: retrying(3), Subscriber: &place{answer: func(event.Event) (dispatch.Answer, error) {
			return dispatch.Answer{Status: 200, Reply: &reply}, nil
		}}}
		f, put, _ := serve(t, own, trigger)
		f.Set([]broker.Trigger{trigger})
		put(newEvent("a", "order"))
		synctest.Wait()
		f.Set(replying(own, trigger))
		time.Sleep(time.Minute)
		wantIDs(t, "the Broker", own, "reply")
	})
}

// What the log says of deliveries says of which Trigger.
func TestLogsNameTheTrigger(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		_, put, logs := serve(t, &place{}, broker.Trigger{UID: "1", Namespace: "shop", Name: "orders", Subscriber: &place{answer: says(503)}})
		put(newEvent("a", "order"))
		synctest.Wait()
		for _, message := range []string{"the sink does not accept events; they are kept and tried again", "dropping an event that the sink does not accept"} {
			lines := logs.FilterMessage(message).All()
			if len(lines) != 1 || lines[0].ContextMap()["destination"] != "shop/orders" {
				t.Errorf("got %v of %q, want one with the Trigger", lines, message)
			}
		}
	})
}
