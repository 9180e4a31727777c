// Package contract is what every transport of EventMesh has to do, as tests: against the in-memory EventMesh of package
// eventmeshtest, and against any real one. It uses topics and groups that nobody else has used, and asks for nothing that a
// real server does not do.
package contract

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/cloudevents/sdk-go/v2/event"

	"github.com/eventing-eventmesh/eventing-eventmesh/pkg/eventmesh"
)

// Target is an EventMesh to run against.
type Target struct {
	// Addresses of the server; the scheme says which transport is tested.
	Addresses []eventmesh.Address
	// Transport is the one under test.
	Transport eventmesh.Transport
	// Other is the same server by its other transport; nil leaves out the tests of both.
	Other *Other
	// Storage tells what the server's storage can do.
	Storage Storage
	// Credentials, if the server wants some.
	Credentials func() (eventmesh.Credentials, error)
}

// Other is another way to the server of a target.
type Other struct {
	Addresses []eventmesh.Address
	Transport eventmesh.Transport
}

// Storage is what storages of EventMesh do differently.
type Storage struct {
	// HoldsEvents for a group whose members are absent, instead of refusing them. Such a storage, as RocketMQ, makes a topic with
	// its first event, and a new group misses what is published before the storage's own client has found the topic.
	HoldsEvents bool
	// Requests are answered with a subscriber's reply, instead of refused.
	Requests bool
}

// timeout bounds each wait of a test; a cold server takes seconds.
const timeout = time.Minute

// Run runs the suite as subtests of t.
func Run(t *testing.T, target Target) {
	t.Helper()
	for name, test := range map[string]func(*testing.T, Target){
		"every event arrives unchanged":                 events,
		"any event arrives unchanged":                   anyEvent,
		"a subscription of several topics":              severalTopics,
		"concurrent publishes all arrive":               concurrentPublishes,
		"none of many in flight is published again":     manyInFlight,
		"a group shares events":                         clustering,
		"broadcasting reaches every member":             broadcasting,
		"who stays gets everything after one left":      leaving,
		"who comes back without having left":            returning,
		"unacknowledged events go to another member":    redelivery,
		"many deliveries are acknowledged at once":      acknowledgement,
		"a large event arrives, a too large is refused": tooLarge,
		"what cannot be carried is refused":             refused,
		"a topic without subscribers":                   noSubscriber,
		"a request gets its reply":                      request,
		"EventMesh's own messages become events":        messages,
		"a request that is a message gets its reply":    messageRequest,
		"events for subscribers of the other transport": crossing,
		"requests to subscribers of the other one":      crossingRequest,
		"JSON is JSON to other clients over TCP":        jsonForOthers,
		"a server that is not there":                    away,
	} {
		t.Run(name, func(t *testing.T) { test(t, target) })
	}
}

func (target Target) tcp() bool { return strings.HasPrefix(target.Addresses[0].Scheme, "tcp") }

// unique returns a name that no other run uses.
func unique(what string) string { return fmt.Sprintf("contract-%s-%x", what, rand.Uint64()) }

func (target Target) config(group string, connected chan<- struct{}) eventmesh.Config {
	return eventmesh.Config{
		Addresses: target.Addresses, ClientID: unique("client"), Group: group, Credentials: target.Credentials, Timeout: timeout,
		Notify: func(s eventmesh.Status) {
			if s.Connected {
				select {
				case connected <- struct{}{}:
				default:
				}
			}
		},
	}
}

func (target Target) publisher(t *testing.T) *eventmesh.Publisher {
	t.Helper()
	return target.publisherFor(t, "")
}

func (target Target) publisherFor(t *testing.T, subscribers string) *eventmesh.Publisher {
	t.Helper()
	connected := make(chan struct{}, 1)
	cfg := target.config(unique("producers"), connected)
	cfg.Subscribers = subscribers
	transports := []eventmesh.Transport{target.Transport}
	if target.Other != nil {
		transports = append(transports, target.Other.Transport)
	}
	p, err := eventmesh.NewPublisher(cfg, transports...)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = p.Close() })
	await(t, connected, "the publisher's connection")
	return p
}

// subscriber returns one that has subscribed.
func (target Target) subscriber(t *testing.T, group string, s eventmesh.Subscription) *eventmesh.Subscriber {
	t.Helper()
	connected := make(chan struct{}, 1)
	subscriber, err := eventmesh.NewSubscriber(target.config(group, connected), s, target.Transport)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = subscriber.Close() })
	await(t, connected, "the subscription")
	return subscriber
}

func await(t *testing.T, c <-chan struct{}, what string) {
	t.Helper()
	select {
	case <-c:
	case <-time.After(timeout):
		t.Fatalf("waited %s in vain for %s", timeout, what)
	}
}

// topic returns the name of one that exists, as far as the storage knows topics.
func (target Target) topic(t *testing.T) string {
	t.Helper()
	topic := unique("topic")
	if target.Storage.HoldsEvents {
		publish(t, target.publisher(t), topic, warmUp(0))
	}
	return topic
}

// warmUpType is the type of events that tests ignore.
const warmUpType = "com.example.warm-up"

func warmUp(i int) event.Event {
	e := numbered(i)
	e.SetType(warmUpType)
	return e
}

// warm publishes until everything that it publishes arrives, which a storage that holds events needs for a new group.
func (target Target) warm(t *testing.T, p *eventmesh.Publisher, topic string, members ...*eventmesh.Subscriber) {
	t.Helper()
	if !target.Storage.HoldsEvents {
		return
	}
	const n = 16 // several for each of a topic's queues
	for deadline, round := time.Now().Add(2*timeout), 1; ; round++ {
		ctx, cancel := context.WithTimeout(t.Context(), 2*time.Second)
		got := make(chan struct{}, 2*n*len(members))
		var receiving sync.WaitGroup
		for _, member := range members {
			receiving.Go(func() {
				for {
					d, err := member.Receive(ctx)
					if err != nil {
						return
					}
					_ = d.Ack(ctx)
					if strings.HasPrefix(d.Event.ID(), fmt.Sprintf("%d-", round)) {
						got <- struct{}{}
					}
				}
			})
		}
		for i := range n {
			e := warmUp(i)
			e.SetID(fmt.Sprintf("%d-%d", round, i))
			publish(t, p, topic, e)
		}
		for range n {
			select {
			case <-got:
			case <-ctx.Done():
			}
		}
		complete := ctx.Err() == nil
		cancel()
		receiving.Wait()
		if complete {
			return
		}
		if time.Now().After(deadline) {
			t.Fatalf("new events on topic %s do not reach its new group", topic)
		}
	}
}

func publish(t *testing.T, p *eventmesh.Publisher, topic string, e event.Event) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), timeout)
	defer cancel()
	if err := p.Publish(ctx, topic, e); err != nil {
		t.Fatalf("publishing %s: %v", e.ID(), err)
	}
}

// receive returns the next delivery, acknowledged.
func receive(t *testing.T, s *eventmesh.Subscriber) *eventmesh.Delivery {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), timeout)
	defer cancel()
	for {
		d, err := s.Receive(ctx)
		if err != nil {
			t.Fatalf("receiving: %v", err)
		}
		if d.Err != nil {
			t.Fatalf("receiving: %v, from %q", d.Err, d.Raw)
		}
		if err := d.Ack(t.Context()); err != nil {
			t.Fatal(err)
		}
		if d.Event.Type() != warmUpType {
			return d
		}
	}
}

func numbered(i int) event.Event {
	e := newEvent(fmt.Sprint(i))
	e.SetDataContentType("text/plain")
	e.DataEncoded = fmt.Append(nil, i)
	return e
}

// collector receives from several subscribers until it has seen all numbers below n.
type collector struct {
	mu   sync.Mutex
	by   map[string][]int // event ID to the members that got it
	all  chan struct{}
	want int
}

func collect(t *testing.T, n int, members ...*eventmesh.Subscriber) *collector {
	t.Helper()
	c := &collector{by: map[string][]int{}, all: make(chan struct{}), want: n}
	ctx, cancel := context.WithCancel(context.Background())
	var receivers sync.WaitGroup
	for i, member := range members {
		receivers.Go(func() {
			for {
				d, err := member.Receive(ctx)
				if err != nil {
					return
				}
				_ = d.Ack(ctx)
				if d.Event.Type() != warmUpType {
					c.add(i, d.Event.ID())
				}
			}
		})
	}
	t.Cleanup(func() { cancel(); receivers.Wait() })
	return c
}

func (c *collector) add(member int, id string) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.by[id] = append(c.by[id], member)
	if len(c.by) == c.want && len(c.by[id]) == 1 {
		close(c.all)
	}
}

func events(t *testing.T, target Target) {
	topic := target.topic(t)
	s := target.subscriber(t, unique("group"), eventmesh.Subscription{Topics: []string{topic}})
	p := target.publisher(t)
	target.warm(t, p, topic, s)
	for _, c := range Events() {
		t.Run(c.Name, func(t *testing.T) {
			publish(t, p, topic, c.Event)
			got := receive(t, s)
			if diff := Difference(got.Event, c.Event); diff != "" {
				t.Error(diff)
			}
			if got.Topic != topic {
				t.Errorf("topic: got %q, want %q", got.Topic, topic)
			}
		})
	}
}

func anyEvent(t *testing.T, target Target) {
	seed := uint64(time.Now().UnixNano())
	t.Logf("seed %d", seed)
	r := rand.New(rand.NewPCG(seed, 0))
	topic := target.topic(t)
	s := target.subscriber(t, unique("group"), eventmesh.Subscription{Topics: []string{topic}})
	p := target.publisher(t)
	target.warm(t, p, topic, s)
	for range 100 {
		e := RandomEvent(r)
		publish(t, p, topic, e)
		if diff := Difference(receive(t, s).Event, e); diff != "" {
			t.Fatalf("%sof %s", diff, e)
		}
	}
}

func severalTopics(t *testing.T, target Target) {
	topics := []string{target.topic(t), target.topic(t), target.topic(t)}
	s := target.subscriber(t, unique("group"), eventmesh.Subscription{Topics: topics})
	p := target.publisher(t)
	for _, topic := range topics {
		target.warm(t, p, topic, s)
	}
	for i, topic := range topics {
		publish(t, p, topic, numbered(i))
		if d := receive(t, s); d.Topic != topic || d.Event.ID() != fmt.Sprint(i) {
			t.Errorf("got event %s of topic %s, want event %d of %s", d.Event.ID(), d.Topic, i, topic)
		}
	}
}

func concurrentPublishes(t *testing.T, target Target) {
	const publishers, each = 4, 50
	topic := target.topic(t)
	s := target.subscriber(t, unique("group"), eventmesh.Subscription{Topics: []string{topic}})
	target.warm(t, target.publisher(t), topic, s)
	c := collect(t, publishers*each, s)
	var running sync.WaitGroup
	for i := range publishers {
		p := target.publisher(t)
		for j := range 2 {
			running.Go(func() {
				for k := j; k < each; k += 2 {
					if err := p.Publish(t.Context(), topic, numbered(i*each+k)); err != nil {
						t.Errorf("publishing: %v", err)
					}
				}
			})
		}
	}
	running.Wait()
	await(t, c.all, "every event that was confirmed")
}

// manyInFlight publishes over one connection. What is not confirmed is published again, and arrives twice.
func manyInFlight(t *testing.T, target Target) {
	const goroutines, each = 20, 15
	topic := target.topic(t)
	s := target.subscriber(t, unique("group"), eventmesh.Subscription{Topics: []string{topic}})
	p := target.publisher(t)
	target.warm(t, p, topic, s)
	c := collect(t, goroutines*each+1, s)
	var running sync.WaitGroup
	for i := range goroutines {
		running.Go(func() {
			for k := range each {
				if err := p.Publish(t.Context(), topic, numbered(i*each+k)); err != nil {
					t.Errorf("publishing: %v", err)
				}
			}
		})
	}
	running.Wait()
	publish(t, p, topic, numbered(goroutines*each))
	await(t, c.all, "every event that was confirmed")
	c.mu.Lock()
	defer c.mu.Unlock()
	for id, by := range c.by {
		if len(by) > 1 {
			t.Errorf("event %s arrived %d times", id, len(by))
		}
	}
}

func clustering(t *testing.T, target Target) {
	const n = 60
	topic, group := target.topic(t), unique("group")
	subscription := eventmesh.Subscription{Topics: []string{topic}}
	p := target.publisher(t)
	members := []*eventmesh.Subscriber{target.subscriber(t, group, subscription), target.subscriber(t, group, subscription)}
	target.warm(t, p, topic, members...)
	c := collect(t, n, members...)
	for i := range n {
		publish(t, p, topic, numbered(i))
	}
	await(t, c.all, "all events")
	c.mu.Lock()
	defer c.mu.Unlock()
	counts := [2]int{}
	for _, members := range c.by {
		counts[members[0]]++
	}
	if counts[0] == 0 || counts[1] == 0 {
		t.Errorf("the members got %d and %d of %d events, want a share each", counts[0], counts[1], n)
	}
}

func broadcasting(t *testing.T, target Target) {
	topic, group := target.topic(t), unique("group")
	subscription := eventmesh.Subscription{Topics: []string{topic}, Mode: eventmesh.Broadcasting}
	members := []*eventmesh.Subscriber{target.subscriber(t, group, subscription), target.subscriber(t, group, subscription)}
	p := target.publisher(t)
	target.warm(t, p, topic, members[:1]...)
	publish(t, p, topic, numbered(17))
	for _, member := range members {
		if d := receive(t, member); d.Event.ID() != "17" {
			t.Errorf("got event %s, want 17", d.Event.ID())
		}
	}
}

func leaving(t *testing.T, target Target) {
	topic, group := target.topic(t), unique("group")
	subscription := eventmesh.Subscription{Topics: []string{topic}}
	stays := target.subscriber(t, group, subscription)
	leaves := target.subscriber(t, group, subscription)
	ctx, cancel := context.WithTimeout(t.Context(), timeout)
	defer cancel()
	if err := leaves.Leave(ctx); err != nil {
		t.Fatal(err)
	}
	if _, err := leaves.Receive(ctx); !errors.Is(err, eventmesh.ErrClosed) {
		t.Fatalf("receiving after leaving: got %v, want %v", err, eventmesh.ErrClosed)
	}
	// Over gRPC the other member has lost its stream too; until it has subscribed again, events are lost.
	p := target.publisher(t)
	for i := 0; ; i++ {
		publish(t, p, topic, numbered(i))
		attempt, cancel := context.WithTimeout(ctx, time.Second)
		d, err := stays.Receive(attempt)
		cancel()
		if err == nil {
			_ = d.Ack(t.Context())
			break
		}
		if ctx.Err() != nil {
			t.Fatal("the member that stayed gets nothing")
		}
	}
}

// returning lets the only member of a group die, and come back under its name: what a storage held for it comes, and what is published
// from then on arrives. What RocketMQ was about to deliver when the member came back it delivers again.
func returning(t *testing.T, target Target) {
	if target.tcp() {
		t.Skip("a dead TCP session is no member of its group any more")
	}
	topic, group, connected := target.topic(t), unique("group"), make(chan struct{}, 1)
	cfg := target.config(group, connected)
	join := func() *eventmesh.Subscriber {
		t.Helper()
		s, err := eventmesh.NewSubscriber(cfg, eventmesh.Subscription{Topics: []string{topic}}, target.Transport)
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { _ = s.Close() })
		await(t, connected, "the subscription")
		return s
	}
	p, member := target.publisher(t), join()
	target.warm(t, p, topic, member)
	_ = member.Close()
	const n = 200
	held := n // the first of those published meanwhile that came; EventMesh may have written those before to the dying stream
	if target.Storage.HoldsEvents {
		for i := range n {
			publish(t, p, topic, numbered(i))
		}
	}
	member = join()
	for i := n; i < 2*n; i++ {
		publish(t, p, topic, numbered(i))
	}
	came := map[int]bool{}
	for want := n; len(came) < want; want = 2*n - held {
		d := receive(t, member)
		i, err := strconv.Atoi(d.Event.ID())
		if err != nil || came[i] && !target.Storage.HoldsEvents {
			t.Fatalf("got event %s again, %v", d.Event.ID(), err)
		}
		came[i] = true
		held = min(held, i)
	}
	if target.Storage.HoldsEvents && held == n {
		t.Error("nothing came of what was published while there was no member")
	}
}

func redelivery(t *testing.T, target Target) {
	if !target.tcp() {
		ackOnStream(t, target)
		return
	}
	topic, group := target.topic(t), unique("group")
	subscription := eventmesh.Subscription{Topics: []string{topic}}
	first := target.subscriber(t, group, subscription)
	p := target.publisher(t)
	target.warm(t, p, topic, first)
	publish(t, p, topic, numbered(1))
	ctx, cancel := context.WithTimeout(t.Context(), timeout)
	defer cancel()
	d, err := first.Receive(ctx)
	if err != nil {
		t.Fatal(err)
	}
	second := target.subscriber(t, group, subscription)
	_ = first.Close()
	if err := d.Ack(t.Context()); err == nil {
		t.Error("acknowledging on a closed session: got no error")
	}
	if again := receive(t, second); again.Event.ID() != d.Event.ID() {
		t.Errorf("got event %s, want %s again", again.Event.ID(), d.Event.ID())
	}
}

// acknowledgement acknowledges all that it receives but the first, which another member gets over TCP.
func acknowledgement(t *testing.T, target Target) {
	const n = 5
	topic, group := target.topic(t), unique("group")
	subscription := eventmesh.Subscription{Topics: []string{topic}}
	first := target.subscriber(t, group, subscription)
	p := target.publisher(t)
	target.warm(t, p, topic, first)
	ctx, cancel := context.WithTimeout(t.Context(), timeout)
	defer cancel()
	var deliveries []*eventmesh.Delivery
	for i := range n {
		publish(t, p, topic, numbered(i))
		d, err := first.Receive(ctx)
		if err != nil {
			t.Fatal(err)
		}
		deliveries = append(deliveries, d)
	}
	second := target.subscriber(t, group, subscription)
	if err := eventmesh.Acknowledge(ctx, deliveries[1:]...); err != nil {
		t.Errorf("acknowledging %d deliveries: %v", n-1, err)
	}
	if err := deliveries[0].Release(ctx); err != nil {
		t.Errorf("releasing a delivery: %v", err)
	}
	if err := first.Leave(ctx); err != nil {
		t.Errorf("leaving with nothing in hand: %v", err)
	}
	if !target.tcp() { // EventMesh has forgotten all of them
		return
	}
	publish(t, p, topic, numbered(n))
	want := []string{deliveries[0].Event.ID(), numbered(n).ID()}
	for range want {
		if got := receive(t, second).Event.ID(); !slices.Contains(want, got) {
			t.Errorf("another member got event %s, want %v", got, want)
		}
	}
}

// ackOnStream: over gRPC there is no acknowledgement, so an Ack cannot fail.
func ackOnStream(t *testing.T, target Target) {
	topic := target.topic(t)
	s := target.subscriber(t, unique("group"), eventmesh.Subscription{Topics: []string{topic}})
	p := target.publisher(t)
	target.warm(t, p, topic, s)
	publish(t, p, topic, numbered(1))
	d := receive(t, s)
	_ = s.Close()
	if err := d.Ack(t.Context()); err != nil {
		t.Errorf("acknowledging: got %v, want nil", err)
	}
}

func tooLarge(t *testing.T, target Target) {
	topic := target.topic(t)
	s := target.subscriber(t, unique("group"), eventmesh.Subscription{Topics: []string{topic}})
	p := target.publisher(t)
	target.warm(t, p, topic, s)
	large := numbered(1)
	large.DataEncoded = []byte(strings.Repeat("x", 900)) // a server's default for TCP is 1,000 characters
	publish(t, p, topic, large)
	if diff := Difference(receive(t, s).Event, large); diff != "" {
		t.Error(diff)
	}
	large.DataEncoded = make([]byte, 5<<20)
	if err := p.Publish(t.Context(), topic, large); !errors.Is(err, eventmesh.ErrTooLarge) {
		t.Errorf("5 MiB: got %v, want %v", err, eventmesh.ErrTooLarge)
	}
	publish(t, p, topic, numbered(2)) // the session has survived
	if d := receive(t, s); d.Event.ID() != "2" {
		t.Errorf("got event %s, want 2", d.Event.ID())
	}
}

func refused(t *testing.T, target Target) {
	p := target.publisher(t)
	noID := newEvent("")
	for name, c := range map[string]struct {
		event event.Event
		topic string
		want  error
	}{
		"no id":         {noID, unique("topic"), eventmesh.ErrInvalidEvent},
		"invalid topic": {numbered(1), "no topic", eventmesh.ErrInvalidTopic},
	} {
		err := p.Publish(t.Context(), c.topic, c.event)
		if !errors.Is(err, c.want) || eventmesh.Temporary(err) {
			t.Errorf("%s: got %v, want %v for good", name, err, c.want)
		}
	}
}

func noSubscriber(t *testing.T, target Target) {
	err := target.publisher(t).Publish(t.Context(), unique("topic"), numbered(1))
	if target.Storage.HoldsEvents {
		if err != nil {
			t.Errorf("got %v, want nil", err)
		}
		return
	}
	if !errors.Is(err, eventmesh.ErrNoSubscriber) || !eventmesh.Temporary(err) {
		t.Errorf("got %v, want %v for now", err, eventmesh.ErrNoSubscriber)
	}
}

func request(t *testing.T, target Target) {
	topic := target.topic(t)
	p := target.publisher(t)
	responder := target.subscriber(t, unique("group"), eventmesh.Subscription{Topics: []string{topic}, Type: eventmesh.Sync})
	if !target.Storage.Requests {
		ctx, cancel := context.WithTimeout(t.Context(), timeout)
		defer cancel()
		if reply, err := p.Request(ctx, topic, numbered(1)); err == nil || !eventmesh.Temporary(err) {
			t.Errorf("got %v, %v; want a refusal", reply, err)
		}
		return
	}
	target.warm(t, p, topic, responder)
	want := newEvent("reply")
	want.SetSubject("its own subject")
	want.SetExtension("env", "own")
	want.SetExtension("count", int32(3))
	want.SetDataContentType("application/json")
	want.DataEncoded = []byte(`{"answer": 42.0}`)
	answering, stop := context.WithCancel(t.Context())
	var responding sync.WaitGroup
	responding.Go(func() {
		for {
			d, err := responder.Receive(answering)
			if err != nil {
				return
			}
			_ = d.Ack(answering)
			switch d.Event.ID() {
			case "1":
				err = d.Reply(answering, want)
			case "2":
				err = d.ReplyInvalid(answering, errors.New("it is no event\nat all"))
			}
			if err != nil {
				t.Errorf("replying: %v", err)
			}
		}
	})
	defer responding.Wait()
	defer stop()
	// RocketMQ loses replies until its broker knows EventMesh's new producer, which can take half a minute.
	for deadline := time.Now().Add(3 * timeout); ; {
		attempt, cancel := context.WithTimeout(t.Context(), timeout/4)
		got, err := p.Request(attempt, topic, numbered(1))
		cancel()
		if err == nil {
			if diff := Difference(*got, want); diff != "" {
				t.Error(diff)
			}
			break
		}
		if !errors.Is(err, eventmesh.ErrNoReply) || time.Now().After(deadline) {
			t.Fatalf("requesting: %v", err)
		}
	}
	if got, err := p.Request(t.Context(), topic, numbered(2)); !errors.Is(err, eventmesh.ErrInvalidReply) || !strings.HasSuffix(err.Error(), ": it is no event") {
		t.Errorf("got %v, %v; want an error that says why there is no reply", got, err)
	}
}

func away(t *testing.T, target Target) {
	nowhere := target
	nowhere.Addresses = []eventmesh.Address{{Scheme: target.Addresses[0].Scheme, Host: "127.0.0.1:1"}}
	tried := make(chan error, 1)
	cfg := nowhere.config(unique("producers"), nil)
	cfg.Notify = func(s eventmesh.Status) {
		select {
		case tried <- s.Err:
		default:
		}
	}
	transports := []eventmesh.Transport{target.Transport}
	if target.Other != nil {
		transports = append(transports, target.Other.Transport)
	}
	p, err := eventmesh.NewPublisher(cfg, transports...)
	if err != nil {
		t.Fatal(err)
	}
	defer p.Close()
	if err := p.Publish(t.Context(), unique("topic"), numbered(1)); !errors.Is(err, eventmesh.ErrNotConnected) || !eventmesh.Temporary(err) {
		t.Errorf("got %v, want %v for now", err, eventmesh.ErrNotConnected)
	}
	select {
	case err := <-tried:
		if !errors.Is(err, eventmesh.ErrNotConnected) || !strings.Contains(err.Error(), "127.0.0.1:1") {
			t.Errorf("told of %v, want %v with the address", err, eventmesh.ErrNotConnected)
		}
	case <-time.After(timeout):
		t.Error("told of nothing")
	}
}
