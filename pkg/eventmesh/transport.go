package eventmesh

import (
	"context"
	"crypto/tls"

	"github.com/cloudevents/sdk-go/v2/event"

	"github.com/eventing-eventmesh/eventing-eventmesh/pkg/eventmesh/internal/wire"
)

// Transport opens sessions with an EventMesh server. Users need no more of it than that packages grpc, tcp and http have one each. [Publisher] and
// [Subscriber] reconnect, not a Transport. Its methods may be called from several goroutines.
type Transport interface {
	// Traits tell it from others. They do not change.
	Traits() Traits
	// OpenPublisher returns a session that can publish. The context bounds the opening alone.
	OpenPublisher(ctx context.Context, a Address, c Client) (PublisherSession, error)
	// OpenSubscriber returns a session that has subscribed. The context bounds the opening alone.
	OpenSubscriber(ctx context.Context, a Address, c Client, s Subscription) (SubscriberSession, error)
}

// Traits are the facts that differ between transports.
type Traits struct {
	// Scheme names the transport in URLs. It does not end with an s: with one added, connections are encrypted.
	Scheme string
	// Port is that of EventMesh's default configuration.
	Port string
	// Rendering is how its subscribers get events.
	Rendering wire.Rendering
	// ValidateTopic returns an ErrInvalidTopic for a name that the transport does not carry, of those that the storages do; nil: it
	// carries all.
	ValidateTopic func(topic string) error
	// Redelivers says that EventMesh delivers again, as long as it lives, what no member of a group has acknowledged, and takes nothing for
	// acknowledged by itself.
	Redelivers bool
}

// Client is what a session tells EventMesh about itself.
type Client struct {
	// IP and PID are the pair by which EventMesh tells clients apart; it does not compare them with the connection.
	IP  string
	PID int
	// Group is the producer or consumer group.
	Group string
	// Env, IDC and Subsystem are EventMesh's labels for where a client runs.
	Env, IDC, Subsystem string
	// Credentials are never empty: EventMesh refuses empty ones even when it checks none.
	Credentials
	// TLS is for addresses that ask for it; nil stands for the system's defaults.
	TLS *tls.Config
	// Rendering is that of the subscribers that the client publishes for.
	Rendering wire.Rendering
	// Returning says that the client had a session before, which it did not leave. If EventMesh holds events that it could not write
	// to a dead session, OpenSubscriber asks for them. It finds out by itself about sessions of an earlier process.
	Returning bool
}

// Session is what all sessions can do, for several goroutines at once.
type Session interface {
	// Heartbeat tells EventMesh that the client is alive. An error means that the session is of no further use.
	Heartbeat(ctx context.Context) error
	// Close ends the session at once, and every call of its methods with it. It may be called more than once.
	Close() error
}

// PublisherSession publishes over one connection.
type PublisherSession interface {
	Session
	// Publish returns nil only when EventMesh has confirmed the event.
	Publish(ctx context.Context, topic string, e event.Event) error
	// Request publishes, and returns the reply.
	Request(ctx context.Context, topic string, e event.Event) (*event.Event, error)
	// Wait blocks until the session has ended, and returns why.
	Wait() error
}

// SubscriberSession receives over one connection.
type SubscriberSession interface {
	Session
	// Receive returns the next delivery. One goroutine calls it. After an error the session is over; after io.EOF EventMesh ended it.
	Receive() (*Delivery, error)
	// Leave ends the membership in the group. Deliveries that are under way still come, then io.EOF.
	Leave(ctx context.Context) error
}

// Mode says who of the subscribers to a topic gets an event.
type Mode string

const (
	// Clustering gives each event to one member of the consumer group.
	Clustering Mode = "CLUSTERING"
	// Broadcasting gives each event to every member.
	Broadcasting Mode = "BROADCASTING"
)

// Type says whether publishers wait for a reply.
type Type string

const (
	// Async receives events that were published with [Publisher.Publish].
	Async Type = "ASYNC"
	// Sync receives requests of [Publisher.Request]; [Delivery.Reply] answers them.
	Sync Type = "SYNC"
)

// Subscription is what a [Subscriber] subscribes to.
type Subscription struct {
	// Topics are subscribed to together, from the start: EventMesh's standalone storage loses a group's first topic when
	// another is added later. At least one is required.
	Topics []string
	// Mode defaults to Clustering, and Type to Async.
	Mode Mode
	Type Type
	// MakeTopics lets RocketMQ make those topics that it does not have yet, where it makes topics by itself. Without it a TCP session
	// cannot subscribe to them, and a gRPC session gets their first events up to a minute late.
	MakeTopics bool
}
