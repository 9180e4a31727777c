package tcp

import (
	"context"
	"net"
	"testing"
	"time"

	"github.com/eventing-eventmesh/eventing-eventmesh/pkg/eventmesh/tcp/frame"
)

// TestAwaitPrefersTheAnswer lets everything have happened by the time that somebody looks, as on a busy machine.
func TestAwaitPrefersTheAnswer(t *testing.T) {
	conn, peer := net.Pipe()
	defer peer.Close()
	c := newConnection(conn)
	if err := c.Close(); err != nil {
		t.Fatal(err)
	}
	ended, cancel := context.WithCancel(t.Context())
	cancel()
	late := make(chan time.Time)
	close(late)
	for range 100 { // of several that are ready, select picks any
		own := &call{answer: make(chan frame.Frame, 1)}
		own.answer <- frame.Frame{}
		if _, err := c.await(ended, own, late); err != nil {
			t.Fatalf("got %v, want the answer", err)
		}
	}
}
