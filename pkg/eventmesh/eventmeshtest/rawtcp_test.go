package eventmeshtest_test

import (
	"bufio"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/eventing-eventmesh/eventing-eventmesh/pkg/eventmesh/eventmeshtest"
	"github.com/eventing-eventmesh/eventing-eventmesh/pkg/eventmesh/tcp/frame"
)

type tcpClient struct {
	t      *testing.T
	conn   net.Conn
	frames chan frame.Frame
	err    error
	seq    int
}

func dialTCP(t *testing.T, s *eventmeshtest.Server) *tcpClient {
	t.Helper()
	var d net.Dialer
	conn, err := d.DialContext(t.Context(), "tcp", strings.TrimPrefix(s.TCPURL(), "tcp://"))
	if err != nil {
		t.Fatalf("dialing: %v", err)
	}
	c := &tcpClient{t: t, conn: conn, frames: make(chan frame.Frame, 10_000)}
	done := make(chan struct{})
	go func() {
		defer close(done)
		defer close(c.frames)
		r := bufio.NewReader(conn)
		for {
			f, err := frame.Read(r)
			if err != nil {
				c.err = err
				return
			}
			c.frames <- f
		}
	}()
	t.Cleanup(func() { _ = conn.Close(); <-done })
	return c
}

func (c *tcpClient) send(command frame.Command, seq, body string, properties map[string]any) {
	c.t.Helper()
	b, err := frame.Append(nil, frame.Frame{
		Header: frame.Header{Command: command, Sequence: seq, Properties: properties}, Body: []byte(body),
	})
	if err != nil {
		c.t.Fatalf("encoding: %v", err)
	}
	c.write(b)
}

func (c *tcpClient) write(b []byte) {
	c.t.Helper()
	if _, err := c.conn.Write(b); err != nil {
		c.t.Fatalf("writing: %v", err)
	}
}

func (c *tcpClient) next() frame.Frame {
	c.t.Helper()
	select {
	case f, ok := <-c.frames:
		if !ok {
			c.t.Fatalf("waiting for a frame: connection ended: %v", c.err)
		}
		return f
	case <-time.After(patience):
		c.t.Fatal("waiting for a frame: timeout")
	}
	return frame.Frame{}
}

func (c *tcpClient) want(command frame.Command, code int) frame.Frame {
	c.t.Helper()
	f := c.next()
	if f.Header.Command != command || f.Header.Code != code {
		c.t.Fatalf("got %s with code %d (%s), want %s with code %d", f.Header.Command, f.Header.Code, f.Header.Desc, command, code)
	}
	return f
}

func (c *tcpClient) wantNone() {
	c.t.Helper()
	select {
	case f := <-c.frames:
		c.t.Fatalf("got %s, error %v, want nothing", f.Header.Command, c.err)
	case <-time.After(quiet):
	}
}

// wantReset waits for the connection's end, which has to be a reset.
func (c *tcpClient) wantReset() {
	c.t.Helper()
	select {
	case f, ok := <-c.frames:
		if ok {
			c.t.Fatalf("got %s, want a reset", f.Header.Command)
		}
	case <-time.After(patience):
		c.t.Fatal("waiting for a reset: timeout")
	}
	if !errors.Is(c.err, syscall.ECONNRESET) && !errors.Is(c.err, io.ErrUnexpectedEOF) {
		c.t.Fatalf("got %v, want a reset", c.err)
	}
}

// ask sends a request and waits for its answer, which has to repeat the sequence number.
func (c *tcpClient) ask(command frame.Command, body string, answer frame.Command, code int) {
	c.t.Helper()
	c.seq++
	seq := fmt.Sprint("s", c.seq)
	c.send(command, seq, body, nil)
	f := c.want(answer, code)
	if f.Header.Sequence != seq {
		c.t.Fatalf("%s: got sequence number %q, want %q", command, f.Header.Sequence, seq)
	}
}

func helloBody(purpose, group string) string {
	return fmt.Sprintf(`{"env":"PRD","subsystem":"0000","path":"/x","pid":1,"host":"127.0.0.1","port":1,"version":"1.0",`+
		`"username":"u","password":"p","idc":"DEFAULT","group":%q,"purpose":%q,"unack":0}`, group, purpose)
}

func topicList(mode, kind string, topics ...string) string {
	items := make([]string, len(topics))
	for i, topic := range topics {
		items[i] = fmt.Sprintf(`{"topic":%q,"mode":%q,"type":%q}`, topic, mode, kind)
	}
	return `{"topicList":[` + strings.Join(items, ",") + `]}`
}

func publisherTCP(t *testing.T, s *eventmeshtest.Server) *tcpClient {
	t.Helper()
	c := dialTCP(t, s)
	c.ask(frame.HelloRequest, helloBody("pub", "pg"), frame.HelloResponse, 0)
	return c
}

func subscriberTCP(t *testing.T, s *eventmeshtest.Server, group, mode, kind string, topics ...string) *tcpClient {
	t.Helper()
	c := dialTCP(t, s)
	c.ask(frame.HelloRequest, helloBody("sub", group), frame.HelloResponse, 0)
	c.ask(frame.SubscribeRequest, topicList(mode, kind, topics...), frame.SubscribeResponse, 0)
	c.ask(frame.ListenRequest, "", frame.ListenResponse, 0)
	return c
}

func cluster(t *testing.T, s *eventmeshtest.Server, group string, topics ...string) *tcpClient {
	t.Helper()
	return subscriberTCP(t, s, group, "CLUSTERING", "ASYNC", topics...)
}

func protocol(desc string) map[string]any {
	return map[string]any{"protocoltype": "cloudevents", "protocolversion": "1.0", "protocoldesc": desc}
}

func structured(topic, id, data string) string {
	return fmt.Sprintf(`{"specversion":"1.0","id":%q,"source":"/test","type":"test","subject":%q,`+
		`"datacontenttype":"application/cloudevents+json","ttl":"4000","data":%s}`, id, topic, data)
}

func (c *tcpClient) publish(body string, properties map[string]any) frame.Frame {
	c.t.Helper()
	c.seq++
	c.send(frame.AsyncMessageToServer, fmt.Sprint("p", c.seq), body, properties)
	f := c.next()
	if f.Header.Command != frame.AsyncMessageToServerAck {
		c.t.Fatalf("got %s, want an acknowledgement", f.Header.Command)
	}
	return f
}

// mustPublish publishes to topic T.
func (c *tcpClient) mustPublish(id string) {
	c.t.Helper()
	if f := c.publish(structured("T", id, `{"a":1}`), protocol("tcp")); f.Header.Code != 0 {
		c.t.Fatalf("publishing: got code %d (%s), want 0", f.Header.Code, f.Header.Desc)
	}
}

// pushed is an event as it arrives over TCP.
type pushed struct {
	frame.Frame
	fields map[string]any
}

func (c *tcpClient) wantEvent(id string) pushed {
	c.t.Helper()
	f := c.next()
	p := pushed{Frame: f}
	if err := json.Unmarshal(f.Body, &p.fields); err != nil {
		c.t.Fatalf("reading the event of %s, code %d: %v: %s", f.Header.Command, f.Header.Code, err, f.Body)
	}
	if p.fields["id"] != id {
		c.t.Fatalf("got event %v, want %s", p.fields["id"], id)
	}
	return p
}

func (c *tcpClient) acknowledge(f frame.Frame) {
	c.t.Helper()
	c.send(f.Header.Command+"_ACK", f.Header.Sequence, "", nil)
}
