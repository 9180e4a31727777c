package contract

import (
	"bufio"
	"context"
	"encoding/json"
	"fmt"
	"net"

	"github.com/eventing-eventmesh/eventing-eventmesh/pkg/eventmesh"
	"github.com/eventing-eventmesh/eventing-eventmesh/pkg/eventmesh/tcp/frame"
)

// rawTCP is a session of a client that is not this project's.
type rawTCP struct {
	net.Conn
	reader *bufio.Reader
}

func (target Target) credentials() (eventmesh.Credentials, error) {
	credentials := eventmesh.Credentials{Username: "contract", Password: "contract"}
	if target.Credentials == nil {
		return credentials, nil
	}
	own, err := target.Credentials()
	if err == nil && own.Username != "" {
		credentials = own
	}
	return credentials, err
}

// dialTCP returns a session, which the context ends, after its hello.
func dialTCP(ctx context.Context, host string, c eventmesh.Credentials, group, purpose string) (*rawTCP, error) {
	conn, err := (&net.Dialer{}).DialContext(ctx, "tcp", host)
	if err != nil {
		return nil, err
	}
	context.AfterFunc(ctx, func() { _ = conn.Close() })
	s := &rawTCP{Conn: conn, reader: bufio.NewReader(conn)}
	hello := map[string]any{
		"env": "PRD", "subsystem": "0000", "path": "/contract", "pid": 1, "host": "127.0.0.1", "port": 1, "version": "1.0", "idc": "DEFAULT",
		"group": group, "purpose": purpose, "unack": 0, "username": c.Username, "password": c.Password,
	}
	if _, err := s.call(frame.Header{Command: frame.HelloRequest}, hello); err != nil {
		_ = s.Close()
		return nil, err
	}
	return s, nil
}

// call sends a request and reads the next frame, which is its answer where nothing else is due.
func (s *rawTCP) call(header frame.Header, body any) (answer frame.Frame, err error) {
	header.Sequence = unique("sequence")
	f := frame.Frame{Header: header}
	if f.Body, err = json.Marshal(body); err != nil {
		return answer, err
	}
	if err := s.send(f); err != nil {
		return answer, err
	}
	if answer, err = frame.Read(s.reader); err == nil && answer.Header.Code != 0 {
		err = fmt.Errorf("%s: code %d: %s", header.Command, answer.Header.Code, answer.Header.Desc)
	}
	return answer, err
}

func (s *rawTCP) send(f frame.Frame) error {
	b, err := frame.Append(nil, f)
	if err != nil {
		return err
	}
	_, err = s.Write(b)
	return err
}
