package eventmeshtest_test

import (
	"encoding/json"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/eventing-eventmesh/eventing-eventmesh/pkg/eventmesh/eventmeshtest"
	"github.com/eventing-eventmesh/eventing-eventmesh/pkg/eventmesh/grpc/eventmeshpb"
	"github.com/eventing-eventmesh/eventing-eventmesh/pkg/eventmesh/tcp/frame"
)

func rocketMQ(t *testing.T) *eventmeshtest.Server {
	t.Helper()
	return eventmeshtest.New(t, eventmeshtest.Options{Storage: eventmeshtest.RocketMQ})
}

func TestRocketMQHoldsEventsForAbsentSubscribers(t *testing.T) {
	s := rocketMQ(t)
	c := dialGRPC(t, s)
	c.mustPublish(publication("T", "1"))
	c.mustPublish(publication("T", "2", "protocoldesc", "tcp", "datacontenttype", "application/cloudevents+json"))
	first := c.subscribe("g1", "T")
	first.want("1")
	sub := cluster(t, s, "g2", "T")
	sub.want(frame.AsyncMessageToClient, 1)
	sub.wantEvent("2")
}

func TestRocketMQForgetsWhatIsOlderThanItsRetention(t *testing.T) {
	s := eventmeshtest.New(t, eventmeshtest.Options{Storage: eventmeshtest.RocketMQ, Retention: 2})
	c := dialGRPC(t, s)
	for _, id := range []string{"1", "2", "3"} {
		c.mustPublish(publication("T", id))
	}
	stream := c.subscribe("g", "T")
	stream.want("2")
	stream.want("3")
}

func TestRocketMQDeliversOnlyAfterListen(t *testing.T) {
	s := rocketMQ(t)
	c := dialTCP(t, s)
	c.ask(frame.HelloRequest, helloBody("sub", "g"), frame.HelloResponse, 0)
	c.ask(frame.SubscribeRequest, topicList("CLUSTERING", "ASYNC", "T"), frame.SubscribeResponse, 0)
	publisherTCP(t, s).mustPublish("early")
	c.wantNone()
	c.ask(frame.ListenRequest, "", frame.ListenResponse, 0)
	c.wantEvent("early")
}

func TestUnknownTopicCannotBeSubscribedToOverTCP(t *testing.T) {
	s := eventmeshtest.New(t, eventmeshtest.Options{Storage: eventmeshtest.RocketMQ, UnknownTopics: true})
	c := dialTCP(t, s)
	c.ask(frame.HelloRequest, helloBody("sub", "g"), frame.HelloResponse, 0)
	c.ask(frame.SubscribeRequest, topicList("CLUSTERING", "ASYNC", "T"), frame.SubscribeResponse, 1)
	publisherTCP(t, s).mustPublish("1")
	c.ask(frame.SubscribeRequest, topicList("CLUSTERING", "ASYNC", "T"), frame.SubscribeResponse, 0)
	c.ask(frame.ListenRequest, "", frame.ListenResponse, 0)
	c.wantEvent("1")
}

// TestTopicIsFoundLate: whoever subscribed over gRPC before there was a topic looks for it now and then.
func TestTopicIsFoundLate(t *testing.T) {
	for after, early := range map[time.Duration]bool{time.Millisecond: true, time.Hour: false} {
		s := eventmeshtest.New(t, eventmeshtest.Options{Storage: eventmeshtest.RocketMQ, UnknownTopics: true, DiscoverAfter: after})
		c := dialGRPC(t, s)
		waits := c.subscribe("g", "T")
		c.mustPublish(publication("T", "1"))
		if early {
			waits.want("1")
		} else {
			c.subscribe("g2", "T").want("1") // which comes later, and knows it
			waits.wantNone()
		}
	}
}

// TestUnstorableEventMakesItsTopic: RocketMQ's broker makes the topic before it looks at the properties.
func TestUnstorableEventMakesItsTopic(t *testing.T) {
	s := eventmeshtest.New(t, eventmeshtest.Options{Storage: eventmeshtest.RocketMQ, UnknownTopics: true})
	grpc := dialGRPC(t, s)
	if got := statusOf(grpc.publish(publication("T", "1", "filler", strings.Repeat("x", 1<<15)))); got != "14" {
		t.Errorf("got code %s, want 14", got)
	}
	c := cluster(t, s, "g", "T")
	grpc.mustPublish(publication("T", "2", "filler", strings.Repeat("x", 1<<14), "protocoldesc", "tcp", "datacontenttype", "application/cloudevents+json"))
	c.wantEvent("2")
}

func TestRocketMQAttributes(t *testing.T) {
	s := rocketMQ(t)
	c := dialGRPC(t, s)
	st := c.subscribe("g", "T")
	e := publication("T", "1", "time", "2026-01-02T03:04:05Z")
	e.Attributes["anint"] = integer(3)
	e.Attributes["abool"] = &eventmeshpb.CloudEvent_AttributeValue{Attr: &eventmeshpb.CloudEvent_AttributeValue_CeBoolean{CeBoolean: true}}
	e.Attributes["abytes"] = &eventmeshpb.CloudEvent_AttributeValue{Attr: &eventmeshpb.CloudEvent_AttributeValue_CeBytes{CeBytes: []byte("x")}}
	c.mustPublish(e)
	got := st.want("1").GetAttributes()
	for name, want := range map[string]string{"anint": "3", "abool": "true", "abytes": "eA=="} {
		if got[name].GetCeString() != want {
			t.Errorf("%s: got %v, want the string %q: RocketMQ keeps no types", name, got[name], want)
		}
	}
	if got["time"].GetCeTimestamp() == nil {
		t.Errorf("time: got %v, want a time", got["time"])
	}
	for _, name := range []string{
		"bornhost", "borntimestamp", "cluster", "destination", "messageid", "queueid", "queueoffset", "storehost", "storetime",
		"storetimestamp", "min99offset", "max99offset", "uniq99key", "consume99start99time",
	} {
		if got[name].GetCeString() == "" {
			t.Errorf("got no attribute %s", name)
		}
	}
	blank := publication("T", "2")
	blank.Attributes["blank"] = text(" ")
	noID := publication("T", "")
	noID.Attributes["uniqueid"], noID.Attributes["seqnum"], noID.Data = text("1"), text("1"), textData("x")
	for name, e := range map[string]*eventmeshpb.CloudEvent{
		"blank attribute": blank, "no ID": noID, "topic": publication("a.b", "1"), "long topic": publication(strings.Repeat("a", 128), "1"),
	} {
		if got := statusOf(c.publish(e)); got != "14" {
			t.Errorf("%s: got code %s, want 14", name, got)
		}
	}
}

// What a group of one member gets that was published before, while it was away, and after, as measured on a real server.
const before, away, after = 500, 300, 500

// publishPhase publishes n events of a phase to topic T.
func (c *grpcClient) publishPhase(phase string, n int) {
	c.t.Helper()
	for i := range n {
		c.mustPublish(publication("T", fmt.Sprint(phase, "-", i)))
	}
}

// tally counts how often events came, by their IDs.
type tally map[string]int

// want tells how many of a phase's events have to have come, and how many of them twice.
func (c tally) want(t *testing.T, phase string, want, twice int) {
	t.Helper()
	came, again := 0, 0
	for id, n := range c {
		if strings.HasPrefix(id, phase+"-") {
			came++
			again += n - 1
		}
	}
	if came != want || again != twice {
		t.Errorf("got %d events from %s the absence, and %d of them again, want %d and %d", came, phase, again, want, twice)
	}
}

func (s *rawStream) count(c tally, n int) {
	s.t.Helper()
	for range n {
		c[s.next().event.GetId()]++
	}
}

// leave takes the client out of group g.
func (c *grpcClient) leave() {
	c.t.Helper()
	if a, err := c.consumer.Unsubscribe(c.t.Context(), subscriptionTo("g", "T")); err != nil || statusOf(a) != "0" {
		c.t.Fatalf("unsubscribing: got code %s, error %v", statusOf(a), err)
	}
}

func TestRocketMQGroupIsLeftAndJoinedOverGRPC(t *testing.T) {
	s := rocketMQ(t)
	c := dialGRPC(t, s)
	got := tally{}
	first := c.subscribe("g", "T")
	c.publishPhase("before", before)
	first.count(got, before)
	c.leave()
	first.wantEnd()
	c.publishPhase("during", away)
	second := c.subscribe("g", "T")
	c.publishPhase("after", after)
	second.count(got, away+after)
	second.wantNone()
	got.want(t, "before", before, 0)
	got.want(t, "during", away, 0)
	got.want(t, "after", after, 0)
}

func TestRocketMQHoldsWhatItCouldNotWriteToADeadStream(t *testing.T) {
	s := rocketMQ(t)
	c := dialGRPC(t, s)
	got := tally{}
	first := c.subscribe("g", "T")
	c.publishPhase("before", before)
	first.count(got, before)
	first.die(s, 0)
	c.publishPhase("during", away)
	second := c.subscribe("g", "T") // under the same name
	c.publishPhase("after", after)
	second.count(got, after)
	second.wantNone()
	got.want(t, "during", 0, 0)
	got.want(t, "after", after, 0)

	c.leave()
	second.wantEnd()
	third := c.subscribe("g", "T")
	third.count(got, away+after)
	third.wantNone()
	got.want(t, "before", before, 0)
	got.want(t, "during", away, 0)
	got.want(t, "after", after, after)
}

func TestRocketMQGroupIsLeftForADeadStream(t *testing.T) {
	s := rocketMQ(t)
	c := dialGRPC(t, s)
	got := tally{}
	first := c.subscribe("g", "T")
	c.publishPhase("before", before)
	first.count(got, before)
	first.die(s, 0)
	c.publishPhase("during", away)
	c.leave()
	second := c.subscribe("g", "T")
	c.publishPhase("after", after)
	second.count(got, away+after)
	second.wantNone()
	got.want(t, "before", before, 0)
	got.want(t, "during", away, 0)
	got.want(t, "after", after, 0)
}

func TestRocketMQGroupOfTwoIsLeftForADeadStream(t *testing.T) {
	s := rocketMQ(t)
	c := dialGRPC(t, s)
	dead, other := c.subscribe("g", "T"), c.mustOpen(as("2", subscriptionTo("g", "T")))
	dead.die(s, 1)
	c.publishPhase("during", away)
	c.leave()
	got := 0
	for r := other.next(); r.err == nil; r = other.next() {
		got++
	}
	if got < away/5 || got > 4*away/5 {
		t.Errorf("got %d of %d events, want about half", got, away)
	}
	c.mustOpen(as("2", subscriptionTo("g", "T"))).wantNone() // the group was never empty
}

func TestRocketMQGroupIsLeftAndJoinedOverTCP(t *testing.T) {
	for name, end := range map[string]func(*tcpClient){
		"in order": func(c *tcpClient) {
			c.ask(frame.UnsubscribeRequest, topicList("CLUSTERING", "ASYNC", "T"), frame.UnsubscribeResponse, 0)
		},
		"killed": func(*tcpClient) {},
	} {
		t.Run(name, func(t *testing.T) {
			s := rocketMQ(t)
			got := tally{}
			receive := func(c *tcpClient, n int) {
				t.Helper()
				for range n {
					f := c.next()
					c.acknowledge(f)
					var e struct {
						ID string `json:"id"`
					}
					if err := json.Unmarshal(f.Body, &e); err != nil {
						t.Fatal(err)
					}
					got[e.ID]++
				}
				c.ask(frame.HeartbeatRequest, "", frame.HeartbeatResponse, 0) // the server has read the acknowledgements
			}
			p := publisherTCP(t, s)
			publish := func(phase string, n int) {
				t.Helper()
				for i := range n {
					p.mustPublish(fmt.Sprint(phase, "-", i))
				}
			}
			first := cluster(t, s, "g", "T")
			publish("before", before)
			receive(first, before)
			end(first)
			_ = first.conn.Close()
			waitSubscribers(t, s, "T", 0)
			publish("during", away)
			second := cluster(t, s, "g", "T")
			publish("after", after)
			receive(second, away+after)
			second.wantNone()
			got.want(t, "before", before, 0)
			got.want(t, "during", away, 0)
			got.want(t, "after", after, 0)
		})
	}
}

func TestComingBackToStuckQueues(t *testing.T) {
	s := eventmeshtest.New(t, eventmeshtest.Options{Storage: eventmeshtest.RocketMQ, StuckQueues: true})
	p := publisherTCP(t, s)
	a := cluster(t, s, "g", "T")
	p.mustPublish("unacknowledged")
	a.wantEvent("unacknowledged")
	_ = a.conn.Close()
	waitSubscribers(t, s, "T", 0)
	const n = 7
	for i := range n {
		p.mustPublish(fmt.Sprint(i))
	}
	b := cluster(t, s, "g", "T")
	for range (n + 1) / 2 {
		b.acknowledge(b.next())
	}
	b.ask(frame.HeartbeatRequest, "", frame.HeartbeatResponse, 0) // which comes after every event

	s.MustRestart(t, true)
	c := cluster(t, s, "g", "T")
	for range (n + 1) / 2 {
		c.next()
	}
	c.wantNone()
}

func TestRestartWithoutKeepingEvents(t *testing.T) {
	s := rocketMQ(t)
	dialGRPC(t, s).mustPublish(publication("T", "1"))
	s.MustRestart(t, false)
	dialGRPC(t, s).subscribe("g", "T").wantNone()
}

func TestRocketMQGroupMayGrow(t *testing.T) {
	s := rocketMQ(t)
	c := dialGRPC(t, s)
	c.subscribe("g", "T1")
	st := c.subscribe("g", "T1", "T2")
	c.mustPublish(publication("T1", "1"))
	st.want("1")
	c.mustPublish(publication("T2", "2"))
	st.want("2")
	if _, err := c.consumer.Unsubscribe(t.Context(), subscriptionTo("g", "T2")); err != nil {
		t.Fatal(err)
	}
	st.wantEnd()
}

func TestRequestReplyOverGRPC(t *testing.T) {
	s := rocketMQ(t)
	c := dialGRPC(t, s)
	st := c.subscribe("g", "T")
	type result struct {
		e   *eventmeshpb.CloudEvent
		err error
	}
	answers := make(chan result, 1)
	go func() {
		e, err := c.publisher.RequestReply(t.Context(), publication("T", "1"))
		answers <- result{e, err}
	}()
	request := st.want("1")
	reply := set(request, "submessagetype", "subscription_reply", "consumergroup", "g", "producergroup", "g")
	reply.Data = textData("the reply")
	if err := st.rpc.Send(reply); err != nil {
		t.Fatal(err)
	}
	got := <-answers
	if got.err != nil || got.e.GetTextData() != "the reply" || statusOf(got.e) != "" {
		t.Errorf("got %v, error %v, want the reply without a status code", got.e, got.err)
	}
	if subject := got.e.GetAttributes()["subject"].GetCeString(); subject != "DefaultCluster-rr-reply-topic" {
		t.Errorf("got subject %q, want the reply topic", subject)
	}
	if err := st.rpc.Send(reply); err != nil {
		t.Fatal(err)
	}
	st.wantNone()
}

func TestFailedReplyEndsTheStream(t *testing.T) {
	s := rocketMQ(t)
	c := dialGRPC(t, s)
	tests := map[string]struct {
		reply *eventmeshpb.CloudEvent
		want  string
	}{
		"no client attribute": {publication("T", "1", "env", ""), "6"},
		"no body":             {publication("T", "1", "ttl", ""), "7"},
		"no copy":             {publication("T", "1"), "15"},
		"no protocol":         {publication("T", "1", "protocoltype", ""), "15"},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			st := c.subscribe("g", "T")
			if err := st.rpc.Send(set(test.reply, "submessagetype", "subscription_reply")); err != nil {
				t.Fatal(err)
			}
			if r := st.next(); statusOf(r.event) != test.want {
				t.Errorf("got code %s, want %s", statusOf(r.event), test.want)
			}
			st.wantEnd()
		})
	}
}

func TestRequestWithoutAReply(t *testing.T) {
	s := eventmeshtest.New(t, eventmeshtest.Options{Storage: eventmeshtest.RocketMQ, ReplyTimeout: 50 * time.Millisecond})
	c := dialGRPC(t, s)
	a, err := c.publisher.RequestReply(t.Context(), publication("T", "1"))
	if err != nil || statusOf(a) != "22" {
		t.Errorf("over gRPC: got code %s, error %v, want 22", statusOf(a), err)
	}
	p := publisherTCP(t, s)
	p.send(frame.RequestToServer, "1", structured("T", "1", "1"), protocol("tcp"))
	p.wantNone()
	for name, e := range map[string]*eventmeshpb.CloudEvent{"protocol": publication("T", "1", "protocoltype", ""), "topic": publication("a.b", "1")} {
		if a, err := c.publisher.RequestReply(t.Context(), e); err != nil || statusOf(a) != "22" {
			t.Errorf("%s: got code %s, error %v, want 22", name, statusOf(a), err)
		}
	}
}

func TestRequestReplyOverTCP(t *testing.T) {
	s := rocketMQ(t)
	p := publisherTCP(t, s)
	sub := subscriberTCP(t, s, "g", "CLUSTERING", "SYNC", "T")
	respond := func(desc, data string) {
		t.Helper()
		p.send(frame.RequestToServer, "r", structured("T", "1", `"ask"`), protocol("tcp"))
		request := sub.wantEvent("1")
		if request.Header.Command != frame.RequestToClient {
			t.Fatalf("got %s, want REQUEST_TO_CLIENT", request.Header.Command)
		}
		sub.acknowledge(request.Frame)
		body := strings.Replace(string(request.Body), `"data":"ask"`, fmt.Sprintf(`"data":%q`, data), 1)
		sub.send(frame.ResponseToServer, "1", body, protocol(desc))
	}
	respond("tcp", strings.Repeat("x", 1001)) // of which nobody hears
	respond("tcp", "answer")
	got := p.wantEvent("1")
	if got.Header.Command != frame.ResponseToClient || got.Header.Sequence != "r" || got.fields["data"] != "answer" || got.fields["rspmq2eventmeshtimestamp"] == nil {
		t.Errorf("got %+v, want the answer", got)
	}
	p.send(frame.ResponseToClientAck, "r", "", nil)
	respond("grpc-cloud-event", "answer")
	p.want(frame.ResponseToClient, 1)
	sub.send(frame.ResponseToServer, "2", structured("T", "1", "1"), protocol("tcp"))
	sub.wantNone()
}
