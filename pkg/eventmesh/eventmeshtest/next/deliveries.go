package next

import (
	"maps"
	"slices"
	"time"

	"github.com/eventing-eventmesh/eventing-eventmesh/pkg/eventmesh/eventmeshtest"
	"github.com/eventing-eventmesh/eventing-eventmesh/pkg/eventmesh/grpc/eventmeshpb"
)

// Deliveries returns all that the server has handed out, in this order, over all its restarts: one for each event in the answer to a poll
// or on a stream, whether it arrived or not, and one for each event that is lost. What was put into a buffer and not polled is none yet. It is empty
// without [Options.RecordDeliveries].
//
// A session is a gRPC stream, or what one connection has polled for one client. Its group is the clientId. Over HTTP its user is what
// follows "Bearer" in the header Authorization, which the server checks only where it has tokens: so tests can tell replicas apart.
func (s *Server) Deliveries() []eventmeshtest.Delivery {
	b := s.broker
	b.mu.Lock()
	defer b.mu.Unlock()
	all := make([]eventmeshtest.Delivery, len(b.deliveries))
	for i, d := range b.deliveries {
		all[i] = d.Delivery
		if d.session != nil {
			all[i].Session = *d.session
		}
	}
	return all
}

// Published returns the events that the server has stored for a topic, in their order, as it holds them: all attributes are strings. Events
// that the server has moved to a topic of dead letters are there, too.
func (s *Server) Published(topic string) []*eventmeshpb.CloudEvent {
	s.broker.mu.Lock()
	defer s.broker.mu.Unlock()
	return slices.Clone(s.broker.records[topic])
}

// Subscribers counts the polls and streams under way of clients with a subscription to a topic that lives. It is for tests to wait for a
// subscription without sleeping.
func (s *Server) Subscribers(topic string) int {
	b := s.broker
	b.mu.Lock()
	defer b.mu.Unlock()
	polls := map[string]int{}
	for _, of := range b.topic(topic).subscriptions {
		if of.lives(time.Now(), b.options.SubscriptionLife) {
			polls[of.client] = b.pollers[of.client]
		}
	}
	n := 0
	for _, more := range polls {
		n += more
	}
	return n
}

// Members counts the subscriptions that the server has for a topic, those among them whose life is over and that no event has shown to be.
func (s *Server) Members(topic string) int {
	s.broker.mu.Lock()
	defer s.broker.mu.Unlock()
	return len(s.broker.topic(topic).subscriptions)
}

// Pending counts the events of a topic that no subscription has been given yet, and the deliveries of others that were neither acknowledged
// nor moved to the dead letters.
func (s *Server) Pending(topic string) int {
	b := s.broker
	b.mu.Lock()
	defer b.mu.Unlock()
	n := b.topic(topic).waiting()
	for _, f := range b.flights {
		if f.message.topic == topic {
			n++
		}
	}
	return n
}

// delivery is one that is recorded. A nil one is not.
type delivery struct {
	eventmeshtest.Delivery
	session *eventmeshtest.Session
}

// handOut records a delivery; session may be nil. The broker is locked.
func (b *broker) handOut(m *message, session *eventmeshtest.Session) *delivery {
	d := &delivery{Delivery: eventmeshtest.Delivery{Topic: m.topic, ID: m.event.attributes["id"], Publication: m.publication}, session: session}
	if !b.options.RecordDeliveries {
		return d
	}
	if session != nil && session.Number == 0 {
		b.sessions = append(b.sessions, session)
		session.Number = len(b.sessions)
	}
	b.deliveries = append(b.deliveries, d)
	return d
}

// take records that a delivery is given to a poll. The broker is locked.
func (b *broker) take(f *flight, by *eventmeshtest.Session) {
	again := f.handed != nil || f.message.handed
	f.handed = b.handOut(f.message, by)
	f.handed.Redelivered = again
}

func (d *delivery) acknowledge() {
	if d != nil {
		d.Acknowledged = eventmeshtest.ByClient
	}
}

func (d *delivery) lose(reason string) { d.Lost = reason }

// session returns the session of a client on a connection.
func (b *broker) session(of *connection, client, user string) *eventmeshtest.Session {
	b.mu.Lock()
	defer b.mu.Unlock()
	s := of.polls[client]
	if s == nil {
		s = &eventmeshtest.Session{Transport: "http", User: user, Group: client, End: of.end}
		of.polls[client] = s
	}
	return s
}

// carry adds the session of a stream to a connection.
func (b *broker) carry(of *connection, s *eventmeshtest.Session) {
	b.mu.Lock()
	defer b.mu.Unlock()
	s.End = of.end
	of.streams = append(of.streams, s)
}

// leaves records that the client of a stream has gone, unless its connection was cut before.
func (b *broker) leaves(s *eventmeshtest.Session) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if s.End == eventmeshtest.Open {
		s.End = eventmeshtest.Gone
	}
}

// end records how a connection has ended; the first end counts, but for a reset, which comes before all others.
func (b *broker) end(of *connection, how eventmeshtest.End) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if of.end != eventmeshtest.Open {
		return
	}
	of.end = how
	for _, s := range slices.AppendSeq(slices.Clone(of.streams), maps.Values(of.polls)) {
		if s.End == eventmeshtest.Open {
			s.End = how
		}
	}
}
