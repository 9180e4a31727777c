package eventmeshtest

// Delivery is one handing out of an event: to a session, or to nobody where there was none.
type Delivery struct {
	// Topic and ID are the event's.
	Topic, ID string
	// Publication numbers the publishes that were stored, from 1. An event whose publisher repeated it has several.
	Publication uint64
	// Session is to whom; its number is 0 where there was nobody.
	Session Session
	// Redelivered says that another session had it before, and did not acknowledge it.
	Redelivered bool
	// Acknowledged says who has acknowledged it.
	Acknowledged Acknowledgement
	// Lost says why the server never sent it, or sent something else, and has forgotten it. Empty for a delivery that was
	// sent; whether it arrived depends on the session's end.
	Lost string
}

// Acknowledgement says who has acknowledged a delivery.
type Acknowledgement string

const (
	// Unacknowledged is what nobody has acknowledged.
	Unacknowledged Acknowledgement = ""
	// ByClient is what the client has acknowledged. Over gRPC there is no such thing.
	ByClient Acknowledgement = "client"
	// ByServer is what the server has acknowledged in the client's place: over gRPC everything at once, over TCP after
	// [Options.AcknowledgeAfter].
	ByServer Acknowledgement = "server"
)

// Session is a subscriber's stream or connection.
type Session struct {
	// Number counts the sessions that were handed events, from 1.
	Number int
	// Transport is grpc or tcp.
	Transport string
	// User and Group are what the client has called itself.
	User, Group string
	// End says whether and how it has ended.
	End End

	peer string
}

// End says how a session has ended, which decides on what was under way to its client.
type End string

const (
	// Open is a session that goes on, as far as the server knows.
	Open End = ""
	// Completed is a gRPC stream that the server has ended after everything was sent: a client that reads on gets it all.
	Completed End = "completed"
	// Cut is a connection that the server has reset: what was under way may have arrived or not.
	Cut End = "cut"
	// Gone is a session whose client has gone: it has read an unknown part of what was sent.
	Gone End = "gone"
)

// Deliveries returns all that the server has handed out, in this order, over all its restarts. It is empty without
// [Options.RecordDeliveries].
func (s *Server) Deliveries() []Delivery {
	b := s.broker
	b.mu.Lock()
	defer b.mu.Unlock()
	all := make([]Delivery, len(b.deliveries))
	for i, d := range b.deliveries {
		all[i] = d.Delivery
		if d.session != nil {
			all[i].Session = *d.session
		}
	}
	return all
}

// delivery is one that is recorded. A nil one is not.
type delivery struct {
	Delivery
	session *Session
}

// handOut records a delivery; session may be nil. The broker is locked.
func (b *broker) handOut(m *message, session *Session) *delivery {
	if !b.options.RecordDeliveries {
		return nil
	}
	if session != nil && session.Number == 0 {
		b.sessions = append(b.sessions, session)
		session.Number = len(b.sessions)
		if b.cut[session.peer] {
			session.End = Cut
		}
	}
	d := &delivery{Delivery: Delivery{Topic: m.topic, ID: m.event.GetId(), Publication: m.publication}, session: session}
	b.deliveries = append(b.deliveries, d)
	return d
}

func (d *delivery) acknowledge(by Acknowledgement) {
	if d != nil {
		d.Acknowledged = by
	}
}

func (d *delivery) lose(reason string) {
	if d != nil && d.Lost == "" {
		d.Lost = reason
	}
}

// end records a session's end; the first one counts.
func (b *broker) end(session *Session, how End) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if session.End == Open {
		session.End = how
	}
}

// cutting is told of a connection that is about to be reset. What a stream has sent before its end may not have left yet, and what
// it is given until it sees the end does not leave.
func (b *broker) cutting(peer string) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.cut[peer] = true
	for _, session := range b.sessions {
		if session.peer == peer && session.End != Gone {
			session.End = Cut
		}
	}
}
