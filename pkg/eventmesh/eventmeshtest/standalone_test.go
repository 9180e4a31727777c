package eventmeshtest_test

import (
	"strings"
	"testing"

	"github.com/eventing-eventmesh/eventing-eventmesh/pkg/eventmesh/eventmeshtest"
	"github.com/eventing-eventmesh/eventing-eventmesh/pkg/eventmesh/tcp/frame"
)

func TestTopicDiesWithItsLastSubscriber(t *testing.T) {
	leave := map[string]func(t *testing.T, s *eventmeshtest.Server){
		"unsubscribed over gRPC": func(t *testing.T, s *eventmeshtest.Server) {
			t.Helper()
			c := dialGRPC(t, s)
			c.subscribe("g", "T")
			if _, err := c.consumer.Unsubscribe(t.Context(), subscriptionTo("g", "T")); err != nil {
				t.Fatal(err)
			}
		},
		"unsubscribed over TCP": func(t *testing.T, s *eventmeshtest.Server) {
			t.Helper()
			cluster(t, s, "g", "T").ask(frame.UnsubscribeRequest, "", frame.UnsubscribeResponse, 0)
		},
		"closed over TCP": func(t *testing.T, s *eventmeshtest.Server) {
			t.Helper()
			_ = cluster(t, s, "g", "T").conn.Close()
			waitSubscribers(t, s, "T", 0)
		},
	}
	for name, leave := range leave {
		t.Run(name, func(t *testing.T) {
			s := eventmeshtest.New(t, eventmeshtest.Options{})
			leave(t, s)
			refused := func() {
				t.Helper()
				if got := statusOf(dialGRPC(t, s).publish(publication("T", "1"))); got != "14" {
					t.Errorf("publishing over gRPC: got code %s, want 14", got)
				}
				if f := publisherTCP(t, s).publish(structured("T", "1", "1"), protocol("tcp")); f.Header.Code != 1 {
					t.Errorf("publishing over TCP: got code %d, want 1", f.Header.Code)
				}
			}
			refused()
			dialGRPC(t, s).subscribe("g", "T")
			cluster(t, s, "g", "T")
			refused()
			s.MustRestart(t, true)
			c := dialGRPC(t, s)
			st := c.subscribe("g", "T")
			c.mustPublish(publication("T", "2"))
			st.want("2")
		})
	}
}

func TestRefusalOfATopicWithoutSubscriberNamesIt(t *testing.T) {
	s := eventmeshtest.New(t, eventmeshtest.Options{})
	const want = "org.apache.eventmesh.api.exception.StorageRuntimeException: Send message error, topic: nobody"
	a := dialGRPC(t, s).publish(publication("nobody", "1"))
	if got := a.GetAttributes()["responsemessage"].GetCeString(); !strings.Contains(got, want+"\n") {
		t.Errorf("over gRPC: got %q, want it to contain %q", got, want)
	}
	f := publisherTCP(t, s).publish(structured("nobody", "1", "1"), protocol("tcp"))
	if !strings.HasSuffix(f.Header.Desc, want) {
		t.Errorf("over TCP: got %q, want it to end in %q", f.Header.Desc, want)
	}
}

func TestSecondGroupGetsNothing(t *testing.T) {
	s := eventmeshtest.New(t, eventmeshtest.Options{})
	c := dialGRPC(t, s)
	first, second := c.subscribe("g1", "T"), c.subscribe("g2", "T")
	overTCP := cluster(t, s, "g1", "T")
	c.mustPublish(publication("T", "1"))
	first.want("1")
	second.wantNone()
	overTCP.wantNone()
}

func TestAddingATopicKillsTheFirstOfAGRPCGroup(t *testing.T) {
	s := eventmeshtest.New(t, eventmeshtest.Options{})
	c := dialGRPC(t, s)
	c.subscribe("g", "T1")
	second := c.subscribe("g", "T2")
	if got := statusOf(c.publish(publication("T1", "1"))); got != "14" {
		t.Errorf("first topic: got code %s, want 14", got)
	}
	c.mustPublish(publication("T2", "2"))
	second.want("2")
}

func TestRequestsAreRefusedOnStandalone(t *testing.T) {
	s := eventmeshtest.New(t, eventmeshtest.Options{})
	c := dialGRPC(t, s)
	st := c.subscribe("g", "T")
	a, err := c.publisher.RequestReply(t.Context(), publication("T", "1"))
	if err != nil || statusOf(a) != "22" {
		t.Errorf("over gRPC: got code %s, error %v, want 22", statusOf(a), err)
	}
	p := publisherTCP(t, s)
	p.send(frame.RequestToServer, "1", structured("T", "1", "1"), protocol("tcp"))
	p.want(frame.ResponseToClient, 1)
	reply := publication("T", "1", "submessagetype", "subscription_reply")
	if err := st.rpc.Send(reply); err != nil {
		t.Fatal(err)
	}
	if r := st.next(); statusOf(r.event) != "15" {
		t.Errorf("reply: got code %s, want 15", statusOf(r.event))
	}
	st.wantEnd()
}
