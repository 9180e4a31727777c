package tcp

import (
	"bufio"
	"bytes"
	"errors"
	"io"
	"net"
	"testing"
	"time"

	"github.com/eventing-eventmesh/eventing-eventmesh/pkg/eventmesh"
	"github.com/eventing-eventmesh/eventing-eventmesh/pkg/eventmesh/tcp/frame"
)

// written is a connection that keeps what is written to it.
type written struct {
	net.Conn
	writes int
	bytes.Buffer
}

func (*written) SetWriteDeadline(time.Time) error { return nil }

func (w *written) Write(b []byte) (int, error) {
	w.writes++
	return w.Buffer.Write(b)
}

func (w *written) Read(b []byte) (int, error) { return w.Buffer.Read(b) }

func TestAcknowledgementsAreOneWrite(t *testing.T) {
	conn := &written{}
	s := &subscriber{connection: newConnection(conn), acknowledged: make(chan struct{}, 1)}
	var deliveries []*eventmesh.Delivery
	for _, sequence := range []string{"1", "2", "3", "4"} {
		deliveries = append(deliveries, s.delivery(frame.Frame{Header: frame.Header{Command: frame.AsyncMessageToClient, Sequence: sequence}}))
	}
	if err := deliveries[0].Release(t.Context()); err != nil {
		t.Fatal(err)
	}
	for range 2 { // the second does nothing
		if err := eventmesh.Acknowledge(t.Context(), deliveries...); err != nil {
			t.Fatal(err)
		}
	}
	if conn.writes != 1 || s.unacknowledged.Load() != 0 {
		t.Errorf("%d writes, %d deliveries unacknowledged; want one write, and none", conn.writes, s.unacknowledged.Load())
	}
	reader := bufio.NewReader(conn)
	for _, want := range []string{"2", "3", "4"} {
		f, err := frame.Read(reader)
		if err != nil || f.Header.Command != frame.AsyncMessageToClientAck || f.Header.Sequence != want {
			t.Errorf("got %v, %v; want the acknowledgement of %s", f.Header, err, want)
		}
	}
	if f, err := frame.Read(reader); !errors.Is(err, io.EOF) {
		t.Errorf("got %v, %v; want no more", f, err)
	}
}
