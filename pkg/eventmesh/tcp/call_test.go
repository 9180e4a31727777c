package tcp

import (
	"testing"

	"github.com/eventing-eventmesh/eventing-eventmesh/pkg/eventmesh/tcp/frame"
)

func TestAnsweredBy(t *testing.T) {
	first := &call{command: frame.AsyncMessageToServer, sequence: "1", event: identity{"a", "/s", "t", "orders"}}
	second := &call{command: frame.AsyncMessageToServer, sequence: "2", event: identity{"b", "/s", "t", "orders"}}
	heartbeat := &call{command: frame.HeartbeatRequest, sequence: "3"}
	request := &call{command: frame.RequestToServer, sequence: "4"}
	const confirmed = `{"data":{"node":{"id":"x"}},"id":"a","source":"/s","type":"t","subject":"orders","extensionNames":["emxdata"]}`
	for name, c := range map[string]struct {
		header frame.Header
		body   string
		want   *call
	}{
		"a confirmation by its event":              {frame.Header{Command: frame.AsyncMessageToServerAck, Sequence: "2"}, confirmed, first},
		"a confirmation of nobody's event":         {frame.Header{Command: frame.AsyncMessageToServerAck, Sequence: "2"}, `{"id":"a","source":"/other"}`, nil},
		"a refusal by its sequence":                {frame.Header{Command: frame.AsyncMessageToServerAck, Code: 1, Sequence: "2"}, "", second},
		"a body that is no object by its sequence": {frame.Header{Command: frame.AsyncMessageToServerAck, Sequence: "2"}, "null", second},
		"a reply by its sequence":                  {frame.Header{Command: frame.ResponseToClient, Sequence: "4"}, confirmed, request},
		"a heartbeat's by its sequence":            {frame.Header{Command: frame.HeartbeatResponse, Sequence: "3"}, "", heartbeat},
		"what nobody waits for":                    {frame.Header{Command: frame.HeartbeatResponse, Sequence: "5"}, "", nil},
		"a heartbeat's is no confirmation":         {frame.Header{Command: frame.HeartbeatResponse, Sequence: "2"}, "", nil},
		"a confirmation is no reply":               {frame.Header{Command: frame.AsyncMessageToServerAck, Sequence: "4"}, "", nil},
		"a reply is no confirmation":               {frame.Header{Command: frame.ResponseToClient, Sequence: "2"}, confirmed, nil},
		"no command answers nothing":               {frame.Header{Sequence: "2"}, "", nil},
	} {
		t.Run(name, func(t *testing.T) {
			connection := &connection{calls: []*call{first, second, heartbeat, request}}
			got := connection.answered(frame.Frame{Header: c.header, Body: []byte(c.body)})
			if got != c.want {
				t.Errorf("got %+v, want %+v", got, c.want)
			}
			if left := len(connection.calls); got != nil && left != 3 || got == nil && left != 4 {
				t.Errorf("%d calls wait for their answers after that", left)
			}
		})
	}
}
