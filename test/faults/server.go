package faults

import (
	"time"

	"github.com/eventing-eventmesh/eventing-eventmesh/pkg/eventmesh/eventmeshtest"
	"github.com/eventing-eventmesh/eventing-eventmesh/pkg/eventmesh/eventmeshtest/next"
	"github.com/eventing-eventmesh/eventing-eventmesh/pkg/eventmesh/eventmeshtest/releases"
)

const (
	// acknowledgeWithin is 30 s in a real EventMesh. Scenarios wait for it, and the source does not know it.
	acknowledgeWithin = 4 * time.Second
	// maxDeliveries move an event to the dead letters after the three minutes of a real EventMesh.
	maxDeliveries = int(3 * time.Minute / acknowledgeWithin)
	// faster is how much more an EventMesh delivers here than a real one does with 500 events a second: publishers are faster. Its buffers are
	// as much larger, or it would give up a client sooner.
	faster = 4
	// pumpBatch, bufferLimit and stallAbove are 100, 10,000 and 8,000 in a real EventMesh.
	pumpBatch, bufferLimit, stallAbove = faster * 100, faster * 10_000, faster * 8_000
)

// startServer starts an EventMesh of the release that the transport is for.
func (s *stage) startServer(with setting) {
	with.t.Helper()
	if with.transport == httpAPI {
		own := next.Options{
			PumpBatch: pumpBatch, BufferLimit: bufferLimit, StallAbove: stallAbove, AcknowledgeWithin: acknowledgeWithin, MaxDeliveries: maxDeliveries,
		}
		if with.patient {
			own = next.Options{}
		}
		s.server = releases.NewNext(with.t, with.options, own)
		return
	}
	s.classic = eventmeshtest.New(with.t, with.options)
	s.server = releases.Release112{Server: s.classic, Transport: with.transport}
}
