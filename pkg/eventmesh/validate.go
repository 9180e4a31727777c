package eventmesh

import (
	"github.com/cloudevents/sdk-go/v2/event"

	"github.com/eventing-eventmesh/eventing-eventmesh/pkg/eventmesh/internal/wire"
)

// MessageType is the type of the events that a Subscriber makes of messages of EventMesh's own, older protocol. Their source is
// eventmesh:<topic>, and the content of the message is their data, byte for byte.
const MessageType = wire.MessageType

// ValidateTopic returns an ErrInvalidTopic for a name that no storage of EventMesh takes.
func ValidateTopic(topic string) error { return wire.ValidateTopic(topic) }

// Validate returns an ErrInvalidEvent that says why, where EventMesh would refuse an event for good, or lose it, or CloudEvents forbids
// what is in it.
func Validate(e event.Event) error { return wire.Validate(e) }
