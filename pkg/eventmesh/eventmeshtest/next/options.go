package next

import (
	"math"
	"net"
	"time"
)

// Storage says what a server does with events that no subscriber has acknowledged when it ends.
type Storage int

const (
	// Memory loses them: the default of a real server.
	Memory Storage = iota
	// Holding keeps them, as Kafka and RocketMQ 4 do. After a restart a topic is read again from behind the highest event that was
	// acknowledged, and what was not acknowledged before that one is lost. It stamps events with emmqoffset and emmqpartition.
	Holding
)

// String returns the storage's name.
func (s Storage) String() string {
	if s == Holding {
		return "holding"
	}
	return "memory"
}

// RateLimit is a bucket of tokens, one for each event.
type RateLimit struct {
	// Capacity is how many tokens the bucket holds; it is full at first.
	Capacity int
	// Rate is how many tokens are put in each second.
	Rate float64
}

// Options configure a [Server]. The zero value behaves as a real EventMesh of the next release with its default configuration. Where 0
// stands for a value, less than 0 stands for no limit, or for never.
type Options struct {
	// Address is what the server listens on; default 127.0.0.1:0, a free port of the loopback.
	Address string
	// GRPCAddress is what the server listens on for clients of 1.x; default none, as without the property eventmesh.grpc.port.
	GRPCAddress string
	// Listen, if set, is called instead of [net.Listen], such as [Pipe.Listen].
	Listen func(address string) (net.Listener, error)
	// Storage is Memory or Holding.
	Storage Storage
	// InstanceURL is what a subscriber is told to go on with; default none.
	InstanceURL string
	// Tokens, if there are any, are what the header Authorization may be, as a whole: such as "Bearer secret". Only publish, request,
	// subscribe and poll look at it.
	Tokens []string

	// SubscriptionLife ends a subscription so long after it was made, whatever its client does; 0 stands for 90 s.
	SubscriptionLife time.Duration
	// CleanupInterval is how often the server evicts clients that have not polled within StaleAfter, those among them that have just
	// subscribed and never polled; 0 stands for 60 s.
	CleanupInterval time.Duration
	// StaleAfter is how long ago a client's last poll may have begun; 0 stands for 60 s.
	StaleAfter time.Duration
	// HeartbeatLife is how long after its last heartbeat a gRPC client is forgotten that was not evicted before; 0 stands for 90 s.
	HeartbeatLife time.Duration
	// PumpInterval is how often events are moved from their topics to the buffers of clients; 0 stands for 200 ms.
	PumpInterval time.Duration
	// DispatchTime is how long after events were taken out of their topic it is seen who has subscribed to it: a subscription that ends in
	// between has them lost. 0 stands for 5 ms, and less for no time.
	DispatchTime time.Duration
	// PumpBatch is how many events of a topic are moved at once; 0 stands for 100.
	PumpBatch int

	// BufferLimit is how many events the buffer of a client holds; 0 stands for 10,000.
	BufferLimit int
	// StallAbove is the size of a buffer above which the third event stalls its client for good; 0 stands for 8,000.
	StallAbove int
	// AcknowledgeWithin is the age at which an event that was put into a buffer, and was not acknowledged, is put there again; 0 stands
	// for 30 s.
	AcknowledgeWithin time.Duration
	// CheckInterval is how often the server looks for such events; 0 stands for 500 ms.
	CheckInterval time.Duration
	// RetryDelay is how long after the first failure an event is offered again to a client that is stalled, within 20 %; each further
	// delay is twice as long. 0 stands for 1 s.
	RetryDelay time.Duration
	// MaxDeliveries is how often an event is put into a client's buffer before it goes to the topic of dead letters; 0 stands for 6.
	MaxDeliveries int

	// MaxContentLength is the largest length that a publish may announce, in bytes; 0 stands for 1 MiB.
	MaxContentLength int64
	// MaxAttributes is how many attributes an event may have, all counted, and MaxAttributeSize how many bytes the value of one may have,
	// before the event destroys the batch in which it is moved; 0 stands for 64 and 4,096.
	MaxAttributes, MaxAttributeSize int
	// RateLimit is how many events of one topic the server takes; the zero value is no limit.
	RateLimit RateLimit
	// TolerateBars lets the names of topics and clients hold a "|", which otherwise ends all redelivery until the server restarts.
	TolerateBars bool

	// RecordLimit is how many events of each topic [Server.Published] keeps; 0 stands for 10,000, less for none.
	RecordLimit int
	// RecordDeliveries lets [Server.Deliveries] tell what was handed out; without it nothing of that is kept.
	RecordDeliveries bool
	// Logf, if set, gets one line for each event that is lost, and for each request that is refused. It must not call the server.
	Logf func(format string, args ...any)
}

const never = math.MaxInt64

func (o Options) withDefaults() Options {
	if o.Address == "" {
		o.Address = "127.0.0.1:0"
	}
	if o.Listen == nil {
		o.Listen = func(address string) (net.Listener, error) { return net.Listen("tcp", address) } //nolint:noctx // binding does not block
	}
	for _, d := range []struct {
		option *time.Duration
		value  time.Duration
	}{
		{&o.SubscriptionLife, 90 * time.Second},
		{&o.CleanupInterval, time.Minute},
		{&o.StaleAfter, time.Minute},
		{&o.HeartbeatLife, 90 * time.Second},
		{&o.PumpInterval, 200 * time.Millisecond},
		{&o.AcknowledgeWithin, 30 * time.Second},
		{&o.CheckInterval, 500 * time.Millisecond},
		{&o.RetryDelay, time.Second},
	} {
		setDefault(d.option, d.value)
	}
	for _, n := range []struct {
		option *int
		value  int
	}{
		{&o.PumpBatch, 100},
		{&o.BufferLimit, 10_000},
		{&o.StallAbove, 8_000},
		{&o.MaxDeliveries, 6},
		{&o.MaxAttributes, 64},
		{&o.MaxAttributeSize, 4096},
	} {
		setDefault(n.option, n.value)
	}
	if o.DispatchTime == 0 {
		o.DispatchTime = 5 * time.Millisecond
	}
	setDefault(&o.MaxContentLength, 1<<20)
	if o.RecordLimit == 0 {
		o.RecordLimit = 10_000
	}
	if o.Logf == nil {
		o.Logf = func(string, ...any) {}
	}
	return o
}

func setDefault[T int | int64 | time.Duration](option *T, value T) {
	switch {
	case *option == 0:
		*option = value
	case *option < 0:
		var most int64 = never
		*option = T(most)
	}
}
