package faults

import (
	"net/http"
	"testing"
	"time"

	"github.com/eventing-eventmesh/eventing-eventmesh/pkg/eventmesh/eventmeshtest"
	"github.com/eventing-eventmesh/eventing-eventmesh/pkg/eventmesh/eventmeshtest/next"
	"github.com/eventing-eventmesh/eventing-eventmesh/pkg/eventmesh/grpc/eventmeshpb"
)

// server is what a stage has of an EventMesh in memory, of either release.
type server interface {
	URL() string
	Deliveries() []eventmeshtest.Delivery
	Published(topic string) []*eventmeshpb.CloudEvent
	Subscribers(topic string) int
	Members(topic string) int
	// Pending counts the events that it delivers yet, or again, as long as it lives.
	Pending(topic string) int
	SetFaults(f eventmeshtest.Faults)
	DropConnections()
	Stop()
	MustRestart(tb testing.TB, keepEvents bool)
}

// release112 is EventMesh 1.12.
type release112 struct {
	*eventmeshtest.Server
	transport string
}

func (r release112) URL() string {
	if r.transport == tcp {
		return r.TCPURL()
	}
	return r.GRPCURL()
}

// Pending is 0: what has not been acknowledged it delivers when a session ends, and some only when it restarts.
func (release112) Pending(string) int { return 0 }

// nextRelease is the EventMesh after that.
type nextRelease struct{ *next.Server }

const (
	// acknowledgeWithin is 30 s in a real EventMesh. Scenarios wait for it, and the source does not know it.
	acknowledgeWithin = 4 * time.Second
	// maxDeliveries move an event to the dead letters after the three minutes of a real EventMesh.
	maxDeliveries = int(3 * time.Minute / acknowledgeWithin)
	// pumpBatch is 100 in a real EventMesh, which so delivers 500 events a second. Publishers are faster here.
	pumpBatch = 400
)

// newNextRelease starts one that has in common with the other what it can.
func newNextRelease(with setting) nextRelease {
	with.t.Helper()
	o := next.Options{RecordDeliveries: with.options.RecordDeliveries, Logf: with.options.Logf}
	if !with.patient {
		o.PumpBatch, o.AcknowledgeWithin, o.MaxDeliveries = pumpBatch, acknowledgeWithin, maxDeliveries
	}
	if with.options.Storage == eventmeshtest.RocketMQ {
		o.Storage = next.Holding
	}
	return nextRelease{next.New(with.t, o)}
}

// SetFaults sets those that come closest. A heartbeat is a poll, or a subscription.
func (n nextRelease) SetFaults(f eventmeshtest.Faults) {
	refuse := 0
	if f.Refuse != "" {
		refuse = http.StatusServiceUnavailable
	}
	n.Server.SetFaults(next.Faults{
		Delay: f.Delay, Refuse: refuse, LoseAnswers: f.LoseAnswers, LosePolls: f.LoseAnswers, LoseAcknowledgements: f.MixUpAcknowledgements,
		RefuseSubscribe: f.RefuseSubscribe, StallSubscribe: f.StallSubscribe, StallUnsubscribe: f.StallUnsubscribe,
		StallPoll: f.StallHeartbeats,
	})
}
