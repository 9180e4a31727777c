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
func Arrive(c *event.EventContextV1) error {
	ttl := int32(DefaultTTL)
	if told, err := types.ToInteger(c.Extensions[TTL]); err == nil {
		if told <= 1 {
			return ErrTTL
		}
		ttl = told - 1
	}
	return c.SetExtension(TTL, ttl)
}

// ttlOf returns the TTL of an event, and 0 without one.
func ttlOf(e event.Event) int32 {
	c, _ := e.Context.(*event.EventContextV1)
	if c == nil {
		return 0
	}
	ttl, _ := types.ToInteger(c.Extensions[TTL])
	return ttl
}

// Reply gives a reply the TTL of the event that it replies to, whatever the subscriber says; 0 is that of an event without one.
func Reply(c *event.EventContextV1, ttl int32) error {
	if ttl == 0 {
		delete(c.Extensions, TTL)
		return nil
	}
	return c.SetExtension(TTL, ttl)
}
