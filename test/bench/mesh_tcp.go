//go:build linux

package main

import (
	"bufio"
	"bytes"
	"encoding/binary"
	"encoding/json"
	"net"

	"github.com/eventing-eventmesh/eventing-eventmesh/pkg/eventmesh/tcp/frame"
)

// serveTCP answers every request of a connection, and reads no acknowledgement.
func (m *mesh) serveTCP(conn net.Conn) error {
	reader := bufio.NewReaderSize(conn, 64<<10)
	var topics []string
	defer func() { m.unsubscribe(tcpTransport, topics) }()
	var out []byte
	for {
		command, f, err := readCommand(reader)
		if err != nil {
			return err
		}
		switch command {
		case frame.AsyncMessageToClientAck:
			continue
		case frame.SubscribeRequest:
			var list struct {
				Topics json.RawMessage `json:"topicList"`
			}
			if err := json.Unmarshal(f.Body, &list); err != nil {
				return err
			}
			if topics, err = topicsOf(list.Topics); err != nil {
				return err
			}
		case frame.ListenRequest:
			send := func(b []byte) error {
				_, err := conn.Write(b)
				return err
			}
			m.subscribe(tcpTransport, topics, &subscriber{send: send, end: func() {}})
		}
		answer := frame.Header{Command: answers[command], Sequence: f.Header.Sequence, Desc: "success"}
		if out, err = frame.Append(out[:0], frame.Frame{Header: answer}); err != nil {
			return err
		}
		if _, err := conn.Write(out); err != nil {
			return err
		}
	}
}

// readCommand reads a frame, of an acknowledgement no more than that it is one.
func readCommand(r *bufio.Reader) (frame.Command, frame.Frame, error) {
	const lengths = 13 // what stands before them
	start, err := r.Peek(lengths + 8)
	if err != nil {
		return "", frame.Frame{}, err
	}
	size := lengths + 8 + int(binary.BigEndian.Uint32(start[lengths:])) - lengths
	if all, err := r.Peek(min(size, 256)); err == nil && bytes.Contains(all, []byte(frame.AsyncMessageToClientAck)) {
		_, err := r.Discard(size)
		return frame.AsyncMessageToClientAck, frame.Frame{}, err
	}
	f, err := frame.Read(r)
	return f.Header.Command, f, err
}

var answers = map[frame.Command]frame.Command{
	frame.HelloRequest: frame.HelloResponse, frame.SubscribeRequest: frame.SubscribeResponse, frame.ListenRequest: frame.ListenResponse,
	frame.UnsubscribeRequest: frame.UnsubscribeResponse, frame.HeartbeatRequest: frame.HeartbeatResponse,
	frame.ClientGoodbyeRequest: frame.ClientGoodbyeResponse, frame.AsyncMessageToServer: frame.AsyncMessageToServerAck,
}
