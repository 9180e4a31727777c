package next

import (
	"maps"
	"slices"
	"time"

	"github.com/eventing-eventmesh/eventing-eventmesh/pkg/eventmesh/eventmeshtest"
	"github.com/eventing-eventmesh/eventing-eventmesh/pkg/eventmesh/eventmeshtest/internal/outbox"
	"github.com/eventing-eventmesh/eventing-eventmesh/pkg/eventmesh/grpc/eventmeshpb"
)

// channel is a way out to a gRPC stream. The broker's lock is for it.
type channel struct {
	out     *outbox.Outbox[*eventmeshpb.CloudEvent]
	session *eventmeshtest.Session
	shut    bool
}

// bridge is what a server process knows of its gRPC clients, by clientId.
type bridge struct {
	// channels are what events go to, even those that are shut; streams are those that can be shut.
	channels, streams map[string]*channel
	// beats are the clients that are known to heartbeats, with the last one.
	beats map[string]time.Time
}

func newBridge() bridge {
	return bridge{channels: map[string]*channel{}, streams: map[string]*channel{}, beats: map[string]time.Time{}}
}

// item is one of the topics that a stream subscribes to.
type item struct {
	Topic string `json:"topic"`
	Mode  string `json:"mode"`
}

// join makes a stream the way out to a client, in place of those before.
func (b *broker) join(id string, c *channel, items []item) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.beats[id] = time.Now()
	b.client(id)
	b.channels[id], b.streams[id] = c, c
	for _, i := range items {
		mode := loadBalance
		if i.Mode == "BROADCASTING" {
			mode = broadcast
		}
		b.addSubscription(id, i.Topic, mode)
	}
}

// shut shuts the latest stream of a client, whichever stream has ended.
func (b *broker) shut(id string) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.shutLatest(id)
}

func (b *broker) shutLatest(id string) {
	if c := b.streams[id]; c != nil {
		c.shut = true
		delete(b.streams, id)
	}
}

// part takes a client out of heartbeats, and shuts its latest stream, which goes on without events.
func (b *broker) part(id string) {
	b.mu.Lock()
	defer b.mu.Unlock()
	delete(b.beats, id)
	b.shutLatest(id)
}

// beat reports whether a client is known to heartbeats, whether it has a subscription or not.
func (b *broker) beat(id string) bool {
	b.mu.Lock()
	defer b.mu.Unlock()
	_, known := b.beats[id]
	if known {
		b.beats[id] = time.Now()
	}
	return known
}

// reap forgets clients that send no heartbeats.
func (b *broker) reap(now time.Time) {
	b.mu.Lock()
	defer b.mu.Unlock()
	for _, id := range slices.Sorted(maps.Keys(b.beats)) {
		if now.Sub(b.beats[id]) > b.options.HeartbeatLife {
			b.options.Logf("evicted client %q, which sends no heartbeats", id)
			delete(b.beats, id)
			b.remove(id)
			b.shutLatest(id)
		}
	}
}

// send writes a delivery to the stream that was its client's when it began, and reports false where that is shut. An event that cannot be
// written shuts it. The broker is locked.
func (b *broker) send(f *flight) bool {
	c := f.channel
	if c.shut {
		return false
	}
	if err := f.message.event.checkTypes(); err != nil {
		b.options.Logf("shut the stream of client %q: %v", f.client, err)
		c.shut = true
		return false
	}
	c.out.Put(f.message.event.toStream(f.id))
	b.take(f, c.session)
	return true
}
