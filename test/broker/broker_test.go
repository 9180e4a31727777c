package broker

import (
	"fmt"
	"net/http"
	"slices"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/cloudevents/sdk-go/v2/event"
	eventingv1 "knative.dev/eventing/pkg/apis/eventing/v1"
	"knative.dev/pkg/apis"
	duckv1 "knative.dev/pkg/apis/duck/v1"

	"github.com/eventing-eventmesh/eventing-eventmesh/internal/await"
	"github.com/eventing-eventmesh/eventing-eventmesh/pkg/broker/table"
	"github.com/eventing-eventmesh/eventing-eventmesh/pkg/eventmesh/eventmeshtest/releases"
)

// onEach runs a test over each transport.
func onEach(t *testing.T, test func(t *testing.T, s *stage)) {
	t.Helper()
	for _, transport := range releases.Transports {
		t.Run(transport, func(t *testing.T) {
			t.Parallel()
			test(t, newStage(t, transport))
		})
	}
}

// An event that comes to a Broker reaches those of its Triggers that want it, unchanged but for when it came; a reply comes to the Broker as
// any other event does.
func TestEventsReachTheirTriggers(t *testing.T) {
	t.Parallel()
	onEach(t, func(t *testing.T, s *stage) {
		all, orders, confirmed := newSubscriber(t, nil), newSubscriber(t, replies("confirmed")), newSubscriber(t, nil)
		s.triggers = []*eventingv1.Trigger{trigger("all", all), wanting(trigger("orders", orders), "order"), wanting(trigger("confirmed", confirmed), "confirmed")}
		s.play(t)
		s.mustSend(t, newEvent("1", "order"))
		s.mustSend(t, newEvent("2", "payment"))
		all.awaits(t, "the Trigger of all events", "1", "1-reply", "2")
		orders.awaits(t, "the Trigger of orders", "1")
		confirmed.awaits(t, "the Trigger of replies", "1-reply")
		got, header := all.first(t, "1")
		if string(got.Data()) != "Hello 1" || got.DataContentType() != "text/plain" || got.Source() != "/test" {
			t.Errorf("got %s", got)
		}
		if header.Get("Prefer") != "reply" || header.Get("Kn-Namespace") != namespace {
			t.Errorf("got headers %v", header)
		}
		extensions := got.Extensions()
		if at, err := time.Parse(time.RFC3339Nano, fmt.Sprint(extensions["knativearrivaltime"])); err != nil || time.Since(at) > time.Hour {
			t.Errorf("got an arrival time of %v, %v", extensions["knativearrivaltime"], err)
		}
		delete(extensions, "knativearrivaltime")
		if len(extensions) != 0 {
			t.Errorf("got extensions %v besides", extensions)
		}
		s.dispatcher.end(t, syscall.SIGTERM)
		s.ingress.end(t, syscall.SIGTERM)
	})
}

// Events that cause each other come to an end: each round costs one of their TTL.
func TestRepliesComeToAnEnd(t *testing.T) {
	t.Parallel()
	s := newStage(t, "gRPC")
	echo, dead := newSubscriber(t, nil), newSubscriber(t, nil)
	echo.answers(func(w http.ResponseWriter, e event.Event) { replies("again")(w, e) })
	s.triggers = []*eventingv1.Trigger{retrying(trigger("echo", echo), 0, dead)}
	s.play(t)
	first := newEvent("a", "again")
	first.SetExtension("knativebrokerttl", 4)
	s.mustSend(t, first)
	last := "a" + strings.Repeat("-reply", 2)
	dead.awaits(t, "the dead letter sink", last)
	letter, _ := dead.first(t, last)
	if got := letter.Extensions()["knativeerrorcode"]; got != "400" {
		t.Errorf("the last has error code %v, want the Broker's answer", got)
	}
	if n := len(echo.ids()); n != 3 {
		t.Errorf("the subscriber got %d events, want 3 of a TTL of 4", n)
	}
}

// What a subscriber does not accept becomes a dead letter after its retries, with what Knative says of it.
func TestDeadLetters(t *testing.T) {
	t.Parallel()
	onEach(t, func(t *testing.T, s *stage) {
		refuses, fails, other, dead, deadOfBroker := newSubscriber(t, says(400)), newSubscriber(t, nil), newSubscriber(t, nil), newSubscriber(t, nil), newSubscriber(t, nil)
		fails.answers(func(w http.ResponseWriter, _ event.Event) {
			http.Error(w, "out of order", http.StatusInternalServerError)
		})
		u, err := apis.ParseURL(deadOfBroker.URL)
		if err != nil {
			t.Fatal(err)
		}
		s.brokers[0].Spec.Delivery = retrying(trigger("", dead), 7, nil).Spec.Delivery
		s.brokers[0].Spec.Delivery.DeadLetterSink = &duckv1.Destination{URI: u}
		s.triggers = []*eventingv1.Trigger{
			retrying(trigger("fails", fails), 2, dead), retrying(trigger("refuses", refuses), 2, nil), trigger("other", other),
		}
		s.play(t)
		s.mustSend(t, newEvent("1", "order"))
		dead.awaits(t, "the Trigger's dead letter sink", "1")
		deadOfBroker.awaits(t, "the Broker's", "1")
		other.awaits(t, "the other subscriber", "1")
		if fails.times("1") != 3 || refuses.times("1") != 1 {
			t.Errorf("got %d and %d attempts, want 3, and 1 where it is refused for good", fails.times("1"), refuses.times("1"))
		}
		letter, header := dead.first(t, "1")
		got := letter.Extensions()
		if got["knativeerrordest"] != fails.URL || got["knativeerrorcode"] != "500" || got["knativeerrordata"] != "b3V0IG9mIG9yZGVyCg==" {
			t.Errorf("the dead letter has %v", got)
		}
		if header.Get("Kn-Namespace") != namespace {
			t.Errorf("the dead letter came with %v", header)
		}
	})
}

// Whom an event does not reach for a while costs nobody else anything, and gets it once it is back, also after the dispatcher was killed.
func TestSubscriberThatIsAway(t *testing.T) {
	t.Parallel()
	onEach(t, func(t *testing.T, s *stage) {
		away, hangs, good := newSubscriber(t, says(503)), newSubscriber(t, nil), newSubscriber(t, nil)
		release := make(chan struct{})
		hangs.answers(func(w http.ResponseWriter, _ event.Event) { <-release; w.WriteHeader(http.StatusOK) })
		t.Cleanup(func() { close(release) })
		s.triggers = []*eventingv1.Trigger{retrying(trigger("away", away), 1_000_000, nil), trigger("hangs", hangs), trigger("good", good)}
		s.play(t)
		var ids []string
		for i := range 100 {
			ids = append(ids, fmt.Sprint(i))
			s.mustSend(t, newEvent(ids[i], "order"))
		}
		good.awaits(t, "the subscriber that is there", ids...)
		s.dispatcher.end(t, syscall.SIGKILL)
		s.dispatcher = nil
		away.answers(nil)
		s.play(t)
		away.awaits(t, "the subscriber that was away", ids...)
	})
}

// Triggers come, change and go while events come. Each gets what came while it was there.
func TestTriggersChangeUnderLoad(t *testing.T) {
	t.Parallel()
	s := newStage(t, "gRPC")
	stays, first, second, added, gone := newSubscriber(t, nil), newSubscriber(t, nil), newSubscriber(t, nil), newSubscriber(t, nil), newSubscriber(t, says(503))
	changes := trigger("changes", first)
	s.triggers = []*eventingv1.Trigger{trigger("stays", stays), changes, retrying(trigger("goes", gone), 1000, nil)}
	s.play(t)
	var ids []string
	ids = s.sendMore(t, ids, 50)
	first.awaits(t, "the first subscriber", ids...)
	changed := wanting(trigger("changes", second), "order")
	changed.Generation = 2
	s.triggers = []*eventingv1.Trigger{s.triggers[0], changed, trigger("added", added)}
	s.write(t)
	ids = s.sendMore(t, ids, 50) // some before the change is seen
	s.awaitServed(t)
	from := len(ids)
	ids = s.sendMore(t, ids, 50)
	stays.awaits(t, "the Trigger that stays", ids...)
	await.Until(t, await.Patience, func() string {
		got := map[string]bool{}
		for _, id := range append(first.ids(), second.ids()...) {
			got[id] = true
		}
		if len(got) != len(ids) {
			return fmt.Sprintf("the subscribers of the Trigger that changes got %d events, want %d", len(got), len(ids))
		}
		return ""
	})
	for _, id := range ids[from:] {
		if first.times(id) > 0 || added.times(id) == 0 {
			t.Errorf("event %s came %d times to the old subscriber, and %d times to the new Trigger", id, first.times(id), added.times(id))
		}
	}
	if !strings.Contains(s.dispatcher.Log(), "a Trigger is gone") {
		t.Error("the log does not say that a Trigger is gone")
	}
	before := len(gone.ids())
	ids = s.sendMore(t, ids, 1)
	stays.awaits(t, "the Trigger that stays", ids...)
	if after := len(gone.ids()); after != before {
		t.Errorf("the Trigger that is gone got %d events more", after-before)
	}
}

// A full Trigger holds up its own Broker, which says so, and no other.
func TestFullTrigger(t *testing.T) {
	t.Parallel()
	s := newStage(t, "gRPC")
	away, beside, elsewhere := newSubscriber(t, says(503)), newSubscriber(t, nil), newSubscriber(t, nil)
	other := trigger("elsewhere", elsewhere)
	other.Spec.Broker = "other"
	s.brokers = append(s.brokers, newBroker("other"))
	s.triggers = []*eventingv1.Trigger{retrying(trigger("away", away), 1_000_000, nil), trigger("beside", beside), other}
	s.write(t)
	s.startIngress(t, "0")
	s.startDispatcher(t, "EVENTMESH_BUFFER_EVENTS=10")
	s.play(t)
	var ids []string
	for i := range 15 {
		ids = append(ids, fmt.Sprint(i))
		s.mustSend(t, newEvent(ids[i], "order"))
	}
	s.awaitFull(t, "away", "its Broker receives no more")
	if status, said := s.send(t, "other", newEvent("a", "order")); status != http.StatusAccepted {
		t.Errorf("the other Broker: %d %s", status, said)
	}
	elsewhere.awaits(t, "the other Broker's Trigger", "a")
	if got := beside.ids(); len(got) != 10 {
		t.Errorf("the Trigger beside got %d events, want the 10 before the other was full", len(got))
	}
	away.answers(nil)
	away.awaits(t, "the full Trigger", ids...)
	beside.awaits(t, "the Trigger beside", ids...)
}

// awaitFull waits until a Trigger says that it is full, and what becomes of more.
func (s *stage) awaitFull(t *testing.T, trigger, says string) {
	t.Helper()
	await.Until(t, await.Patience, func() string {
		got := s.statusAt(t, s.dispatcher).Triggers["t-"+trigger].Problem
		if got == nil || got.Reason != "Full" || !strings.Contains(got.Message, says) {
			return fmt.Sprintf("the full Trigger says %+v, want %q", got, says)
		}
		return ""
	})
}

// What finds a Trigger full goes to its dead letter sink, where it says so, and its neighbours have all at once. While that is away too as
// many events are kept for it once more, also when the dispatcher is killed, and what comes then waits. No event is lost.
func TestTriggerThatOverflows(t *testing.T) {
	t.Parallel()
	onEach(t, func(t *testing.T, s *stage) {
		s.needsStorage(t)
		hangs, dead, beside := newSubscriber(t, nil), newSubscriber(t, nil), newSubscriber(t, nil)
		back := make(chan struct{})
		release := sync.OnceFunc(func() { close(back) })
		hangs.answers(func(w http.ResponseWriter, _ event.Event) { <-back; w.WriteHeader(http.StatusOK) })
		t.Cleanup(release)
		full := retrying(trigger("full", hangs), 1_000_000, dead)
		full.Annotations = map[string]string{table.OverflowAnnotation: "dead-letter"}
		s.triggers = []*eventingv1.Trigger{full, trigger("beside", beside)}
		play := func() {
			s.write(t)
			if s.ingress == nil {
				s.startIngress(t, "0")
			}
			s.startDispatcher(t, "EVENTMESH_BUFFER_EVENTS=10")
			s.play(t)
		}
		play()
		ids := s.sendMore(t, nil, 30)
		beside.awaits(t, "the Trigger beside", ids...)
		await.Until(t, await.Patience, func() string {
			if got := slices.Sorted(slices.Values(append(hangs.ids(), dead.ids()...))); !slices.Equal(got, ids) {
				return fmt.Sprintf("the subscriber that hangs, and the dead letter sink, got %v, want %v", got, ids)
			}
			return ""
		})
		kept := hangs.ids()
		s.awaitFull(t, "full", "more go to the dead letter sink")
		letter, _ := dead.first(t, dead.ids()[0])
		if got := letter.Extensions(); got["knativeerrordest"] != hangs.URL || got["knativeerrorcode"] != "-1" || got["knativeerrordata"] != "YXMgbWFueSBldmVudHMgd2FpdCBmb3IgdGhlIHNpbmsgYXMgbWF5IGJlIGtlcHQ=" {
			t.Errorf("the dead letter has %v", got)
		}
		dead.answers(says(http.StatusServiceUnavailable))
		ids = s.sendMore(t, ids, 10)
		beside.awaits(t, "the Trigger beside", ids...)
		s.dispatcher.end(t, syscall.SIGKILL)
		play()
		s.awaitFull(t, "full", "the Broker receives no more")
		ids = s.sendMore(t, ids, 5)
		dead.forget()
		dead.answers(nil)
		beside.awaits(t, "the Trigger beside", ids...)
		dead.awaits(t, "the dead letter sink that is back", ids[30:]...)
		release()
		await.Until(t, await.Patience, func() string {
			if got := s.statusAt(t, s.dispatcher).Triggers["t-full"].Problem; got != nil {
				return fmt.Sprintf("the Trigger says %+v", got)
			}
			return ""
		})
		ids = s.sendMore(t, ids, 1)
		hangs.awaits(t, "the subscriber that is back", append(kept, ids[len(ids)-1])...)
	})
}

// A reply that the Broker does not accept is not lost: its event is delivered again until it does.
func TestReplyThatIsNotAccepted(t *testing.T) {
	t.Parallel()
	s := newStage(t, "gRPC")
	asks, gets := newSubscriber(t, replies("answer")), newSubscriber(t, nil)
	s.triggers = []*eventingv1.Trigger{retrying(wanting(trigger("asks", asks), "question"), 1000, nil), wanting(trigger("gets", gets), "answer")}
	s.play(t)
	s.mustSend(t, newEvent("0", "question"))
	gets.awaits(t, "the Trigger of replies", "0-reply")
	s.brokers[0].Status.Address = &duckv1.Addressable{URL: apis.HTTP("127.0.0.1:1")}
	s.brokers[0].Generation = 2
	s.write(t)
	s.awaitServed(t)
	s.mustSend(t, newEvent("1", "question"))
	await.Until(t, await.Patience, func() string {
		if asks.times("1") < 3 {
			return fmt.Sprintf("the event was delivered %d times, want that it is repeated", asks.times("1"))
		}
		return ""
	})
	s.brokers[0].Status.Address = nil
	s.brokers[0].Generation = 3
	s.write(t)
	gets.awaits(t, "the Trigger of replies", "0-reply", "1-reply")
}

// An expression of CESQL without an answer costs its own Trigger the event.
func TestExpressionWithoutAnAnswer(t *testing.T) {
	t.Parallel()
	s := newStage(t, "gRPC")
	bad, good := newSubscriber(t, nil), newSubscriber(t, nil)
	odd := trigger("bad", bad)
	odd.Spec.Filters = []eventingv1.SubscriptionsAPIFilter{{CESQL: "id"}}
	s.triggers = []*eventingv1.Trigger{odd, trigger("good", good)}
	s.play(t)
	s.mustSend(t, newEvent("1", "order"))
	s.mustSend(t, newEvent("2", "order"))
	good.awaits(t, "the other Trigger", "1", "2")
	bad.awaits(t, "the Trigger without a condition")
}

// What the ingress says, as Knative's own does.
func TestAnswersOfTheIngress(t *testing.T) {
	t.Parallel()
	s := newStage(t, "gRPC")
	s.play(t)
	used := newEvent("1", "order")
	used.SetExtension("knativebrokerttl", 1)
	for name, test := range map[string]struct {
		broker string
		event  event.Event
		want   int
	}{
		"a Broker":          {"default", newEvent("1", "order"), 202},
		"no such Broker":    {"none", newEvent("1", "order"), 404},
		"no Broker at all":  {"default/more", newEvent("1", "order"), 400},
		"a TTL that is up":  {"default", used, 400},
		"no Broker's name":  {"", newEvent("1", "order"), 400},
		"not its namespace": {"../other/default", newEvent("1", "order"), 400},
	} {
		if status, said := s.send(t, test.broker, test.event); status != test.want {
			t.Errorf("%s: got %d %s, want %d", name, status, said, test.want)
		}
	}
	url := s.address
	for path, want := range map[string]int{"/": 404, "/shop": 400, "/shop/default": 405, "/none/default": 405} {
		method := http.MethodPost
		if want == 405 {
			method = http.MethodGet
		}
		request, err := http.NewRequestWithContext(t.Context(), method, url+path, nil)
		if err != nil {
			t.Fatal(err)
		}
		response, err := http.DefaultClient.Do(request)
		if err != nil {
			t.Fatal(err)
		}
		_ = response.Body.Close()
		if response.StatusCode != want {
			t.Errorf("%s %s: got %d, want %d", method, path, response.StatusCode, want)
		}
	}
	request, err := http.NewRequestWithContext(t.Context(), http.MethodPost, url+"/shop/default", nil)
	if err != nil {
		t.Fatal(err)
	}
	request.Header = http.Header{"Ce-Specversion": {"0.3"}, "Ce-Id": {"1"}, "Ce-Source": {"/shop"}, "Ce-Type": {"order"}}
	response, err := http.DefaultClient.Do(request)
	if err != nil {
		t.Fatal(err)
	}
	_ = response.Body.Close()
	if response.StatusCode != http.StatusAccepted {
		t.Errorf("an event of CloudEvents 0.3: got %d, want 202", response.StatusCode)
	}
	if s.mesh == nil {
		return // the rest needs an EventMesh that can be stopped
	}
	s.mesh.Stop()
	await.Until(t, await.Patience, func() string {
		status, said := s.send(t, "default", newEvent("2", "order"))
		problem := s.statusAt(t, s.ingress).Problem
		if status != 503 || problem == nil || problem.Reason != "NotConnected" {
			return fmt.Sprintf("without EventMesh: %d %s, %+v", status, said, problem)
		}
		return ""
	})
}

// A Broker goes on as before when its configuration is wrong, and says so; with another EventMesh it moves there.
func TestConfigurationChanges(t *testing.T) {
	t.Parallel()
	s := newStage(t, "gRPC")
	gets := newSubscriber(t, nil)
	s.triggers = []*eventingv1.Trigger{trigger("all", gets)}
	s.play(t)
	right := s.config
	s.config = map[string]string{"eventmesh.url": "amqp://nowhere"}
	s.write(t)
	await.Until(t, await.Patience, func() string {
		for _, p := range []*process{s.ingress, s.dispatcher} {
			if got := s.statusAt(t, p).Problem; got == nil || got.Reason != "ConfigInvalid" {
				return fmt.Sprintf("%s says %+v", p.Name, got)
			}
		}
		return ""
	})
	s.mustSend(t, newEvent("1", "order"))
	gets.awaits(t, "the Trigger", "1")
	if !s.holdsEvents() {
		return // a topic dies with its last subscriber, who leaves to come back over TCP
	}
	s.config = map[string]string{"eventmesh.url": s.url(t, "TCP")}
	s.write(t)
	s.awaitServed(t)
	s.mustSend(t, newEvent("2", "order"))
	gets.awaits(t, "the Trigger", "1", "2")
	s.config = map[string]string{"eventmesh.url": right["eventmesh.url"], "topic": "another"}
	s.write(t)
	await.Until(t, await.Patience, func() string {
		if got := s.statusAt(t, s.ingress).Problem; got == nil || got.Reason != "TopicIsImmutable" {
			return fmt.Sprintf("another topic: %+v", got)
		}
		return ""
	})
}

// A Broker that is created anew under the name of one before gets none of its events, though its Triggers are the same, and loses none of its
// own.
func TestBrokerIsCreatedAnew(t *testing.T) {
	t.Parallel()
	s := newStage(t, "gRPC")
	gets := newSubscriber(t, says(http.StatusServiceUnavailable))
	s.triggers = []*eventingv1.Trigger{retrying(trigger("gets", gets), 1_000_000, nil)}
	s.play(t)
	for i := range 20 {
		s.mustSend(t, newEvent(fmt.Sprint("old-", i), "order"))
	}
	await.Until(t, await.Patience, func() string {
		if len(gets.ids()) < 20 {
			return "not all events of the first Broker have been tried"
		}
		return ""
	})
	s.brokers[0] = newBroker("default")
	s.write(t)
	s.awaitServed(t)
	var ids []string
	for i := range 20 {
		ids = append(ids, fmt.Sprint("new-", i))
		s.mustSend(t, newEvent(ids[i], "order"))
	}
	await.Until(t, await.Patience, func() string {
		if len(gets.ids()) < 40 {
			return "not all events of the second Broker have been tried"
		}
		return ""
	})
	s.dispatcher.end(t, syscall.SIGKILL)
	s.dispatcher = nil
	gets.forget()
	gets.answers(nil)
	s.play(t)
	gets.awaits(t, "the subscriber", ids...)
}
