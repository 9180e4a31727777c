package dispatch

import (
	"hash/fnv"
	"iter"
	"net/url"
	"time"

	"github.com/cloudevents/sdk-go/v2/event"

	"github.com/eventing-eventmesh/eventing-eventmesh/pkg/dispatch/internal/journal"
)

// Message is an event to deliver. It belongs to the dispatcher once it has been put.
type Message struct {
	// Event is the event to send.
	Event event.Event
	// Topic is where it comes from: for logs, metrics, and the order of events without a partition key. It may be empty.
	Topic string
	// Undecodable says why what came could not be read, where the event only carries that: it goes to the place of dead letters alone.
	Undecodable error
	// Received is when it came; by default when it is put.
	Received time.Time
	// Origin is for [Options.Acknowledge] and [LaneOptions.OnReply]. It is not kept on disk.
	Origin any

	seq, key uint64
	size     int64
	record   []byte // what goes to disk, if anything
	saved    bool   // it is there
	items    []item // one for each lane
	open     int    // how many of them have not found their place of rest

	older, newer *Message // in the order of reception, in memory
}

// waitingFor are the items of a lane that wait, in memory, for their first attempt or another one.
func (m *Message) waitingFor(l *Lane) iter.Seq[*item] {
	return func(yield func(*item) bool) {
		for i := range m.items {
			if it := &m.items[i]; it.lane == l && !it.rested && !it.inFlight && !yield(it) {
				return
			}
		}
	}
}

// readers adds those of the message's lanes, but for lanes that are closed, as long as there are others.
func (m *Message) readers(all []journal.Reader) []journal.Reader {
	from := len(all)
	for i := range m.items {
		if l := m.items[i].lane; !l.isClosed() {
			all = append(all, l.stored.reader)
		}
	}
	if len(all) == from { // a request of a closed one is under way, and needs the event until it ends
		all = append(all, m.items[0].lane.stored.reader)
	}
	return all
}

// pending is what the message takes while it waits for the disk.
func (m *Message) pending() int64 { return m.size + int64(len(m.record)) }

// item is a message on its way to one destination.
type item struct {
	lane *Lane
	// message is what was put. It is nil once the event is on disk.
	message *Message

	// seq numbers events in the order of their reception.
	seq uint64
	// key is alike for events whose order matters, with ByKey.
	key      uint64
	topic    string
	received time.Time
	size     int64
	// event is the one to send. It is not in memory while it waits on disk.
	event event.Event
	// undecodable says that the event carries what could not be read, for the dead letters alone.
	undecodable bool
	// stored is the record of an event on disk, while it is in memory and has not been decoded.
	stored []byte
	// unreadable says why the record on disk cannot be read, if so. Then the event carries the record, and is undecodable too.
	unreadable error
	// setAside says that the record stays on disk, since there was no other place for it.
	setAside bool

	// saved says that the event is on disk, and need not stay in memory.
	saved bool
	// out says that it was handed out before it was on disk, and rested that it has been delivered or given up since.
	out, rested bool

	// attempts counts requests of this process that did not succeed.
	attempts int
	// due is when the next attempt may be made, while it waits for one.
	due time.Time
	// probe is the circuit whose destination the attempt is to find out about, if any.
	probe *circuit
	// secondary says that the attempt is not the event's first, and inFlight that one is under way.
	secondary, inFlight bool
	// givenUp says why the event goes to the place of dead letters and no longer to its destination, if so.
	givenUp *givenUp
}

// givenUp is an event's way to the place of dead letters.
type givenUp struct {
	reason   string
	failure  error
	attempts int // to bring it there
}

// unload leaves no more in memory of an event on disk than what is known of its delivery.
func (it *item) unload() { it.event = event.Event{} }

// loaded tells whether the event is in memory.
func (it *item) loaded() bool { return it.event.Context != nil }

// describe names an event in a log: never its data.
func (it *item) describe() []any {
	return []any{
		"id", it.event.ID(), "source", it.event.Source(), "type", it.event.Type(), "topic", it.topic, "attempts", it.attempts,
	}
}

const (
	// overhead in bytes is what a kept event needs besides its data and the text of its attributes: a round figure.
	overhead = 1024
	// extensionOverhead is what each extension needs besides its text, likewise.
	extensionOverhead = 128
)

// sizeOf returns what an event needs in memory, more or less.
func sizeOf(e *event.Event) int64 {
	size := overhead + len(e.DataEncoded)
	c, ok := e.Context.(*event.EventContextV1)
	if !ok {
		return int64(size)
	}
	size += len(c.ID) + len(c.Type) + lengthOf(c.Subject) + lengthOf(c.DataContentType) + lengthOfURL(&c.Source.URL)
	if c.DataSchema != nil {
		size += lengthOfURL(&c.DataSchema.URL)
	}
	for name, value := range c.Extensions {
		size += extensionOverhead + len(name)
		switch value := value.(type) {
		case string:
			size += len(value)
		case []byte:
			size += len(value)
		}
	}
	return int64(size)
}

func lengthOf(s *string) int {
	if s == nil {
		return 0
	}
	return len(*s)
}

// lengthOfURL spares making the text of it.
func lengthOfURL(u *url.URL) int {
	return len(u.Scheme) + len(u.Opaque) + len(u.Host) + len(u.Path) + len(u.RawPath) + len(u.RawQuery) + len(u.Fragment) + len(u.RawFragment)
}

// partitionKey is the extension that says which events belong together: the partitioning extension of CloudEvents.
const partitionKey = "partitionkey"

// orderingKey returns the key of an event: its partition key, and without one its topic.
func orderingKey(e *event.Event, topic string) uint64 {
	h := fnv.New64a()
	if key, ok := extensionsOf(e)[partitionKey].(string); ok {
		_, _ = h.Write([]byte("key " + key))
	} else {
		_, _ = h.Write([]byte("topic " + topic))
	}
	return h.Sum64()
}

// extensionsOf returns the event's extensions, to be read: the event's own method copies them.
func extensionsOf(e *event.Event) map[string]any {
	if c, ok := e.Context.(*event.EventContextV1); ok {
		return c.Extensions
	}
	return nil
}
