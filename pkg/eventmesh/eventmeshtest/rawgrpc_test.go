package eventmeshtest_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"strings"
	"testing"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials/insecure"

	"github.com/eventing-eventmesh/eventing-eventmesh/internal/await"
	"github.com/eventing-eventmesh/eventing-eventmesh/pkg/eventmesh/eventmeshtest"
	"github.com/eventing-eventmesh/eventing-eventmesh/pkg/eventmesh/grpc/eventmeshpb"
)

// patience is how long a test waits for what must happen; quiet how long for what must not; ample is more than a few frames take.
const (
	patience = await.Patience
	quiet    = 150 * time.Millisecond
	ample    = 3 * time.Second
)

type grpcClient struct {
	t          *testing.T
	publisher  eventmeshpb.PublisherServiceClient
	consumer   eventmeshpb.ConsumerServiceClient
	heartbeats eventmeshpb.HeartbeatServiceClient
}

func dialGRPC(t *testing.T, s *eventmeshtest.Server) *grpcClient {
	t.Helper()
	conn, err := grpc.NewClient(strings.TrimPrefix(s.GRPCURL(), "grpc://"), grpc.WithTransportCredentials(insecure.NewCredentials()))
	if err != nil {
		t.Fatalf("dialing: %v", err)
	}
	t.Cleanup(func() { _ = conn.Close() })
	return &grpcClient{
		t: t, publisher: eventmeshpb.NewPublisherServiceClient(conn),
		consumer: eventmeshpb.NewConsumerServiceClient(conn), heartbeats: eventmeshpb.NewHeartbeatServiceClient(conn),
	}
}

func text(s string) *eventmeshpb.CloudEvent_AttributeValue {
	return &eventmeshpb.CloudEvent_AttributeValue{Attr: &eventmeshpb.CloudEvent_AttributeValue_CeString{CeString: s}}
}

func integer(n int32) *eventmeshpb.CloudEvent_AttributeValue {
	return &eventmeshpb.CloudEvent_AttributeValue{Attr: &eventmeshpb.CloudEvent_AttributeValue_CeInteger{CeInteger: n}}
}

func textData(s string) *eventmeshpb.CloudEvent_TextData {
	return &eventmeshpb.CloudEvent_TextData{TextData: s}
}

func binaryData(s string) *eventmeshpb.CloudEvent_BinaryData {
	return &eventmeshpb.CloudEvent_BinaryData{BinaryData: []byte(s)}
}

// call is a message with what every call needs.
func call(attributes ...string) *eventmeshpb.CloudEvent {
	e := &eventmeshpb.CloudEvent{
		Id: "1", Source: "/test", SpecVersion: "1.0", Type: "test",
		Attributes: map[string]*eventmeshpb.CloudEvent_AttributeValue{},
	}
	set(e, "env", "PRD", "idc", "DEFAULT", "ip", "10.0.0.1", "pid", "1", "sys", "0000", "username", "u", "passwd", "p", "language", "GO")
	return set(e, attributes...)
}

// set sets string attributes; an empty value removes one.
func set(e *eventmeshpb.CloudEvent, attributes ...string) *eventmeshpb.CloudEvent {
	for i := 0; i < len(attributes); i += 2 {
		if attributes[i+1] == "" {
			delete(e.Attributes, attributes[i])
		} else {
			e.Attributes[attributes[i]] = text(attributes[i+1])
		}
	}
	return e
}

// publication is an event as a publisher has to send it, with the ID also as its data.
func publication(topic, id string, attributes ...string) *eventmeshpb.CloudEvent {
	e := call("subject", topic, "producergroup", "pg", "ttl", "4000", "uniqueid", id, "seqnum", id, "protocoltype", "cloudevents",
		"protocolversion", "1.0", "protocoldesc", "grpc-cloud-event", "datacontenttype", "text/plain")
	e.Id = id
	e.Data = textData(id)
	return set(e, attributes...)
}

func statusOf(e *eventmeshpb.CloudEvent) string { return e.GetAttributes()["statuscode"].GetCeString() }

func (c *grpcClient) publish(e *eventmeshpb.CloudEvent) *eventmeshpb.CloudEvent {
	c.t.Helper()
	ctx, cancel := context.WithTimeout(c.t.Context(), patience)
	defer cancel()
	answer, err := c.publisher.Publish(ctx, e)
	if err != nil {
		c.t.Fatalf("publishing: %v", err)
	}
	return answer
}

func (c *grpcClient) mustPublish(e *eventmeshpb.CloudEvent) {
	c.t.Helper()
	if a := c.publish(e); statusOf(a) != "0" {
		c.t.Fatalf("publishing: got code %s (%s), want 0", statusOf(a), a.GetAttributes()["responsemessage"].GetCeString())
	}
}

// subscriptionTo is a clustering, asynchronous subscription.
func subscriptionTo(group string, topics ...string) *eventmeshpb.CloudEvent {
	items := make([]string, len(topics))
	for i, topic := range topics {
		items[i] = fmt.Sprintf(`{"topic":%q,"mode":"CLUSTERING","type":"ASYNC"}`, topic)
	}
	e := call("consumergroup", group, "datacontenttype", "application/json")
	e.Data = textData("[" + strings.Join(items, ",") + "]")
	return e
}

type received struct {
	event *eventmeshpb.CloudEvent
	err   error
}

// rawStream is a subscriber's stream.
type rawStream struct {
	t      *testing.T
	rpc    eventmeshpb.ConsumerService_SubscribeStreamClient
	cancel context.CancelFunc
	events chan received
	first  *eventmeshpb.CloudEvent
}

// open sends a subscription and waits for the first message.
func (c *grpcClient) open(subscription *eventmeshpb.CloudEvent) *rawStream {
	c.t.Helper()
	ctx, cancel := context.WithCancel(context.Background())
	rpc, err := c.consumer.SubscribeStream(ctx)
	if err != nil {
		c.t.Fatalf("opening a stream: %v", err)
	}
	s := &rawStream{t: c.t, rpc: rpc, cancel: cancel, events: make(chan received, 10_000)}
	done := make(chan struct{})
	go func() {
		defer close(done)
		for {
			e, err := rpc.Recv()
			s.events <- received{e, err}
			if err != nil {
				return
			}
		}
	}()
	c.t.Cleanup(func() { cancel(); <-done })
	if err := rpc.Send(subscription); err != nil {
		c.t.Fatalf("subscribing: %v", err)
	}
	r := s.next()
	if r.err != nil {
		c.t.Fatalf("subscribing: %v", r.err)
	}
	s.first = r.event
	return s
}

func (c *grpcClient) subscribe(group string, topics ...string) *rawStream {
	c.t.Helper()
	return c.mustOpen(subscriptionTo(group, topics...))
}

func (c *grpcClient) mustOpen(subscription *eventmeshpb.CloudEvent) *rawStream {
	c.t.Helper()
	s := c.open(subscription)
	if statusOf(s.first) != "0" {
		c.t.Fatalf("subscribing: got code %s, want 0", statusOf(s.first))
	}
	return s
}

func (s *rawStream) next() received {
	s.t.Helper()
	select {
	case r := <-s.events:
		return r
	case <-time.After(patience):
		s.t.Fatal("waiting for an event: timeout")
		return received{}
	}
}

// want waits for an event with this ID.
func (s *rawStream) want(id string) *eventmeshpb.CloudEvent {
	s.t.Helper()
	r := s.next()
	if r.err != nil || r.event.GetId() != id {
		s.t.Fatalf("got event %q, error %v, want event %q", r.event.GetId(), r.err, id)
	}
	return r.event
}

// wantEnd waits until the server ends the stream.
func (s *rawStream) wantEnd() {
	s.t.Helper()
	for {
		if r := s.next(); r.err != nil {
			if !errors.Is(r.err, io.EOF) {
				s.t.Fatalf("got %v, want EOF", r.err)
			}
			return
		}
	}
}

func (s *rawStream) wantNone() {
	s.t.Helper()
	select {
	case r := <-s.events:
		s.t.Fatalf("got event %q, error %v, want none", r.event.GetId(), r.err)
	case <-time.After(quiet):
	}
}

// die cuts the stream of topic T as a client does that is gone, and waits until the server knows.
func (s *rawStream) die(server *eventmeshtest.Server, left int) {
	s.t.Helper()
	s.cancel()
	waitSubscribers(s.t, server, "T", left)
}

func waitSubscribers(t *testing.T, s *eventmeshtest.Server, topic string, want int) {
	t.Helper()
	eventually(t, func() (string, bool) {
		got := s.Subscribers(topic)
		return fmt.Sprintf("topic %s has %d subscribers, want %d", topic, got, want), got == want
	})
}

// eventually polls a condition, for states of the server that nothing announces.
func eventually(t *testing.T, condition func() (string, bool)) {
	t.Helper()
	ticker := time.NewTicker(time.Millisecond)
	defer ticker.Stop()
	deadline := time.After(patience)
	for {
		state, ok := condition()
		if ok {
			return
		}
		select {
		case <-ticker.C:
		case <-deadline:
			t.Fatal(state)
		}
	}
}

func heartbeat(group, topic string, attributes ...string) *eventmeshpb.CloudEvent {
	e := call("consumergroup", group, "datacontenttype", "application/json")
	e.Attributes["clienttype"] = integer(2)
	e.Data = textData(fmt.Sprintf(`[{"topic":%q,"url":""}]`, topic))
	return set(e, attributes...)
}
