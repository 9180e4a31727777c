package next

import (
	"errors"
	"fmt"
	"maps"
	"math/rand/v2"
	"slices"
	"sync"
	"time"

	"github.com/eventing-eventmesh/eventing-eventmesh/pkg/eventmesh/eventmeshtest"
	"github.com/eventing-eventmesh/eventing-eventmesh/pkg/eventmesh/grpc/eventmeshpb"
)

// broker is everything behind the requests. Its methods with small letters are called with it locked where they say so.
type broker struct {
	options Options

	mu     sync.Mutex
	topics map[string]*topic
	memory

	records map[string][]*eventmeshpb.CloudEvent
	// publications counts what was stored; deliveries and sessions are kept over restarts.
	publications uint64
	deliveries   []*delivery
	sessions     []*eventmeshtest.Session
}

// memory is what a server process knows, besides its topics.
type memory struct {
	clients map[string]*client
	// polled, above and pollers are by clientId, and outlive the client: when its last poll began, how many events in a row were put into
	// its buffer above the limit, and how many polls are under way.
	polled  map[string]time.Time
	above   map[string]int
	pollers map[string]int
	// flights are the deliveries that are not acknowledged. Those that can be are acknowledgeable: they were put into a buffer, and may
	// have ended as dead letters.
	flights, acknowledgeable map[string]*flight
	waiting                  map[string]chan *event // for replies, by correlation
	bridge
	// boot is what deliveries are called by. The others count them, requests, and choices of LOAD_BALANCE, for all topics.
	boot                   string
	number, requests, turn uint64
	// stuck says that a name with a bar has ended all redelivery.
	stuck bool
}

func newMemory() memory {
	return memory{
		clients: map[string]*client{}, polled: map[string]time.Time{}, above: map[string]int{}, pollers: map[string]int{},
		flights: map[string]*flight{}, acknowledgeable: map[string]*flight{}, waiting: map[string]chan *event{},
		bridge: newBridge(),
		boot:   fmt.Sprintf("%x-%x", time.Now().UnixMilli(), rand.Uint64()), //nolint:gosec // not a secret
	}
}

func newBroker(o Options) *broker {
	return &broker{options: o, topics: map[string]*topic{}, memory: newMemory(), records: map[string][]*eventmeshpb.CloudEvent{}}
}

// restart forgets what a server process knows.
func (b *broker) restart(keep bool) {
	b.mu.Lock()
	defer b.mu.Unlock()
	keep = keep && b.options.Storage == Holding
	for _, f := range b.inFlight() {
		if t := b.topics[f.message.topic]; keep && f.message.offset >= t.acknowledged {
			f.message.handed = f.message.handed || f.handed != nil
		} else if f.handed == nil {
			b.lose(f.message, "it was in the memory of the server when that ended")
		}
	}
	for _, name := range slices.Sorted(maps.Keys(b.topics)) {
		b.topics[name].restart(b, keep)
	}
	b.memory = newMemory()
}

// topic returns a topic, which exists by being named. The broker is locked.
func (b *broker) topic(name string) *topic {
	t := b.topics[name]
	if t == nil {
		t = &topic{name: name, subscriptions: map[string]*subscription{}, bucket: newBucket(b.options.RateLimit, time.Now())}
		b.topics[name] = t
	}
	return t
}

var errRateLimited = errors.New("rate limited")

// publish stores an event for the pump. It returns errRateLimited, or what the storage has against the event.
func (b *broker) publish(topic string, e *event) error {
	b.mu.Lock()
	defer b.mu.Unlock()
	if !b.topic(topic).bucket.take(time.Now()) {
		return fmt.Errorf("%w: %s", errRateLimited, topic)
	}
	if b.options.Storage == Holding {
		if err := b.check(e); err != nil {
			return err
		}
	}
	b.store(topic, e)
	return nil
}

// store appends an event to a topic. The broker is locked.
func (b *broker) store(topic string, e *event) {
	b.publications++
	m := &message{topic: topic, event: e, publication: b.publications}
	b.topic(topic).append(m, b.options.Storage)
	if b.options.RecordLimit < 0 {
		return
	}
	records := b.records[topic]
	records = append(records, m.event.toProto())
	if len(records) > b.options.RecordLimit {
		records = records[1:]
	}
	b.records[topic] = records
}

// pump moves events to the buffers of clients. Between taking events out of a topic and looking for who wants them it lets others do something.
func (b *broker) pump(time.Time) {
	b.mu.Lock()
	defer b.mu.Unlock()
	for _, name := range slices.Sorted(maps.Keys(b.topics)) {
		t := b.topics[name]
		if len(t.subscriptions) == 0 {
			continue
		}
		lived := t.lives(time.Now(), b.options.SubscriptionLife)
		batch := t.pull(b.options.PumpBatch, b.options.Storage)
		if len(batch) > 0 && b.options.DispatchTime > 0 {
			b.mu.Unlock()
			time.Sleep(b.options.DispatchTime)
			b.mu.Lock()
		}
		b.dispatch(t, batch, lived, time.Now())
	}
}

// dispatch gives each event to those subscriptions that its turn has come to. Whether any lived when the events were pulled tells why there is
// none. An event that cannot be written ends it. The broker is locked.
func (b *broker) dispatch(t *topic, batch []*message, lived bool, now time.Time) {
	for i, m := range batch {
		if m.event.expired(now) {
			b.lose(m, "its emttl is over")
			continue
		}
		targets := t.targets(m, now, b.options.SubscriptionLife, &b.turn)
		if len(targets) == 0 {
			reason := "no subscription to its topic lives"
			if lived {
				reason = "the last subscription to its topic ended while it was dispatched"
			}
			b.lose(m, "%s", reason)
			continue
		}
		if err := b.check(m.event); err != nil {
			b.lose(m, "it cannot be written: %v", err)
			for _, behind := range batch[i+1:] {
				b.lose(behind, "it was moved together with an event that cannot be written")
			}
			return
		}
		for _, s := range targets {
			b.deliver(m, s.client, now)
		}
	}
}

// evict forgets the clients that do not poll, with their subscriptions and their buffers.
func (b *broker) evict(now time.Time) {
	b.mu.Lock()
	defer b.mu.Unlock()
	for id := range b.clients {
		if now.Sub(b.polled[id]) > b.options.StaleAfter {
			b.options.Logf("evicted client %q, which has not polled for %s", id, b.options.StaleAfter)
			b.remove(id)
		}
	}
}

// What an event may have besides what options say, in bytes.
const (
	maxName = 256
	maxData = 8 << 20
)

// check tells whether the server can write an event in its own form.
func (b *broker) check(e *event) error {
	if n := len(e.attributes); n > b.options.MaxAttributes {
		return fmt.Errorf("it has %d attributes", n)
	}
	for name, value := range e.attributes {
		if len(name) > maxName || len(value) > b.options.MaxAttributeSize {
			return fmt.Errorf("its attribute %.20s has %d bytes, and %d in its name", name, len(value), len(name))
		}
	}
	if len(e.data) > maxData {
		return fmt.Errorf("its data has %d bytes", len(e.data))
	}
	return nil
}

// lose tells of an event that nobody will get. The broker is locked.
func (b *broker) lose(m *message, format string, args ...any) {
	reason := fmt.Sprintf(format, args...)
	b.handOut(m, nil).lose(reason)
	b.options.Logf("lost event %q of topic %q: %s", m.event.attributes["id"], m.topic, reason)
}
