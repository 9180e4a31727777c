package tcp

import (
	"context"
	"fmt"
	"sync/atomic"

	"github.com/eventing-eventmesh/eventing-eventmesh/pkg/eventmesh"
	"github.com/eventing-eventmesh/eventing-eventmesh/pkg/eventmesh/tcp/frame"
)

// receipt is what a delivery is acknowledged with.
type receipt struct {
	acknowledgement frame.Header
	used            atomic.Bool
}

// expected counts a delivery that has to be acknowledged.
func (s *subscriber) expected(delivery frame.Header) *receipt {
	s.unacknowledged.Add(1)
	return &receipt{acknowledgement: frame.Header{Command: delivery.Command + "_ACK", Sequence: delivery.Sequence}}
}

// settled tells Leave of deliveries for which nothing more is to come.
func (s *subscriber) settled(n int) {
	s.unacknowledged.Add(-int64(n))
	select {
	case s.acknowledged <- struct{}{}:
	default:
	}
}

// Acknowledge writes all acknowledgements at once, and EventMesh answers none.
func (s *subscriber) Acknowledge(_ context.Context, deliveries []*eventmesh.Delivery) error {
	var frames []frame.Frame
	for _, d := range deliveries {
		if r := d.Receipt.(*receipt); !r.used.Swap(true) { //nolint:forcetypeassert // its own
			frames = append(frames, frame.Frame{Header: r.acknowledgement})
		}
	}
	if len(frames) == 0 {
		return nil
	}
	defer s.settled(len(frames))
	if err := s.send(frames...); err != nil {
		return fmt.Errorf("acknowledging: %w", err)
	}
	return nil
}

// Release leaves a delivery unacknowledged.
func (s *subscriber) Release(_ context.Context, d *eventmesh.Delivery) error {
	if !d.Receipt.(*receipt).used.Swap(true) { //nolint:forcetypeassert // its own
		s.settled(1)
	}
	return nil
}
