package eventmeshtest

import (
	"math"
	"strconv"
	"time"
)

// Storage says which of EventMesh's storage plugins a server behaves like.
type Storage int

const (
	// Standalone is EventMesh's storage in memory, its default: a topic exists only while somebody subscribes to it.
	Standalone Storage = iota
	// RocketMQ is a storage that holds events for absent subscribers, and can carry requests and replies.
	RocketMQ
)

// String returns the storage's name as EventMesh's configuration spells it.
func (s Storage) String() string {
	if s == RocketMQ {
		return "rocketmq"
	}
	return "standalone"
}

// Options configure a [Server]. The zero value behaves as a real EventMesh 1.12.0 with its default configuration and
// standalone storage.
type Options struct {
	// GRPCAddress and TCPAddress are what the server listens on; default 127.0.0.1:0, a free port of the loopback.
	GRPCAddress, TCPAddress string
	// Storage is Standalone or RocketMQ.
	Storage Storage
	// MaxDataCharacters limits the data of an event that is published or replied over TCP, in UTF-16 characters; 0 stands for 1000,
	// less for no limit.
	MaxDataCharacters int
	// AcknowledgeAfter is the age at which the server may acknowledge by itself what a TCP subscriber has not; it does so
	// between this age and 8/3 of it. 0 stands for 3 s, less for never.
	AcknowledgeAfter time.Duration
	// SessionExpiry ends a gRPC subscriber that sends no heartbeats; 0 stands for 60 s.
	SessionExpiry time.Duration
	// TCPSessionExpiry ends a TCP session that sends no heartbeats; 0 stands for 60 s.
	TCPSessionExpiry time.Duration
	// ReplyTimeout bounds how long the server waits for the reply to a request, which is the request's ttl and up to a second
	// more; 0 stands for 5 s.
	ReplyTimeout time.Duration
	// UnknownTopics lets the RocketMQ storage know a topic only from its first event on: until then a TCP subscription to it
	// is refused, and one over gRPC gets its first events late. Without it every topic exists, as if an operator had created it.
	UnknownTopics bool
	// DiscoverAfter is how long after a topic has been made those find it who subscribed before; 0 stands for 20 s.
	DiscoverAfter time.Duration
	// StuckQueues lets half of a topic's queues in the storage [RocketMQ] give nothing to a group whose last member has left and
	// another has come, until the server restarts. It has been seen on a real server, and not in later runs.
	StuckQueues bool
	// RateLimit is how many events each of the transports takes a second; 0 stands for 15,000, less for no limit.
	RateLimit int
	// InboundLimit is how many frames a second the server reads from one TCP connection, acknowledgements included; 0
	// stands for 2,000, less for no limit.
	InboundLimit int
	// InFlightLimit is how many publishes of one TCP session may be unanswered; 0 stands for 20, less for no limit.
	InFlightLimit int
	// GoodbyeTimeout is how long a TCP session lives on after a goodbye, of whichever side, or a redirect; 0 stands for
	// 30 s.
	GoodbyeTimeout time.Duration
	// Credentials are the passwords by user name. Nil takes any; over gRPC they may not be empty even so.
	Credentials map[string]string
	// KeepaliveMinTime is the shortest time between two keepalive pings of a gRPC client that the server takes without
	// closing the connection; 0 stands for 5 min.
	KeepaliveMinTime time.Duration
	// IDC is the server's own data centre. A gRPC group's members of the same one get all its events; default DEFAULT.
	IDC string
	// Retention is how many events of each topic the storage [RocketMQ] keeps, delivered or not; 0 stands for 100,000, less for
	// no limit. The real one keeps them for three days.
	Retention int
	// RecordLimit is how many events of each topic [Server.Published] keeps; 0 stands for 10,000, less for none.
	RecordLimit int
	// RecordDeliveries lets [Server.Deliveries] tell what was handed out; without it nothing of that is kept.
	RecordDeliveries bool
	// Logf, if set, gets one line for each event that is lost, and for each request that is refused. It must not call the
	// server.
	Logf func(format string, args ...any)
}

func (o Options) withDefaults() Options {
	setDefault(&o.GRPCAddress, "127.0.0.1:0")
	setDefault(&o.TCPAddress, "127.0.0.1:0")
	setDefault(&o.IDC, "DEFAULT")
	setDefault(&o.MaxDataCharacters, 1000)
	setDefault(&o.AcknowledgeAfter, 3*time.Second)
	setDefault(&o.SessionExpiry, time.Minute)
	setDefault(&o.TCPSessionExpiry, time.Minute)
	setDefault(&o.ReplyTimeout, 5*time.Second)
	setDefault(&o.DiscoverAfter, 20*time.Second)
	setDefault(&o.RateLimit, 15_000)
	setDefault(&o.InboundLimit, 2_000)
	setDefault(&o.InFlightLimit, 20)
	setDefault(&o.GoodbyeTimeout, 30*time.Second)
	setDefault(&o.KeepaliveMinTime, 5*time.Minute)
	setDefault(&o.Retention, 100_000)
	setDefault(&o.RecordLimit, 10_000)
	if o.MaxDataCharacters < 0 {
		o.MaxDataCharacters = math.MaxInt
	}
	if o.Retention < 0 {
		o.Retention = math.MaxInt
	}
	if o.InFlightLimit < 0 {
		o.InFlightLimit = math.MaxInt
	}
	if o.Logf == nil {
		o.Logf = func(string, ...any) {}
	}
	return o
}

// replyTimeout is what a request asks for. Without a ttl, which TCP allows, it is 3 s.
func (o Options) replyTimeout(m *message) time.Duration {
	ttl, err := strconv.Atoi(m.attribute(attrTTL))
	if err != nil {
		ttl = 3000
	}
	return min(time.Duration(ttl)*time.Millisecond+time.Second, o.ReplyTimeout)
}

func setDefault[T comparable](v *T, value T) {
	var zero T
	if *v == zero {
		*v = value
	}
}
