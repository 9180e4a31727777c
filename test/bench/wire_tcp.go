//go:build linux

package main

import (
	"bufio"
	"errors"
	"fmt"
	"net"
	"strings"
	"sync"

	"github.com/eventing-eventmesh/eventing-eventmesh/pkg/eventmesh/tcp/frame"
)

// tcpConn is a session of EventMesh's TCP protocol, with nothing but its frames.
type tcpConn struct {
	net.Conn
	reader *bufio.Reader
	buffer []byte
}

func dialTCP(url, purpose, group string) (*tcpConn, error) {
	conn, err := net.Dial("tcp", strings.TrimPrefix(url, "tcp://")) //nolint:noctx // the process ends with its caller
	if err != nil {
		return nil, err
	}
	c := &tcpConn{Conn: conn, reader: bufio.NewReaderSize(conn, 64<<10)}
	return c, c.exchange(frame.HelloRequest, fmt.Sprintf(`{"env":"PRD","subsystem":"0000","path":"/bench","pid":1,"host":"127.0.0.1",
		"port":1,"version":"1.0","username":"bench","password":"bench","idc":"DEFAULT","group":%q,"purpose":%q,"unack":0}`, group, purpose))
}

func (c *tcpConn) exchange(command frame.Command, body string) error {
	if err := c.send(frame.Frame{Header: frame.Header{Command: command, Sequence: "1"}, Body: []byte(body)}); err != nil {
		return err
	}
	answer, err := frame.Read(c.reader)
	if err == nil && answer.Header.Code != 0 {
		err = fmt.Errorf("%s: %s", command, answer.Header.Desc)
	}
	return err
}

func (c *tcpConn) send(f frame.Frame) (err error) {
	if c.buffer, err = frame.Append(c.buffer[:0], f); err == nil {
		_, err = c.Write(c.buffer)
	}
	return err
}

// readTCP subscribes.
func readTCP(url, topic, group string) (*tcpConn, error) {
	c, err := dialTCP(url, "sub", group)
	if err != nil {
		return nil, err
	}
	if err := c.exchange(frame.SubscribeRequest, fmt.Sprintf(`{"topicList":[{"topic":%q,"mode":"CLUSTERING","type":"ASYNC"}]}`, topic)); err != nil {
		return nil, err
	}
	return c, c.exchange(frame.ListenRequest, "")
}

// read reads the next event, and acknowledges it, as the protocol demands.
func (c *tcpConn) read() error {
	f, err := frame.Read(c.reader)
	if err != nil {
		return err
	}
	return c.send(frame.Frame{Header: frame.Header{Command: frame.AsyncMessageToClientAck, Sequence: f.Header.Sequence}})
}

// tcpPublisher has up to tcpInFlight publishes under way on one connection, which EventMesh answers in their order.
type tcpPublisher struct {
	*tcpConn
	mu      sync.Mutex
	waiting chan chan error
}

// tcpInFlight is how many publishes EventMesh takes from a session at once.
const tcpInFlight = 20

func publishTCP(url string) (*tcpPublisher, error) {
	conn, err := dialTCP(url, "pub", "publish")
	if err != nil {
		return nil, err
	}
	p := &tcpPublisher{tcpConn: conn, waiting: make(chan chan error, tcpInFlight)}
	go func() {
		for done := range p.waiting {
			answer, err := frame.Read(p.reader)
			if err == nil && answer.Header.Code != 0 {
				err = errors.New(answer.Header.Desc)
			}
			done <- err
		}
	}()
	return p, nil
}

var published = map[string]any{"protocoltype": "cloudevents", "protocolversion": "1.0", "protocoldesc": "tcp"}

func (p *tcpPublisher) publish(body []byte) error {
	done := make(chan error, 1)
	p.mu.Lock()
	p.waiting <- done
	err := p.send(frame.Frame{Header: frame.Header{Command: frame.AsyncMessageToServer, Sequence: "1", Properties: published}, Body: body})
	p.mu.Unlock()
	if err != nil {
		return err
	}
	return <-done
}
