package eventmesh

import (
	"github.com/cloudevents/sdk-go/v2/event"

	"github.com/eventing-eventmesh/eventing-eventmesh/pkg/eventmesh/internal/wire"
)

// Types of events that this package makes.
const (
	// MessageType is that of a message of EventMesh's own, older protocol. Its source is eventmesh:<topic>, its data the message's content.
	MessageType = wire.MessageType
	// InvalidReplyType is that of the event which [Delivery.ReplyInvalid] replies with.
	InvalidReplyType = wire.InvalidReplyType
)

// ValidateTopic returns an ErrInvalidTopic for a name that no storage of EventMesh accepts.
func ValidateTopic(topic string) error { return wire.ValidateTopic(topic) }

// Validate returns an ErrInvalidEvent that says why, where EventMesh would refuse an event for good, or lose it, or CloudEvents forbids
// what is in it.
func Validate(e event.Event) error { return wire.Validate(e) }
