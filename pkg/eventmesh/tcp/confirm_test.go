package tcp_test

import (
	"errors"
	"fmt"
	"strings"
	"sync"
	"testing"

	"github.com/cloudevents/sdk-go/v2/event"

	"github.com/eventing-eventmesh/eventing-eventmesh/pkg/eventmesh"
	"github.com/eventing-eventmesh/eventing-eventmesh/pkg/eventmesh/eventmeshtest"
	"github.com/eventing-eventmesh/eventing-eventmesh/pkg/eventmesh/tcp"
)

// TestNoEventHasTheConfirmationOfAnother publishes events that EventMesh takes and refuses, together.
func TestNoEventHasTheConfirmationOfAnother(t *testing.T) {
	server := eventmeshtest.New(t, eventmeshtest.Options{Storage: eventmeshtest.RocketMQ, RateLimit: -1, InboundLimit: -1})
	addresses, err := eventmesh.ParseAddresses(server.TCPURL(), tcp.Transport{})
	if err != nil {
		t.Fatal(err)
	}
	connected := make(chan struct{}, 1)
	p, err := eventmesh.NewPublisher(eventmesh.Config{Addresses: addresses, ClientID: "p", Group: "p", Notify: func(s eventmesh.Status) {
		if s.Connected {
			connected <- struct{}{}
		}
	}}, tcp.Transport{})
	if err != nil {
		t.Fatal(err)
	}
	defer p.Close()
	<-connected
	var all sync.WaitGroup
	for i := range 200 {
		all.Go(func() {
			e := event.New()
			e.SetID(fmt.Sprint(i))
			e.SetSource("/s")
			e.SetType("t")
			var want error
			if i%2 == 1 {
				e.DataEncoded, want = []byte(strings.Repeat("x", 2000)), eventmesh.ErrTooLarge
			}
			if err := p.Publish(t.Context(), "orders", e); !errors.Is(err, want) {
				t.Errorf("event %d: got %v, want %v", i, err, want)
			}
		})
	}
	all.Wait()
	stored := map[string]bool{} // on a busy machine perhaps twice: what is confirmed late is published again
	for _, e := range server.Published("orders") {
		stored[e.GetId()] = true
	}
	if len(stored) != 100 {
		t.Errorf("EventMesh has %d events, want 100", len(stored))
	}
}
