package eventmeshtest

import (
	"slices"
	"time"

	"github.com/eventing-eventmesh/eventing-eventmesh/pkg/eventmesh/grpc/eventmeshpb"
)

// identity is how EventMesh tells gRPC clients apart.
type identity struct{ group, idc, ip, pid, sys string }

func identify(e *eventmeshpb.CloudEvent) identity {
	return identity{
		group: wireString(e, "consumergroup"), idc: wireString(e, "idc"), ip: wireString(e, "ip"), pid: wireString(e, "pid"),
		sys: wireString(e, "sys"),
	}
}

func (i identity) key() string { return i.idc + "/" + i.ip + ":" + i.pid }

// client is what a heartbeat renews. EventMesh keeps it apart from the group's members, which is why a heartbeat says
// nothing of the stream, and why the end of one client ends the streams of others.
type client struct {
	identity
	topic, mode string
	stream      *stream
	seen        time.Time
}

// subscribeStream makes a stream a member of its group; one of the same ip and pid it replaces.
func (b *broker) subscribeStream(st *stream, id identity, username string, items []item, confirmation *eventmeshpb.CloudEvent) {
	b.mu.Lock()
	defer b.mu.Unlock()
	st.send(confirmation)
	g := b.group(transportGRPC, id.group)
	g.listening = true
	st.session.User, st.session.Group = username, id.group
	before := g.topicNames()
	grown := false
	for _, i := range items {
		b.register(g, &client{identity: id, topic: i.Topic, mode: i.Mode, stream: st, seen: time.Now()})
		t := g.topics[i.Topic]
		if t == nil {
			t = &topicMembers{mode: i.Mode, sync: i.Type == "SYNC", members: map[string]member{}}
			g.topics[i.Topic] = t
			grown = true
		}
		t.members[id.key()] = &streamMember{b: b, stream: st, name: id.ip + ":" + id.pid, place: id.idc}
	}
	if grown {
		b.storage.regroup(g, before, g.topicNames())
	}
}

func (b *broker) register(g *group, c *client) {
	for _, known := range g.clients {
		if known.topic == c.topic && known.ip == c.ip && known.pid == c.pid && known.mode == c.mode {
			known.stream, known.seen = c.stream, c.seen
			return
		}
	}
	g.clients = append(g.clients, c)
}

// unsubscribeStream takes a client out of its group.
func (b *broker) unsubscribeStream(id identity, items []item) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.deregister(b.group(transportGRPC, id.group), id, items)
}

// deregister forgets the clients of all that share topic and mode, and ends their streams, but takes only the one asked
// for out of the group: the others go on getting their share, and it is lost. The broker is locked.
func (b *broker) deregister(g *group, id identity, items []item) {
	before := g.topicNames()
	shrunk := false
	for _, i := range items {
		g.clients = slices.DeleteFunc(g.clients, func(c *client) bool {
			if c.topic != i.Topic || c.mode != i.Mode {
				return false
			}
			c.stream.end()
			return true
		})
		t := g.topics[i.Topic]
		if t == nil {
			continue
		}
		delete(t.members, id.key())
		if len(t.members) == 0 {
			delete(g.topics, i.Topic)
			shrunk = true
		}
	}
	if shrunk {
		b.storage.regroup(g, before, g.topicNames())
	}
}

// renew takes note of a heartbeat, and reports false when the client is unknown.
func (b *broker) renew(id identity, topic string) bool {
	b.mu.Lock()
	defer b.mu.Unlock()
	for _, c := range b.group(transportGRPC, id.group).clients {
		if c.ip == id.ip && c.pid == id.pid && c.sys == id.sys && c.topic == topic {
			c.seen = time.Now()
			return true
		}
	}
	return false
}

// expireStreams ends the clients that have sent no heartbeat for too long, and with each of them the streams of its group.
func (b *broker) expireStreams(now time.Time) {
	b.mu.Lock()
	defer b.mu.Unlock()
	for _, g := range b.groups {
		for _, c := range slices.Clone(g.clients) {
			if now.Sub(c.seen) > b.options.SessionExpiry {
				b.options.Logf("client %s:%s of group %q has sent no heartbeat for topic %q for %v: ending every stream of the group on it",
					c.ip, c.pid, g.name, c.topic, b.options.SessionExpiry)
				b.deregister(g, c.identity, []item{{Topic: c.topic, Mode: c.mode}})
			}
		}
	}
}
