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
	MaxAttributes = wire.MaxAttributes
	// MaxAttributeSize is how many bytes the value of one may have.
	MaxAttributeSize = wire.MaxAttributeSize
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
	if err := wire.CheckAttributes(carried); err != nil {
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
