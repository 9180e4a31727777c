package broker

import (
	"errors"

	"github.com/cloudevents/sdk-go/v2/event"
	"github.com/cloudevents/sdk-go/v2/types"
)

const (
	// TTL is the extension that tells how often an event may still come to a Broker: a reply has that of the event that it replies to, so
	// that events which cause each other come to an end. It is Knative's own, and no subscriber sees it.
	TTL = "knativebrokerttl"
	// DefaultTTL is that of an event that has none, or one that is no integer.
	DefaultTTL = 255
)

// ErrTTL refuses an event that has come to Brokers as often as it may.
var ErrTTL = errors.New(TTL + " is used up: the event comes of replies to replies, of which there are too many")

// Arrive counts that an event comes to a Broker: its TTL becomes one less, or the default. With [ErrTTL] the event is as it was.
func Arrive(c event.EventContext) error {
	ttl := int32(DefaultTTL)
	if told, ok := ttlOf(c); ok {
		if told <= 1 {
			return ErrTTL
		}
		ttl = told - 1
	}
	return c.SetExtension(TTL, ttl)
}

// Reply gives a reply the TTL of the event that it replies to, or none, whatever the subscriber says.
func Reply(reply, to event.EventContext) error {
	if ttl, ok := ttlOf(to); ok {
		return reply.SetExtension(TTL, ttl)
	}
	return reply.SetExtension(TTL, nil)
}

// ttlOf returns the TTL of an event, if it has one that is an integer.
func ttlOf(c event.EventContext) (ttl int32, ok bool) {
	value, err := c.GetExtension(TTL)
	if err == nil {
		ttl, err = types.ToInteger(value)
	}
	return ttl, err == nil
}
