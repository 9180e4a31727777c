package source

import (
	"hash/fnv"
	"net/url"
	"time"

	"github.com/cloudevents/sdk-go/v2/event"

	"github.com/eventing-eventmesh/eventing-eventmesh/pkg/eventmesh"
)

// kept is an event that the source has received, and that has not found its place of rest.
type kept struct {
	// seq numbers events in the order of their reception.
	seq uint64
	// key is alike for events whose order matters, where EVENTMESH_ORDERING is key.
	key      uint64
	topic    string
	received time.Time
	size     int64
	pending  int64 // what it takes while it waits for the disk: its record, too
	// event is the one to send: as it was received, with the extensions that it gets.
	event event.Event
	// undecodable says that what came was no event. Then event carries it, for the dead letters alone.
	undecodable bool
	// unreadable says why the record on disk cannot be read, if so. Then the event carries that, and is undecodable too.
	unreadable error

	// delivery is what to acknowledge, and by which to reply. It is nil once the spool has the event.
	delivery *eventmesh.Delivery
	// record is the event as it is on disk, or goes there.
	record []byte
	// spooled says that the event is on disk, and need not stay in memory.
	spooled bool
	// out says that it was handed out before it was on disk, and released that it has been delivered since.
	out, released bool

	// attempts counts requests of this process that did not succeed.
	attempts int
	// due is when the next attempt may be made, while it waits for one.
	due time.Time
	// probe is the circuit whose destination the attempt is to find out about, if any.
	probe *circuit
	// secondary says that the attempt is none for the first time.
	secondary bool
	// givenUp says why the event goes to the place of dead letters and no more to the sink, if so.
	givenUp *givenUp

	older, newer *kept // in the order of reception, where there is no spool
}

// unload leaves of an event that is on disk no more in memory than what is known of its delivery.
func (k *kept) unload() { k.event, k.record = event.Event{}, nil }

// loaded tells whether the event is in memory.
func (k *kept) loaded() bool { return k.event.Context != nil }

const (
	// overhead in bytes is what a kept event takes besides its data and the text of its attributes: a round figure.
	overhead = 1024
	// extensionOverhead is what each extension takes besides its text, likewise.
	extensionOverhead = 128
)

// sizeOf returns what an event takes in memory, more or less.
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
