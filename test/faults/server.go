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
	// pumpBatch is 100 in a real EventMesh, which so delivers 500 events a second. Publishers are faster here.
	pumpBatch = 400
)

// startServer starts an EventMesh of the release that the transport is for.
func (s *stage) startServer(with setting) {
	with.t.Helper()
	if with.transport == httpAPI {
		own := next.Options{PumpBatch: pumpBatch, AcknowledgeWithin: acknowledgeWithin, MaxDeliveries: maxDeliveries}
		if with.patient {
			own = next.Options{}
		}
		s.server = releases.NewNext(with.t, with.options, own)
		return
	}
	s.classic = eventmeshtest.New(with.t, with.options)
	s.server = releases.Release112{Server: s.classic, Transport: with.transport}
}
