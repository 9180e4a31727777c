package eventmeshtest_test

import (
	"fmt"
	"testing"
	"time"

	"github.com/eventing-eventmesh/eventing-eventmesh/pkg/eventmesh/eventmeshtest"
	"github.com/eventing-eventmesh/eventing-eventmesh/pkg/eventmesh/tcp/frame"
)

func TestTCPClusteringSharesAndBroadcastingCopies(t *testing.T) {
	s := eventmeshtest.New(t, eventmeshtest.Options{})
	p := publisherTCP(t, s)
	a, b := cluster(t, s, "g", "T"), cluster(t, s, "g", "T")
	const n = 60
	for i := range n {
		p.mustPublish(fmt.Sprint(i))
	}
	eventually(t, func() (string, bool) {
		return fmt.Sprintf("got %d and %d events, want %d in all", len(a.frames), len(b.frames), n), len(a.frames)+len(b.frames) == n
	})
	if len(a.frames) < n/6 || len(b.frames) < n/6 {
		t.Errorf("got %d and %d events, want about equal shares", len(a.frames), len(b.frames))
	}
	a, b = subscriberTCP(t, s, "h", "BROADCASTING", "ASYNC", "B"), subscriberTCP(t, s, "h", "BROADCASTING", "ASYNC", "B")
	p.send(frame.BroadcastMessageToServer, "1", structured("B", "x", "1"), protocol("tcp"))
	p.want(frame.BroadcastMessageToServerAck, 0)
	for _, c := range []*tcpClient{a, b} {
		f := c.want(frame.BroadcastMessageToClient, 0)
		c.acknowledge(f)
	}
}

func TestEventsBeforeListenAreLostOnStandalone(t *testing.T) {
	var log logged
	s := eventmeshtest.New(t, eventmeshtest.Options{Logf: log.logf})
	c := dialTCP(t, s)
	c.ask(frame.HelloRequest, helloBody("sub", "g"), frame.HelloResponse, 0)
	c.ask(frame.SubscribeRequest, topicList("CLUSTERING", "ASYNC", "T"), frame.SubscribeResponse, 0)
	publisherTCP(t, s).mustPublish("early")
	c.ask(frame.ListenRequest, "", frame.ListenResponse, 0)
	c.wantNone()
	if log.count(`lost event "early"`) != 1 {
		t.Errorf("got log %v, want the lost event", log.lines)
	}
}

func TestUnacknowledgedEventsGoToAnotherSession(t *testing.T) {
	s := eventmeshtest.New(t, eventmeshtest.Options{AcknowledgeAfter: -1})
	p := publisherTCP(t, s)
	a := cluster(t, s, "g", "T")
	p.mustPublish("1")
	p.mustPublish("2")
	first, second := a.wantEvent("1"), a.wantEvent("2")
	a.acknowledge(first.Frame)
	a.ask(frame.HeartbeatRequest, "", frame.HeartbeatResponse, 0)
	b := cluster(t, s, "g", "T")
	_ = a.conn.Close()
	again := b.wantEvent("2")
	if again.Header.Sequence != second.Header.Sequence {
		t.Errorf("got sequence number %s, want %s again", again.Header.Sequence, second.Header.Sequence)
	}
	b.acknowledge(again.Frame)
	b.wantNone()
}

func TestUnacknowledgedEventsAreGoneWithTheLastSession(t *testing.T) {
	var log logged
	s := eventmeshtest.New(t, eventmeshtest.Options{AcknowledgeAfter: -1, Logf: log.logf})
	a := cluster(t, s, "g", "T")
	publisherTCP(t, s).mustPublish("1")
	a.wantEvent("1")
	_ = a.conn.Close()
	eventually(t, func() (string, bool) {
		return "the event is not reported as lost", log.count("its session closed without acknowledging it") == 1
	})
}

func TestServerAcknowledgesByItself(t *testing.T) {
	var log logged
	s := eventmeshtest.New(t, eventmeshtest.Options{AcknowledgeAfter: 30 * time.Millisecond, Logf: log.logf})
	a := cluster(t, s, "g", "T")
	publisherTCP(t, s).mustPublish("1")
	f := a.wantEvent("1")
	eventually(t, func() (string, bool) {
		return "the server does not acknowledge by itself", log.count("acknowledged by the server itself") == 1
	})
	a.acknowledge(f.Frame)
	b := cluster(t, s, "g", "T")
	_ = a.conn.Close()
	b.wantNone()
}

func TestBroadcastEventsAreNotHandedOver(t *testing.T) {
	s := eventmeshtest.New(t, eventmeshtest.Options{AcknowledgeAfter: -1})
	a := subscriberTCP(t, s, "g", "BROADCASTING", "ASYNC", "T")
	publisherTCP(t, s).mustPublish("1")
	a.wantEvent("1")
	b := subscriberTCP(t, s, "g", "BROADCASTING", "ASYNC", "T")
	_ = a.conn.Close()
	b.wantNone()
}

func TestThereIsNoPushWindow(t *testing.T) {
	s := eventmeshtest.New(t, eventmeshtest.Options{InboundLimit: -1, RateLimit: -1})
	sub := cluster(t, s, "g", "T")
	p := publisherTCP(t, s)
	const n = 500
	for range n {
		p.mustPublish("1")
	}
	for i := range n {
		if got := sub.wantEvent("1").Header.Sequence; got != fmt.Sprint(i+1) {
			t.Fatalf("got sequence number %s, want %d", got, i+1)
		}
	}
}
