package next_test

import (
	"context"
	"fmt"
	"net"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/credentials/insecure"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/types/known/timestamppb"

	"github.com/eventing-eventmesh/eventing-eventmesh/internal/await"
	"github.com/eventing-eventmesh/eventing-eventmesh/pkg/eventmesh/eventmeshtest"
	"github.com/eventing-eventmesh/eventing-eventmesh/pkg/eventmesh/eventmeshtest/next"
	pb "github.com/eventing-eventmesh/eventing-eventmesh/pkg/eventmesh/grpc/eventmeshpb"
)

// old is a client of 1.x.
type old struct {
	m          *mesh
	publisher  pb.PublisherServiceClient
	consumer   pb.ConsumerServiceClient
	heartbeats pb.HeartbeatServiceClient
}

// playGRPC plays with a bridge.
func playGRPC(t *testing.T, test func(*mesh)) {
	t.Helper()
	play(t, next.Options{GRPCAddress: "127.0.0.1:0"}, test)
}

func (m *mesh) dial() *old {
	m.t.Helper()
	conn, err := grpc.NewClient("passthrough:///"+strings.TrimPrefix(m.s.GRPCURL(), "grpc://"),
		grpc.WithTransportCredentials(insecure.NewCredentials()),
		grpc.WithContextDialer(func(ctx context.Context, address string) (net.Conn, error) {
			return m.pipe.DialContext(ctx, "tcp", address)
		}))
	if err != nil {
		m.t.Fatal(err)
	}
	m.t.Cleanup(func() { _ = conn.Close() })
	return &old{m, pb.NewPublisherServiceClient(conn), pb.NewConsumerServiceClient(conn), pb.NewHeartbeatServiceClient(conn)}
}

func text(s string) *pb.CloudEvent_AttributeValue {
	return &pb.CloudEvent_AttributeValue{Attr: &pb.CloudEvent_AttributeValue_CeString{CeString: s}}
}

// message is one with string attributes.
func message(id string, attributes ...string) *pb.CloudEvent {
	e := &pb.CloudEvent{Id: id, Source: "/s", SpecVersion: "1.0", Type: "t", Attributes: map[string]*pb.CloudEvent_AttributeValue{}}
	for i := 0; i < len(attributes); i += 2 {
		e.Attributes[attributes[i]] = text(attributes[i+1])
	}
	return e
}

func (c *old) wantCode(answer *pb.CloudEvent, err error, want string) {
	c.m.t.Helper()
	if got := answer.GetAttributes()["statuscode"].GetCeString(); err != nil || got != want {
		c.m.t.Errorf("got code %q, %v, want %q", got, err, want)
	}
}

func (c *old) publish(e *pb.CloudEvent, want string) {
	c.m.t.Helper()
	answer, err := c.publisher.Publish(c.m.t.Context(), e)
	c.wantCode(answer, err, want)
}

// group is a subscription of a group's member.
func group(name, topic, mode string) *pb.CloudEvent {
	e := message("1", "consumergroup", name, "env", "PRD", "idc", "DEFAULT", "username", "u")
	e.Data = &pb.CloudEvent_TextData{TextData: fmt.Sprintf(`[{"topic":%q,"mode":%q,"type":"ASYNC"}]`, topic, mode)}
	return e
}

// stream is one with the events that have come by it.
type stream struct {
	t      *testing.T
	send   func(*pb.CloudEvent) error
	events chan *pb.CloudEvent
	err    chan error
	end    context.CancelFunc
}

func (c *old) subscribe(subscription *pb.CloudEvent) *stream {
	c.m.t.Helper()
	ctx, cancel := context.WithCancel(c.m.t.Context())
	c.m.t.Cleanup(cancel)
	st, err := c.consumer.SubscribeStream(ctx)
	if err != nil {
		c.m.t.Fatal(err)
	}
	if err := st.Send(subscription); err != nil {
		c.m.t.Fatal(err)
	}
	s := &stream{c.m.t, st.Send, make(chan *pb.CloudEvent, 100), make(chan error, 1), cancel}
	go func() {
		for {
			e, err := st.Recv()
			if err != nil {
				s.err <- err
				return
			}
			s.events <- e
		}
	}()
	synctest.Wait()
	return s
}

// joined subscribes, and takes the confirmation.
func (c *old) joined(subscription *pb.CloudEvent) *stream {
	c.m.t.Helper()
	s := c.subscribe(subscription)
	select {
	case answer := <-s.events:
		c.wantCode(answer, nil, "0")
	default:
		c.m.t.Fatal("the subscription is not confirmed")
	}
	return s
}

// one returns the next event, which has to be there.
func (s *stream) one() *pb.CloudEvent {
	s.t.Helper()
	synctest.Wait()
	select {
	case e := <-s.events:
		return e
	default:
		s.t.Fatal("no event has come")
		return nil
	}
}

// came returns the ids of the events that have come.
func (s *stream) came() string {
	synctest.Wait()
	var ids []string
	for len(s.events) > 0 {
		e := <-s.events
		ids = append(ids, e.GetId())
	}
	return strings.Join(ids, " ")
}

func TestBridgeDelivers(t *testing.T) {
	playGRPC(t, func(m *mesh) {
		c := m.dial()
		st := c.joined(group("g", "T", "CLUSTERING"))
		e := message("1", "subject", "T", "datacontenttype", "application/json", "ip", "10.0.0.1")
		e.Attributes["number"] = &pb.CloudEvent_AttributeValue{Attr: &pb.CloudEvent_AttributeValue_CeInteger{CeInteger: 5}}
		e.Attributes["flag"] = &pb.CloudEvent_AttributeValue{Attr: &pb.CloudEvent_AttributeValue_CeBoolean{CeBoolean: true}}
		for name, t := range map[string]*timestamppb.Timestamp{
			"time": {Seconds: 60}, "second": {Seconds: 1}, "milli": {Nanos: 120e6}, "micro": {Nanos: 120e3}, "nano": {Nanos: 120},
		} {
			e.Attributes[name] = &pb.CloudEvent_AttributeValue{Attr: &pb.CloudEvent_AttributeValue_CeTimestamp{CeTimestamp: t}}
		}
		e.Attributes["bytes"] = &pb.CloudEvent_AttributeValue{Attr: &pb.CloudEvent_AttributeValue_CeBytes{CeBytes: []byte("b")}}
		e.Attributes["dataschema"] = &pb.CloudEvent_AttributeValue{Attr: &pb.CloudEvent_AttributeValue_CeUri{CeUri: "urn:a"}}
		e.Attributes["ref"] = &pb.CloudEvent_AttributeValue{Attr: &pb.CloudEvent_AttributeValue_CeUriRef{CeUriRef: "/r"}}
		e.Attributes["nothing"] = &pb.CloudEvent_AttributeValue{}
		e.Data = &pb.CloudEvent_BinaryData{BinaryData: []byte("{\"a\": 1.50}\xff")}
		c.publish(e, "0")
		pass(pumped)
		got := st.one()
		for name, want := range map[string]string{
			"id": "1", "source": "/s", "type": "t", "specversion": "1.0", "subject": "T", "datacontenttype": "application/json", "ip": "10.0.0.1",
			"number": "5", "flag": "true", "time": "1970-01-01T00:01Z", "micro": "1970-01-01T00:00:00.000120Z",
			"milli": "1970-01-01T00:00:00.120Z", "nano": "1970-01-01T00:00:00.000000120Z", "second": "1970-01-01T00:00:01Z",
			"bytes": "b", "dataschema": "urn:a", "ref": "/r",
		} {
			if a := got.GetAttributes()[name].GetCeString(); a != want {
				t.Errorf("attribute %s is %q, want %q", name, a, want)
			}
		}
		if n := len(got.GetAttributes()); n != 18 || !strings.HasPrefix(got.GetAttributes()["emdeliveryid"].GetCeString(), "d-") {
			t.Errorf("got %d attributes, and delivery %v", n, got.GetAttributes()["emdeliveryid"])
		}
		if got.GetTextData() != "{\"a\": 1.50}\ufffd" || got.GetId() != "1" || got.GetSpecVersion() != "1.0" {
			t.Errorf("got %v, want its data as text", got)
		}
		c.publish(message("2", "subject", "T"), "0")
		pass(pumped)
		if got := st.one(); got.GetData() != nil {
			t.Errorf("got data %v, want none", got.GetData())
		}
	})
}

func TestBridgeAnswers(t *testing.T) {
	playGRPC(t, func(m *mesh) {
		c := m.dial()
		noURI := message("1", "subject", "T")
		noURI.Source = "a b"
		c.publish(message("1"), "7")
		c.publish(message("1", "subject", "T", "a-b", "x"), "16")
		c.publish(noURI, "16")
		for _, b := range []struct {
			want   string
			events []*pb.CloudEvent
		}{
			{"7", nil},
			{"7", []*pb.CloudEvent{message("1")}},
			{"16", []*pb.CloudEvent{message("1", "subject", "T"), noURI}},
			{"0", []*pb.CloudEvent{message("1", "subject", "batch"), message("2", "subject", "other")}},
		} {
			answer, err := c.publisher.BatchPublish(m.t.Context(), &pb.CloudEventBatch{Events: b.events})
			c.wantCode(answer, err, b.want)
		}
		if got := m.s.Published("batch"); len(got) != 2 || got[1].GetAttributes()["subject"].GetCeString() != "other" {
			t.Errorf("got %v, want both in the topic of the first", got)
		}
		if _, err := c.publisher.BatchPublishOneWay(m.t.Context(), &pb.CloudEventBatch{}); err != nil {
			t.Error(err)
		}
		if _, err := c.publisher.PublishOneWay(m.t.Context(), message("1", "subject", "T")); err != nil || len(m.s.Published("T")) != 1 {
			t.Errorf("publishing one way: %v", err)
		}
		if _, err := c.publisher.PublishOneWay(m.t.Context(), message("1")); status.Code(err) != codes.Unknown {
			t.Errorf("publishing one way without a topic: %v", err)
		}
		answer, err := c.consumer.Subscribe(m.t.Context(), group("g", "T", "CLUSTERING"))
		c.wantCode(answer, err, "17")
		broken := group("g", "T", "CLUSTERING")
		broken.Data = &pb.CloudEvent_TextData{TextData: "{"}
		answer, err = c.consumer.Unsubscribe(m.t.Context(), broken)
		c.wantCode(answer, err, "18")
		if err := <-c.subscribe(broken).err; status.Code(err) != codes.Unknown {
			t.Errorf("subscribing to nothing that can be read: %v", err)
		}
	})
}

func TestBridgeFaults(t *testing.T) {
	playGRPC(t, func(m *mesh) {
		c := m.dial()
		m.s.SetFaults(next.Faults{Refuse: 503, Delay: time.Second})
		c.publish(message("1", "subject", "T"), "14")
		answer, err := c.publisher.BatchPublish(m.t.Context(), &pb.CloudEventBatch{Events: []*pb.CloudEvent{message("1", "subject", "T")}})
		c.wantCode(answer, err, "10")
		m.s.SetFaults(next.Faults{LoseAnswers: 1})
		ctx, cancel := context.WithTimeout(m.t.Context(), time.Minute)
		defer cancel()
		if _, err := c.publisher.Publish(ctx, message("1", "subject", "T")); status.Code(err) != codes.DeadlineExceeded || len(m.s.Published("T")) != 1 {
			t.Errorf("got %v, want no answer to what is stored", err)
		}
		m.s.SetFaults(next.Faults{RefuseSubscribe: true})
		if err := <-c.subscribe(group("g", "T", "CLUSTERING")).err; status.Code(err) != codes.Unknown {
			t.Errorf("got %v, want it refused", err)
		}
		m.s.SetFaults(next.Faults{StallSubscribe: true, StallUnsubscribe: true})
		if got := c.subscribe(group("g", "T", "CLUSTERING")).came(); got != "" {
			t.Errorf("got %s, want nothing", got)
		}
		if _, err := c.consumer.Unsubscribe(ctx, group("g", "T", "CLUSTERING")); err == nil {
			t.Error("the end of a subscription is answered")
		}
	})
}

// TestBridgeSharesBetweenGroups shows what becomes of groups: of one the latest stream counts, and several share a topic.
func TestBridgeSharesBetweenGroups(t *testing.T) {
	playGRPC(t, func(m *mesh) {
		c := m.dial()
		first := c.joined(group("g", "T", "CLUSTERING"))
		latest := c.joined(group("g", "T", "CLUSTERING"))
		other := c.joined(group("other", "T", "CLUSTERING"))
		all := c.joined(group("all", "U", "BROADCASTING"))
		also := c.joined(group("also", "U", "BROADCASTING"))
		m.publish("T", "1", "2", "3")
		m.publish("U", "4")
		pass(pumped)
		if a, b, c := first.came(), latest.came(), other.came(); a != "" || len(strings.Fields(b)) != 2 || len(strings.Fields(c)) != 1 {
			t.Errorf("got %q, %q and %q, want none, two and one", a, b, c)
		}
		if a, b := all.came(), also.came(); a != "4" || b != "4" {
			t.Errorf("got %q and %q, want copies", a, b)
		}
	})
}

func TestBridgeKnowsNoAcknowledgement(t *testing.T) {
	playGRPC(t, func(m *mesh) {
		c := m.dial()
		st := c.joined(group("g", "T", "CLUSTERING"))
		m.publish("T", "1")
		for range 5 {
			pass(31 * time.Second)
			answer, err := c.heartbeats.Heartbeat(m.t.Context(), group("g", "T", ""))
			c.wantCode(answer, err, "0")
			e := st.one()
			if err := st.send(message("1", "emdeliveryid", e.GetAttributes()["emdeliveryid"].GetCeString())); err != nil {
				t.Fatal(err)
			}
		}
		pass(40 * time.Second)
		if got := m.s.Published("T_DLQ"); len(got) != 1 {
			t.Errorf("%d dead letters, want the event", len(got))
		}
		var want []eventmeshtest.Delivery
		for i := range 6 {
			want = append(want, eventmeshtest.Delivery{
				Topic: "T", ID: "1", Publication: 1, Redelivered: i > 0,
				Session: eventmeshtest.Session{Number: 1, Transport: "grpc", User: "u", Group: "g-PRD-DEFAULT"},
			})
		}
		if got := m.s.Deliveries(); fmt.Sprint(got) != fmt.Sprint(want) {
			t.Errorf("got  %+v\nwant %+v", got, want)
		}
	})
}

func TestBridgeStarvesItsClients(t *testing.T) {
	playGRPC(t, func(m *mesh) {
		c := m.dial()
		answer, err := c.heartbeats.Heartbeat(m.t.Context(), group("g", "T", ""))
		c.wantCode(answer, err, "30")
		st := c.joined(group("g", "T", "CLUSTERING"))
		pass(61 * time.Second)
		m.publish("T", "1")
		for range 10 {
			pass(20 * time.Second)
			answer, err := c.heartbeats.Heartbeat(m.t.Context(), group("g", "T", ""))
			c.wantCode(answer, err, "0")
		}
		if got := st.came(); got != "" {
			t.Errorf("got %s, want nothing", got)
		}
		if len(st.err) > 0 {
			t.Errorf("the stream has ended: %v", <-st.err)
		}
		pass(2 * time.Minute) // without heartbeats
		answer, err = c.heartbeats.Heartbeat(m.t.Context(), group("g", "T", ""))
		c.wantCode(answer, err, "30")
	})
}

// TestBridgeShutsTheLatestStream when an earlier one of the same client ends.
func TestBridgeShutsTheLatestStream(t *testing.T) {
	playGRPC(t, func(m *mesh) {
		c := m.dial()
		first := c.joined(group("g", "T", "CLUSTERING"))
		m.publish("T", "1")
		pass(pumped)
		latest := c.joined(group("g", "T", "CLUSTERING"))
		first.end()
		synctest.Wait()
		m.publish("T", "2")
		pass(20 * time.Second)
		if got := latest.came(); got != "" {
			t.Errorf("got %s, want nothing", got)
		}
		third := c.joined(group("g", "T", "CLUSTERING"))
		m.publish("T", "3")
		pass(pumped)
		if got := third.came(); got != "3" {
			t.Errorf("got %s, want only what came later", got)
		}
		answer, err := c.consumer.Unsubscribe(m.t.Context(), group("g", "T", "CLUSTERING"))
		c.wantCode(answer, err, "0")
		m.publish("T", "4")
		pass(pumped)
		if got := third.came(); got != "" || len(third.err) > 0 {
			t.Errorf("got %s, want a stream without events", got)
		}
		if d := m.s.Deliveries()[0]; d.Session.End != eventmeshtest.Gone {
			t.Errorf("got end %q, want gone", d.Session.End)
		}
		m.s.DropConnections()
		synctest.Wait()
		if d := m.s.Deliveries()[1]; d.Session.End != eventmeshtest.Cut {
			t.Errorf("got end %q, want cut", d.Session.End)
		}
	})
}

// TestBridgePoisons shows events that are accepted, and end polls or streams.
func TestBridgePoisons(t *testing.T) {
	playGRPC(t, func(m *mesh) {
		c := m.dial()
		m.subscribe("c", "T", "LOAD_BALANCE")
		plain := message("1", "subject", "T")
		plain.Data = &pb.CloudEvent_TextData{TextData: "text"}
		c.publish(plain, "0")
		pass(pumped)
		m.want("GET", "/events/poll?clientId=c", "", closed)
		st := c.joined(group("g", "U", "CLUSTERING"))
		c.publish(message("1", "subject", "U", "time", "now"), "0")
		c.publish(message("2", "subject", "U"), "0")
		pass(pumped)
		if got := st.came(); got != "" {
			t.Errorf("got %s, want a shut stream", got)
		}
	})
}

func TestBridgeRequests(t *testing.T) {
	playGRPC(t, func(m *mesh) {
		c := m.dial()
		st := c.joined(group("g", "T", "CLUSTERING"))
		answers := make(chan *pb.CloudEvent, 1)
		go func() {
			answer, err := c.publisher.RequestReply(m.t.Context(), message("1", "subject", "T", "ttl", "4000"))
			if err != nil {
				t.Error(err)
			}
			answers <- answer
		}()
		pass(pumped)
		request := st.one()
		if err := st.send(message("reply", "subject", "T", "emcorrelationid", request.GetAttributes()["emcorrelationid"].GetCeString())); err != nil {
			t.Fatal(err)
		}
		if got := <-answers; got.GetId() != "reply" || got.GetAttributes()["id"].GetCeString() != "reply" {
			t.Errorf("got %v, want the reply", got)
		}
		for ttl, want := range map[string]time.Duration{"4000": 4 * time.Second, "soon": 10 * time.Second} {
			began := time.Now()
			answer, err := c.publisher.RequestReply(m.t.Context(), message("1", "subject", "T", "ttl", ttl))
			c.wantCode(answer, err, "22")
			if took := time.Since(began); took != want {
				t.Errorf("with ttl %s: took %s, want %s", ttl, took, want)
			}
		}
		answer, err := c.publisher.RequestReply(m.t.Context(), message("1"))
		c.wantCode(answer, err, "7")
	})
}

func TestBridgeRestarts(t *testing.T) {
	s := next.New(t, next.Options{GRPCAddress: "127.0.0.1:0"})
	url := s.GRPCURL()
	conn, err := grpc.NewClient(strings.TrimPrefix(url, "grpc://"), grpc.WithTransportCredentials(insecure.NewCredentials()))
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	publisher := pb.NewPublisherServiceClient(conn)
	for range 2 {
		await.Until(t, await.Patience, func() string {
			answer, err := publisher.Publish(t.Context(), message("1", "subject", "T"), grpc.WaitForReady(true))
			if code := answer.GetAttributes()["statuscode"].GetCeString(); err != nil || code != "0" {
				return fmt.Sprintf("publishing: code %s, %v", code, err)
			}
			return ""
		})
		s.MustRestart(t, true)
	}
	if got := s.GRPCURL(); got != url {
		t.Errorf("got %s, want %s", got, url)
	}
	if _, err := next.Start(next.Options{GRPCAddress: strings.TrimPrefix(url, "grpc://")}); err == nil {
		t.Error("a second server serves at the same address")
	}
	if got := next.New(t, next.Options{}).GRPCURL(); got != "" {
		t.Errorf("got %s, want no bridge", got)
	}
}
