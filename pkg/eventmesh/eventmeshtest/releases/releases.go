// Package releases starts an EventMesh in memory for tests that do the same over each transport: EventMesh 1.12 for gRPC and TCP, and the
// release after that for HTTP.
package releases

import (
	"net/http"
	"testing"

	"github.com/eventing-eventmesh/eventing-eventmesh/pkg/eventmesh/eventmeshtest"
	"github.com/eventing-eventmesh/eventing-eventmesh/pkg/eventmesh/eventmeshtest/next"
	"github.com/eventing-eventmesh/eventing-eventmesh/pkg/eventmesh/grpc/eventmeshpb"
)

// The transports, as the environment names what EventMesh is reached by, in the case of their names.
const (
	GRPC = "gRPC"
	TCP  = "TCP"
	HTTP = "HTTP"
)

// Transports are all of them.
var Transports = []string{GRPC, TCP, HTTP}

// Server is what tests have of an EventMesh of either release.
type Server interface {
	// URL is where it takes the transport that it was started for.
	URL() string
	Deliveries() []eventmeshtest.Delivery
	Published(topic string) []*eventmeshpb.CloudEvent
	Subscribers(topic string) int
	Members(topic string) int
	// Pending counts the events that it delivers yet, or again, as long as it lives. EventMesh 1.12 has none: what has not been
	// acknowledged it delivers when a session ends, and some only when it restarts.
	Pending(topic string) int
	SetFaults(f eventmeshtest.Faults)
	DropConnections()
	Stop()
	MustRestart(tb testing.TB, keepEvents bool)
}

// New starts an EventMesh for a test, which ends it, and fails where it cannot. One for HTTP has of the options what both releases have;
// its tokens are the passwords.
func New(tb testing.TB, transport string, o eventmeshtest.Options) Server {
	tb.Helper()
	if transport == HTTP {
		return NewNext(tb, o, next.Options{})
	}
	return Release112{eventmeshtest.New(tb, o), transport}
}

// Release112 is an EventMesh 1.12, and the transport that its URL is for.
type Release112 struct {
	*eventmeshtest.Server
	Transport string
}

// URL is where it takes the transport.
func (r Release112) URL() string {
	if r.Transport == TCP {
		return r.TCPURL()
	}
	return r.GRPCURL()
}

// Pending is 0.
func (Release112) Pending(string) int { return 0 }

// NewNext starts an EventMesh of the next release, with options of its own besides those that both have.
func NewNext(tb testing.TB, both eventmeshtest.Options, own next.Options) Server {
	tb.Helper()
	own.RecordDeliveries, own.Logf = both.RecordDeliveries, both.Logf
	if both.Storage == eventmeshtest.RocketMQ {
		own.Storage = next.Holding
	}
	for _, password := range both.Credentials {
		own.Tokens = append(own.Tokens, "Bearer "+password)
	}
	return nextRelease{next.New(tb, own)}
}

type nextRelease struct{ *next.Server }

// rateLimited is the code of EventMesh 1.12 for what comes too fast.
const rateLimited = "21"

// SetFaults sets those that come closest. A heartbeat is a poll, or a subscription.
func (n nextRelease) SetFaults(f eventmeshtest.Faults) {
	refuse := 0
	switch f.Refuse {
	case "":
	case rateLimited:
		refuse = http.StatusTooManyRequests
	default:
		refuse = http.StatusServiceUnavailable
	}
	n.Server.SetFaults(next.Faults{
		Delay: f.Delay, Refuse: refuse, RefuseDescription: f.RefuseDescription, LoseAnswers: f.LoseAnswers, LosePolls: f.LoseAnswers,
		LoseAcknowledgements: f.MixUpAcknowledgements, RefuseSubscribe: f.RefuseSubscribe, StallSubscribe: f.StallSubscribe,
		StallUnsubscribe: f.StallUnsubscribe, StallPoll: f.StallHeartbeats,
	})
}
