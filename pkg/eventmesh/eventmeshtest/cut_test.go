package eventmeshtest

import (
	"testing"

	"github.com/eventing-eventmesh/eventing-eventmesh/pkg/eventmesh/grpc/eventmeshpb"
)

// TestSessionsOfAConnectionThatIsCut looks at sessions of a connection that is cut before or after their first event.
func TestSessionsOfAConnectionThatIsCut(t *testing.T) {
	b := newBroker(Options{RecordDeliveries: true}.withDefaults())
	m := &message{topic: "orders", event: &eventmeshpb.CloudEvent{}}
	before, after, other := &Session{peer: "a"}, &Session{peer: "a"}, &Session{peer: "b"}
	b.handOut(m, before)
	b.cutting("a")
	b.handOut(m, after)
	b.handOut(m, other)
	for session, want := range map[*Session]End{before: Cut, after: Cut, other: Gone} {
		if b.end(session, Gone); session.End != want {
			t.Errorf("session %d of %s: got end %q, want %q", session.Number, session.peer, session.End, want)
		}
	}
}
