package eventmeshtest_test

import (
	"fmt"
	"slices"
	"testing"
	"time"

	"github.com/eventing-eventmesh/eventing-eventmesh/pkg/eventmesh/eventmeshtest"
	"github.com/eventing-eventmesh/eventing-eventmesh/pkg/eventmesh/tcp/frame"
)

// wantDeliveries waits until the server's deliveries are those, in a short form: ID, session, redelivered, acknowledged
// by, lost, and how the session has ended.
func wantDeliveries(t *testing.T, s *eventmeshtest.Server, want ...string) {
	t.Helper()
	eventually(t, func() (string, bool) {
		var got []string
		for _, d := range s.Deliveries() {
			line := fmt.Sprintf("%s to %d", d.ID, d.Session.Number)
			if d.Redelivered {
				line += " again"
			}
			if d.Acknowledged != eventmeshtest.Unacknowledged {
				line += " acknowledged by " + string(d.Acknowledged)
			}
			if d.Lost != "" {
				line += " lost"
			}
			got = append(got, line+" "+string(d.Session.End))
		}
		return fmt.Sprintf("got deliveries %q, want %q", got, want), slices.Equal(got, want)
	})
}

func TestDeliveriesOverTCP(t *testing.T) {
	s := eventmeshtest.New(t, eventmeshtest.Options{RecordDeliveries: true, AcknowledgeAfter: -1})
	p := publisherTCP(t, s)
	a := cluster(t, s, "g", "T")
	p.mustPublish("acknowledged")
	a.acknowledge(a.wantEvent("acknowledged").Frame)
	p.mustPublish("handed over")
	a.wantEvent("handed over")
	wantDeliveries(t, s, "acknowledged to 1 acknowledged by client ", "handed over to 1 ")
	b := cluster(t, s, "g", "T")
	_ = a.conn.Close()
	b.acknowledge(b.wantEvent("handed over").Frame)
	p.mustPublish("abandoned")
	b.wantEvent("abandoned")
	s.DropConnections()
	wantDeliveries(t, s, "acknowledged to 1 acknowledged by client gone", "handed over to 1 gone",
		"handed over to 2 again acknowledged by client cut", "abandoned to 2 lost cut")
	if d := s.Deliveries()[0]; d.Topic != "T" || d.Publication != 1 || d.Session.Transport != "tcp" || d.Session.Group != "g" || d.Session.User == "" {
		t.Errorf("got %+v, want topic, publication, transport, group and user", d)
	}
}

func TestDeliveryThatTheServerAcknowledges(t *testing.T) {
	s := eventmeshtest.New(t, eventmeshtest.Options{RecordDeliveries: true, AcknowledgeAfter: 30 * time.Millisecond})
	a := cluster(t, s, "g", "T")
	publisherTCP(t, s).mustPublish("1")
	a.wantEvent("1")
	wantDeliveries(t, s, "1 to 1 acknowledged by server ")
}

func TestDeliveriesOverGRPC(t *testing.T) {
	s := eventmeshtest.New(t, eventmeshtest.Options{RecordDeliveries: true})
	c := dialGRPC(t, s)
	a := c.mustOpen(as("1", subscriptionTo("g", "T")))
	c.mustPublish(publication("T", "1"))
	a.want("1")
	wantDeliveries(t, s, "1 to 1 acknowledged by server ")
	if _, err := c.consumer.Unsubscribe(t.Context(), as("1", subscriptionTo("g", "T"))); err != nil {
		t.Fatal(err)
	}
	wantDeliveries(t, s, "1 to 1 acknowledged by server completed")
	if d := s.Deliveries()[0]; d.Topic != "T" || d.Publication != 1 || d.Session.Transport != "grpc" || d.Session.Group != "g" || d.Session.User == "" {
		t.Errorf("got %+v, want topic, publication, transport, group and user", d)
	}

	other := dialGRPC(t, s)
	ghost := other.mustOpen(as("2", subscriptionTo("g", "U")))
	c.mustPublish(publication("U", "2"))
	ghost.want("2")
	ghost.cancel()
	waitSubscribers(t, s, "U", 0)
	c.mustPublish(publication("U", "3"))
	wantDeliveries(t, s, "1 to 1 acknowledged by server completed", "2 to 2 acknowledged by server gone",
		"3 to 2 lost gone")
}

func TestDeliveriesAreKeptOverARestart(t *testing.T) {
	s := eventmeshtest.New(t, eventmeshtest.Options{RecordDeliveries: true, Storage: eventmeshtest.RocketMQ, AcknowledgeAfter: -1})
	a := cluster(t, s, "g", "T")
	publisherTCP(t, s).mustPublish("1")
	a.wantEvent("1")
	s.MustRestart(t, true)
	b := cluster(t, s, "g", "T")
	b.acknowledge(b.wantEvent("1").Frame)
	wantDeliveries(t, s, "1 to 1 cut", "1 to 2 acknowledged by client ")
	if all := s.Deliveries(); all[0].Publication != all[1].Publication {
		t.Errorf("got publications %d and %d, want one", all[0].Publication, all[1].Publication)
	}
}

func TestDeliveriesToNobody(t *testing.T) {
	s := eventmeshtest.New(t, eventmeshtest.Options{RecordDeliveries: true})
	c := dialTCP(t, s)
	c.ask(frame.HelloRequest, helloBody("sub", "g"), frame.HelloResponse, 0)
	c.ask(frame.SubscribeRequest, topicList("CLUSTERING", "ASYNC", "T"), frame.SubscribeResponse, 0)
	publisherTCP(t, s).mustPublish("before anybody listens")
	wantDeliveries(t, s, "before anybody listens to 0 lost ")
}

func TestDeliveriesAreNotRecordedUnasked(t *testing.T) {
	s := eventmeshtest.New(t, eventmeshtest.Options{})
	a := cluster(t, s, "g", "T")
	publisherTCP(t, s).mustPublish("1")
	a.acknowledge(a.wantEvent("1").Frame)
	if got := s.Deliveries(); len(got) != 0 {
		t.Errorf("got %v, want none", got)
	}
}
