package eventmeshtest

import (
	"encoding/binary"
	"encoding/json"

	"github.com/eventing-eventmesh/eventing-eventmesh/pkg/eventmesh/tcp/frame"
)

// Commands that only the server needs to know.
const (
	recommendRequest  frame.Command = "RECOMMEND_REQUEST"
	recommendResponse frame.Command = "RECOMMEND_RESPONSE"
)

// responses are the commands that exist, and how the server answers each when something fails before it is looked at;
// those it has no answer for are repeated.
var responses = map[frame.Command]frame.Command{
	frame.HelloRequest: frame.HelloResponse, recommendRequest: recommendResponse, frame.HeartbeatRequest: frame.HeartbeatResponse,
	frame.SubscribeRequest: frame.SubscribeResponse, frame.UnsubscribeRequest: frame.UnsubscribeResponse,
	frame.ListenRequest: frame.ListenResponse, frame.ClientGoodbyeRequest: frame.ClientGoodbyeResponse,
	frame.RequestToServer: frame.ResponseToClient, frame.AsyncMessageToServer: frame.AsyncMessageToServerAck,
	frame.BroadcastMessageToServer: frame.BroadcastMessageToServerAck,

	frame.HelloResponse: "", recommendResponse: "", frame.HeartbeatResponse: "", frame.SubscribeResponse: "",
	frame.UnsubscribeResponse: "", frame.ListenResponse: "", frame.ClientGoodbyeResponse: "", frame.ServerGoodbyeRequest: "",
	frame.ServerGoodbyeResponse: "", frame.RedirectToClient: "", frame.AsyncMessageToServerAck: "", frame.AsyncMessageToClient: "",
	frame.AsyncMessageToClientAck: "", frame.BroadcastMessageToServerAck: "", frame.BroadcastMessageToClient: "",
	frame.BroadcastMessageToClientAck: "", frame.RequestToClient: "", frame.RequestToClientAck: "", frame.ResponseToServer: "",
	frame.ResponseToClient: "", frame.ResponseToClientAck: "",
	"SYS_LOG_TO_LOGSERVER": "", "TRACE_LOG_TO_LOGSERVER": "", "REGISTER_REQUEST": "", "REGISTER_RESPONSE": "",
	"UNREGISTER_REQUEST": "", "UNREGISTER_RESPONSE": "",
}

func responseTo(c frame.Command) frame.Command {
	if r := responses[c]; r != "" {
		return r
	}
	return c
}

// wireHeader is a header as EventMesh writes it: with the command twice, and properties even when there are none.
type wireHeader struct {
	Command    frame.Command  `json:"cmd"`
	Code       int            `json:"code"`
	Desc       string         `json:"desc,omitempty"`
	Sequence   string         `json:"seq,omitempty"`
	Properties map[string]any `json:"properties"`
	Again      frame.Command  `json:"command"`
}

// encode returns the bytes of a frame, or nil when it is larger than the server can send.
func encode(f frame.Frame) []byte {
	h := wireHeader{
		Command: f.Header.Command, Code: f.Header.Code, Desc: f.Header.Desc, Sequence: f.Header.Sequence,
		Properties: f.Header.Properties, Again: f.Header.Command,
	}
	if h.Properties == nil {
		h.Properties = map[string]any{}
	}
	header, err := json.Marshal(h)
	const preamble = "EventMesh0000"
	size := len(preamble) + len(header) + len(f.Body)
	if err != nil || size > frame.MaxSize {
		return nil
	}
	b := append(make([]byte, 0, size+8), preamble...)
	b = binary.BigEndian.AppendUint32(b, uint32(size))
	b = binary.BigEndian.AppendUint32(b, uint32(len(header))) //nolint:gosec // at most frame.MaxSize
	return append(append(b, header...), f.Body...)
}
