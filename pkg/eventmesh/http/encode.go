package http

import (
	"fmt"

	"github.com/cloudevents/sdk-go/v2/event"

	"github.com/eventing-eventmesh/eventing-eventmesh/internal/jsonevent"
	"github.com/eventing-eventmesh/eventing-eventmesh/pkg/eventmesh"
	"github.com/eventing-eventmesh/eventing-eventmesh/pkg/eventmesh/internal/wire"
)

// Limits of what EventMesh accepts. Of attributes it says so to nobody: memory storage confirms the event, and loses it later with others.
const (
	// MaxSize is the largest event in bytes, as JSON.
	MaxSize = 1 << 20
	// MaxAttributes is how many attributes an event may have, those of the specification and those of this package included.
	MaxAttributes = 64
	// MaxAttributeSize is how many bytes the value of one may have.
	MaxAttributeSize = wire.MaxAttribute
)

// encode returns an event as the body of a request. The error is an ErrInvalidTopic, an ErrInvalidEvent or an ErrTooLarge.
func encode(e event.Event, topic string) ([]byte, error) {
	if err := validateTopic(topic); err != nil {
		return nil, err
	}
	carried, err := wire.Encode(e, topic, wire.HTTPForm)
	if err != nil {
		return nil, err
	}
	return marshal(carried)
}

func marshal(carried event.Event) ([]byte, error) {
	c, ok := carried.Context.(*event.EventContextV1)
	if !ok {
		return nil, fmt.Errorf("%w: specversion %s is not supported", eventmesh.ErrInvalidEvent, carried.SpecVersion())
	}
	if err := checkAttributes(c); err != nil {
		return nil, err
	}
	const besides = 512 // bytes of attributes
	body, err := jsonevent.Append(make([]byte, 0, len(carried.DataEncoded)*4/3+besides), carried)
	if err != nil {
		return nil, fmt.Errorf("%w: %w", eventmesh.ErrInvalidEvent, err)
	}
	if len(body) > MaxSize {
		return nil, fmt.Errorf("%w: %d bytes as JSON, EventMesh accepts at most %d over HTTP", eventmesh.ErrTooLarge, len(body), MaxSize)
	}
	return body, nil
}

// checkAttributes refuses what EventMesh would accept, and lose. All extensions are texts.
func checkAttributes(c *event.EventContextV1) error {
	count := len(c.Extensions)
	if c.Time != nil {
		count++
	}
	for _, a := range [...]struct{ name, value string }{
		{"specversion", event.CloudEventsVersionV1}, {"id", c.ID}, {"source", c.Source.String()}, {"type", c.Type},
		{"subject", text(c.Subject)}, {"datacontenttype", text(c.DataContentType)}, {"dataschema", c.DataSchema.String()},
	} {
		if a.value != "" {
			count++
		}
		if err := checkSize(a.name, a.value); err != nil {
			return err
		}
	}
	if count > MaxAttributes {
		return fmt.Errorf("%w: %d attributes, EventMesh carries at most %d over HTTP", eventmesh.ErrTooLarge, count, MaxAttributes)
	}
	for name, value := range c.Extensions {
		if s, ok := value.(string); ok {
			if err := checkSize(name, s); err != nil {
				return err
			}
		}
	}
	return nil
}

func text(s *string) string {
	if s == nil {
		return ""
	}
	return *s
}

func checkSize(name, value string) error {
	if len(value) > MaxAttributeSize {
		return fmt.Errorf("%w: attribute %s has %d bytes, EventMesh carries at most %d over HTTP", eventmesh.ErrTooLarge, name, len(value), MaxAttributeSize)
	}
	return nil
}
