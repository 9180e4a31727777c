package tcp

import (
	"github.com/cloudevents/sdk-go/v2/event"

	"github.com/eventing-eventmesh/eventing-eventmesh/internal/jsontext"
	"github.com/eventing-eventmesh/eventing-eventmesh/pkg/eventmesh/tcp/frame"
)

// answers are the commands that answer those of a client. Nothing else does, whichever sequence number it has.
var answers = map[frame.Command]frame.Command{
	frame.HelloRequest:         frame.HelloResponse,
	frame.HeartbeatRequest:     frame.HeartbeatResponse,
	frame.SubscribeRequest:     frame.SubscribeResponse,
	frame.UnsubscribeRequest:   frame.UnsubscribeResponse,
	frame.ListenRequest:        frame.ListenResponse,
	frame.ClientGoodbyeRequest: frame.ClientGoodbyeResponse,
	frame.AsyncMessageToServer: frame.AsyncMessageToServerAck,
	frame.RequestToServer:      frame.ResponseToClient,
}

// call is a request that waits for its answer.
type call struct {
	command   frame.Command
	sequence  string
	event     identity // of a publish
	overtaken bool     // by a later publish to its topic, which has been answered; guarded by connection.mu
	answer    chan frame.Frame
}

// identity is what tells an event from others: by CloudEvents its id and source.
type identity struct{ id, source, kind, topic string }

func identityOf(wire event.Event) identity {
	return identity{id: wire.ID(), source: wire.Source(), kind: wire.Type(), topic: wire.Subject()}
}

// answeredBy returns what tells the call that a frame is the answer to.
//
// The confirmation of a publish has the event for its body, and belongs to that. Its sequence number means nothing: EventMesh 1.12 has
// one processor for all sessions, which keeps the frame that it handles in a field, and confirms under the number of whatever frame
// has come meanwhile. A refusal, which has no body, has the right number, as all other answers have.
func answeredBy(f frame.Frame) func(*call) bool {
	if f.Header.Command == frame.AsyncMessageToServerAck {
		if confirmed := published(f.Body); confirmed != (identity{}) {
			return func(c *call) bool { return c.event == confirmed }
		}
	}
	return func(c *call) bool {
		return f.Header.Command == answers[c.command] && f.Header.Sequence == c.sequence
	}
}

// published returns the event in the body of a confirmation, which is no CloudEvent, but names what these are told by as one.
func published(body []byte) (event identity) {
	err := jsontext.Members(body, func(name, value []byte) error {
		switch string(name) {
		case "id":
			event.id, _ = jsontext.String(value)
		case "source":
			event.source, _ = jsontext.String(value)
		case "type":
			event.kind, _ = jsontext.String(value)
		case "subject":
			event.topic, _ = jsontext.String(value)
		}
		return nil
	})
	if err != nil {
		return identity{}
	}
	return event
}
