package grpc

import (
	"fmt"
	"strings"
	"time"

	"github.com/cloudevents/sdk-go/v2/event"

	"github.com/eventing-eventmesh/eventing-eventmesh/pkg/eventmesh"
	pb "github.com/eventing-eventmesh/eventing-eventmesh/pkg/eventmesh/grpc/eventmeshpb"
	"github.com/eventing-eventmesh/eventing-eventmesh/pkg/eventmesh/internal/wire"
)

// The release of EventMesh after 1.12 has a bridge for clients of 1.x. What they publish comes to its HTTP subscribers. They themselves get
// nothing any more once EventMesh looks for clients that do not poll, though their heartbeats succeed and their streams go on; what they got
// until then they cannot acknowledge; and all groups share the events of a topic.

// errBridge ends a session that has subscribed to the bridge, or was about to. Subscribing alone takes events from other subscribers.
var errBridge = fmt.Errorf("%w: this is the gRPC bridge of the release after 1.12, which ends subscriptions within a minute without a word, "+
	"and delivers events up to six times; use http://host:10105", eventmesh.ErrUnsupported)

// isOfBridge tells whether an answer comes from the bridge: those of 1.12 have no source and no type of their own.
func isOfBridge(answer *pb.CloudEvent) bool {
	return strings.HasPrefix(answer.GetId(), "resp-") && answer.GetSource() == "/" && answer.GetType() == "org.apache.eventmesh"
}

// encodeBridge returns an event of [wire.Encode] as a message, with the patience for the reply where one is due. The client's attributes
// would come to subscribers as the event's own, the password among them: the bridge asks for none.
func encodeBridge(carried event.Event, patience time.Duration) (encoded, error) {
	if topic := carried.Subject(); strings.ContainsAny(topic, "%|") {
		return nil, fmt.Errorf("%w %q: with the release after 1.12 a name has letters, digits and characters of ._-", eventmesh.ErrInvalidTopic, topic)
	}
	if patience > 0 {
		carried.SetExtension("ttl", milliseconds(patience))
		carried.SetExtension(wire.CorrelationID, unique()) // the server's own ones begin anew with it
	}
	if err := wire.CheckAttributes(carried); err != nil {
		return nil, err
	}
	m, err := encode(carried, 0)
	if err != nil {
		return nil, err
	}
	return m, checkSize(m)
}

// isBridged tells whether an event comes from the bridge, which repeats among the attributes what has fields of its own.
func isBridged(m *pb.CloudEvent) bool {
	for _, field := range [...]struct{ name, value string }{
		{"specversion", m.GetSpecVersion()}, {"id", m.GetId()}, {"source", m.GetSource()}, {"type", m.GetType()},
	} {
		repeated, ok := m.GetAttributes()[field.name].GetAttr().(*pb.CloudEvent_AttributeValue_CeString)
		if !ok || repeated.CeString != field.value {
			return false
		}
	}
	return true
}

// isBridges tells of attributes that the bridge has added.
func isBridges(name string) bool {
	switch name {
	case "specversion", "id", "source", "type":
		return true
	default:
		return wire.ReservedByHTTP(name)
	}
}

// withSeconds returns the value of an attribute. Java leaves seconds out of a time that are 0.
func withSeconds(name string, value any) any {
	if text, ok := value.(string); ok && name == "time" {
		if t, err := time.Parse("2006-01-02T15:04Z07:00", text); err == nil {
			return t
		}
	}
	return value
}
