package eventmeshtest

import (
	"errors"
	"fmt"
	"slices"
	"sync"

	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/known/anypb"

	"github.com/eventing-eventmesh/eventing-eventmesh/pkg/eventmesh/grpc/eventmeshpb"
)

const (
	transportGRPC = "grpc"
	transportTCP  = "tcp"
)

// broker holds the groups, their members, and the storage: everything that both transports share.
type broker struct {
	options Options

	mu       sync.Mutex
	storage  storage
	groups   map[[2]string]*group
	records  map[string][]*eventmeshpb.CloudEvent
	waiting  map[string]chan *message
	sequence uint64

	// publications counts what was stored; deliveries and their sessions are kept over restarts.
	publications uint64
	deliveries   []*delivery
	sessions     []*Session
	cut          map[string]bool // by the client's address: its connection has been reset
}

func newBroker(o Options) *broker {
	b := &broker{
		options: o,
		groups:  map[[2]string]*group{},
		records: map[string][]*eventmeshpb.CloudEvent{},
		waiting: map[string]chan *message{},
		cut:     map[string]bool{},
	}
	if o.Storage == RocketMQ {
		b.storage = newRocketMQ(b)
	} else {
		b.storage = newStandalone(b)
	}
	return b
}

// restart forgets what a server process knows.
func (b *broker) restart(keep bool) {
	b.mu.Lock()
	defer b.mu.Unlock()
	clear(b.groups)
	clear(b.waiting)
	b.sequence = 0
	b.storage.restart(keep)
}

// group returns the group of that name, which it makes when there is none. The broker is locked.
func (b *broker) group(transport, name string) *group {
	key := [2]string{transport, name}
	g := b.groups[key]
	if g == nil {
		g = &group{transport: transport, name: name, topics: map[string]*topicMembers{}}
		b.groups[key] = g
	}
	return g
}

// publish checks an event and stores it.
func (b *broker) publish(m *message) error {
	b.mu.Lock()
	defer b.mu.Unlock()
	if err := b.storage.check(m); err != nil {
		return err
	}
	return b.storage.publish(m)
}

var errRequestsUnsupported = errors.New("request is not supported")

// request publishes an event and returns where its reply will come, and what ends the waiting.
func (b *broker) request(m *message) (reply <-chan *message, end func(), err error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if !b.storage.requests() {
		return nil, nil, errRequestsUnsupported
	}
	correlation := newID()
	m.set(attrCorrelation, correlation)
	m.set("reply99to99client", "127.0.0.1@eventmeshtest")
	if err := b.storage.check(m); err != nil {
		return nil, nil, err
	}
	replies := make(chan *message, 1)
	b.waiting[correlation] = replies
	end = func() {
		b.mu.Lock()
		defer b.mu.Unlock()
		delete(b.waiting, correlation)
	}
	return replies, end, b.storage.publish(m)
}

var errUncorrelated = errors.New("the reply has no " + attrCorrelation + ": it is no copy of a request")

// reply hands a reply to whoever waits for it; nobody may.
func (b *broker) reply(m *message) error {
	b.mu.Lock()
	defer b.mu.Unlock()
	if !b.storage.requests() {
		return errRequestsUnsupported
	}
	if err := b.storage.check(m); err != nil {
		return err
	}
	correlation := m.attribute(attrCorrelation)
	if correlation == "" {
		return errUncorrelated
	}
	waiting := b.waiting[correlation]
	if waiting == nil {
		b.lost(m, "nobody waits for this reply any more")
		return nil
	}
	delete(b.waiting, correlation)
	waiting <- m
	return nil
}

// loseDelivery tells of an event that was not sent to d, or not as itself. The broker is locked.
func (b *broker) loseDelivery(d *delivery, m *message, format string, args ...any) {
	d.lose(fmt.Sprintf(format, args...))
	b.lost(m, format, args...)
}

func (b *broker) lost(m *message, format string, args ...any) {
	b.options.Logf("lost "+m.String()+": "+format, args...)
}

// record numbers what was stored, and keeps what Published returns. The broker is locked.
func (b *broker) record(m *message) {
	b.publications++
	m.publication = b.publications
	if b.options.RecordLimit < 0 {
		return
	}
	records := b.records[m.topic]
	records = append(records, m.toProto())
	if len(records) > b.options.RecordLimit {
		records = records[1:]
	}
	b.records[m.topic] = records
}

// toProto is the event with its data, in the field that EventMesh keeps it in.
func (m *message) toProto() *eventmeshpb.CloudEvent {
	e := proto.CloneOf(m.event)
	setData(e, m.data, m.proto)
	return e
}

// Published returns the events that the server has stored for a topic, in their order, as it holds them: with what their
// publishers' side of the server has added, and without what a delivery adds.
func (s *Server) Published(topic string) []*eventmeshpb.CloudEvent {
	s.broker.mu.Lock()
	defer s.broker.mu.Unlock()
	return slices.Clone(s.broker.records[topic])
}

// Subscribers counts the live sessions that get events of a topic, of all groups and both transports. It is for tests to
// wait for a subscription without sleeping.
func (s *Server) Subscribers(topic string) int {
	return s.count(topic, func(m member) bool { return m.live() && m.takes() })
}

// Members counts the sessions that the server has for members of the topic's groups, dead gRPC streams among them: they have their share
// of the events too.
func (s *Server) Members(topic string) int { return s.count(topic, member.takes) }

func (s *Server) count(topic string, counts func(member) bool) int {
	s.broker.mu.Lock()
	defer s.broker.mu.Unlock()
	n := 0
	for _, g := range s.broker.groups {
		t := g.topics[topic]
		if t == nil {
			continue
		}
		for _, m := range t.members {
			if counts(m) {
				n++
			}
		}
	}
	return n
}

func setData(e *eventmeshpb.CloudEvent, data []byte, packed *anypb.Any) {
	switch {
	case packed != nil:
		e.Data = &eventmeshpb.CloudEvent_ProtoData{ProtoData: packed}
	case data == nil:
	case isText(attributeText(e.GetAttributes()[attrDataContentType])):
		e.Data = &eventmeshpb.CloudEvent_TextData{TextData: validUTF8(data)}
	default:
		e.Data = &eventmeshpb.CloudEvent_BinaryData{BinaryData: data}
	}
}
