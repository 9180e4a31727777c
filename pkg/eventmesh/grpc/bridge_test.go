package grpc

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"
	"testing"
	"unicode/utf8"

	"github.com/cloudevents/sdk-go/v2/event"
	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials/insecure"

	"github.com/eventing-eventmesh/eventing-eventmesh/internal/await"
	"github.com/eventing-eventmesh/eventing-eventmesh/pkg/eventmesh"
	"github.com/eventing-eventmesh/eventing-eventmesh/pkg/eventmesh/eventmeshtest/contract"
	"github.com/eventing-eventmesh/eventing-eventmesh/pkg/eventmesh/eventmeshtest/next"
	pb "github.com/eventing-eventmesh/eventing-eventmesh/pkg/eventmesh/grpc/eventmeshpb"
	"github.com/eventing-eventmesh/eventing-eventmesh/pkg/eventmesh/http"
	"github.com/eventing-eventmesh/eventing-eventmesh/pkg/eventmesh/internal/wire"
)

// bridge is an EventMesh with HTTP and the bridge.
type bridge struct {
	*testing.T
	grpc, http eventmesh.Address
	server     *next.Server
}

func newBridge(t *testing.T) *bridge {
	t.Helper()
	s := next.New(t, next.Options{GRPCAddress: "127.0.0.1:0", Logf: t.Logf})
	address := func(url string) eventmesh.Address {
		scheme, host, _ := strings.Cut(url, "://")
		return eventmesh.Address{Scheme: scheme, Host: host}
	}
	return &bridge{t, address(s.GRPCURL()), address(s.URL()), s}
}

func (b *bridge) config(a eventmesh.Address) eventmesh.Config {
	return eventmesh.Config{Addresses: []eventmesh.Address{a}, ClientID: "billing-1", Group: "billing"}
}

func (b *bridge) ready(what string, ready func() error) {
	b.Helper()
	await.Until(b.T, await.Patience, func() string {
		if err := ready(); err != nil {
			return fmt.Sprintf("%s: %v", what, err)
		}
		return ""
	})
}

func (b *bridge) publisher() *eventmesh.Publisher {
	b.Helper()
	p, err := eventmesh.NewPublisher(b.config(b.grpc), Transport{})
	if err != nil {
		b.Fatal(err)
	}
	b.Cleanup(func() { _ = p.Close() })
	b.ready("publisher", p.Ready)
	return p
}

// subscribe hands all that comes to a topic over HTTP to a function.
func (b *bridge) subscribe(topic string, each func(context.Context, *eventmesh.Delivery)) {
	b.Helper()
	s, err := eventmesh.NewSubscriber(b.config(b.http), eventmesh.Subscription{Topics: []string{topic}}, http.Transport{})
	if err != nil {
		b.Fatal(err)
	}
	var receiving sync.WaitGroup
	b.Cleanup(func() {
		_ = s.Close()
		receiving.Wait()
	})
	b.ready("subscriber", s.Ready)
	ctx := context.WithoutCancel(b.Context())
	receiving.Go(func() {
		for {
			d, err := s.Receive(ctx)
			if err != nil {
				return
			}
			each(ctx, d)
			_ = d.Ack(ctx)
		}
	})
}

// stream is a subscription by gRPC that takes no look at whose answers it gets.
func (b *bridge) stream(topic string) grpc.BidiStreamingClient[pb.CloudEvent, pb.CloudEvent] {
	b.Helper()
	conn, err := grpc.NewClient(b.grpc.Host, grpc.WithTransportCredentials(insecure.NewCredentials()))
	if err != nil {
		b.Fatal(err)
	}
	b.Cleanup(func() { _ = conn.Close() })
	stream, err := pb.NewConsumerServiceClient(conn).SubscribeStream(b.Context(), grpc.ForceCodecV2(newDeliveries()))
	if err != nil {
		b.Fatal(err)
	}
	subscription := control(attributes{"consumergroup": text("g")}, fmt.Sprintf(`[{"topic":%q,"mode":"CLUSTERING","type":"ASYNC"}]`, topic), nil)
	if err := stream.Send(subscription); err != nil {
		b.Fatal(err)
	}
	if _, err := stream.Recv(); err != nil {
		b.Fatal(err)
	}
	return stream
}

// named are the events of the contract with ids of their own.
func named() map[string]event.Event {
	all := map[string]event.Event{}
	for _, c := range contract.Events() {
		e := c.Event.Clone()
		e.SetID(fmt.Sprint(len(all), e.ID()))
		all[e.ID()] = e
	}
	return all
}

// TestEventsComeThroughTheBridge as they were, to subscribers over HTTP.
func TestEventsComeThroughTheBridge(t *testing.T) {
	b, events := newBridge(t), named()
	came := make(chan *eventmesh.Delivery)
	b.subscribe("orders", func(_ context.Context, d *eventmesh.Delivery) { came <- d })
	p := b.publisher()
	for id, e := range events {
		if err := p.Publish(t.Context(), "orders", e); err != nil {
			t.Errorf("%s: %v", id, err)
			delete(events, id)
		}
	}
	for range len(events) {
		d := <-came
		if d.Err != nil {
			t.Fatalf("got %v for %s", d.Err, d.Raw)
		}
		if diff := contract.Difference(d.Event, events[d.Event.ID()]); diff != "" {
			t.Errorf("%s: %s", d.Event.ID(), diff)
		}
	}
}

// TestDeliveriesOfTheBridge are decoded, though it makes texts of all they hold, which only data of bytes does not survive.
func TestDeliveriesOfTheBridge(t *testing.T) {
	b, events := newBridge(t), named()
	stream, p := b.stream("orders"), b.publisher()
	for id, e := range events {
		if err := p.Publish(t.Context(), "orders", e); err != nil {
			t.Fatalf("%s: %v", id, err)
		}
	}
	for range len(events) {
		m, err := stream.Recv()
		if err != nil {
			t.Fatal(err)
		}
		carried, err := fromProto(m)
		if err != nil {
			t.Fatal(err)
		}
		got, topic, err := wire.Decode(carried)
		if err != nil || topic != "orders" {
			t.Fatalf("got topic %q, %v", topic, err)
		}
		want := events[got.ID()]
		if !utf8.Valid(want.DataEncoded) {
			got.DataEncoded = want.DataEncoded
		}
		if diff := contract.Difference(got, want); diff != "" {
			t.Errorf("%s: %s", got.ID(), diff)
		}
	}
}

// TestOnlyWhatIsRepeatedIsTheBridges: of another event no attribute can be called as those of the specification.
func TestOnlyWhatIsRepeatedIsTheBridges(t *testing.T) {
	for name, change := range map[string]func(attributes){
		"":               func(attributes) {},
		"no version":     func(a attributes) { delete(a, "specversion") },
		"another id":     func(a attributes) { a["id"] = text("2") },
		"another source": func(a attributes) { a["source"] = text("/S") },
		"a type of bytes": func(a attributes) {
			a["type"] = &pb.CloudEvent_AttributeValue{Attr: &pb.CloudEvent_AttributeValue_CeBytes{CeBytes: []byte("t")}}
		},
		"an id without it": func(a attributes) { a["id"] = nil },
	} {
		m := &pb.CloudEvent{Id: "1", Source: "/s", SpecVersion: "1.0", Type: "t", Attributes: attributes{
			"id": text("1"), "source": text("/s"), "specversion": text("1.0"), "type": text("t"), "time": text("2026-01-02T03:04Z"),
			"emdeliveryid": text("d-1"), "emmqoffset": text("7"), "subject": text("orders"),
		}}
		change(m.Attributes)
		carried, err := fromProto(m)
		var e event.Event
		if err == nil {
			e, _, err = wire.Decode(carried)
		}
		switch {
		case name != "" && err == nil:
			t.Errorf("%s: got %s, want none", name, e)
		case name == "" && (err != nil || len(e.Extensions()) > 0 || e.Time().Minute() != 4):
			t.Errorf("got %s, %v", e, err)
		}
	}
}

// TestRequestsThroughTheBridge have the reply as a subscriber over HTTP has made it.
func TestRequestsThroughTheBridge(t *testing.T) {
	b := newBridge(t)
	request, reply := event.New(), event.New()
	for _, e := range []*event.Event{&request, &reply} {
		e.SetID("1")
		e.SetSource("/s")
		e.SetType("t")
		e.SetExtension("ttl", "own")
		e.SetExtension("env", true)
	}
	reply.SetSubject("the reply's own")
	reply.DataEncoded = []byte("plain")
	replied := make(chan struct{})
	b.subscribe("questions", func(ctx context.Context, d *eventmesh.Delivery) {
		defer close(replied)
		if diff := contract.Difference(d.Event, request); diff != "" || d.Err != nil {
			t.Errorf("%v %s", d.Err, diff)
		}
		if err := d.Reply(ctx, reply); err != nil {
			t.Error(err)
		}
	})
	got, err := b.publisher().Request(t.Context(), "questions", request)
	if err != nil {
		t.Fatal(err)
	}
	if diff := contract.Difference(*got, reply); diff != "" {
		t.Error(diff)
	}
	<-replied // its answer comes after the reply has come
}

// TestWhatTheBridgeWouldLose is refused: it confirms that, and then loses other events as well.
func TestWhatTheBridgeWouldLose(t *testing.T) {
	p := newBridge(t).publisher()
	e := event.New()
	e.SetID("1")
	e.SetSource("/s")
	e.SetType("t")
	for _, topic := range []string{"a|b", "a%b"} {
		if err := p.Publish(t.Context(), topic, e); !errors.Is(err, eventmesh.ErrInvalidTopic) {
			t.Errorf("topic %s: got %v", topic, err)
		}
	}
	for i := range wire.MaxAttributes {
		e.SetExtension(fmt.Sprint("x", i), "x")
	}
	if err := p.Publish(t.Context(), "orders", e); !errors.Is(err, eventmesh.ErrTooLarge) {
		t.Errorf("with too many attributes: got %v", err)
	}
}

// TestSubscribersDoNotSubscribeToTheBridge, be it the first time or after a session with what was there before.
func TestSubscribersDoNotSubscribeToTheBridge(t *testing.T) {
	b := newBridge(t)
	for _, returning := range []bool{false, true} {
		c := client
		c.Returning = returning
		_, err := Transport{}.OpenSubscriber(t.Context(), b.grpc, c, eventmesh.Subscription{Topics: []string{"orders"}})
		if !errors.Is(err, eventmesh.ErrUnsupported) {
			t.Errorf("got %v, want %v", err, eventmesh.ErrUnsupported)
		}
	}
	s, err := eventmesh.NewSubscriber(b.config(b.grpc), eventmesh.Subscription{Topics: []string{"orders"}}, Transport{})
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	await.Until(t, await.Patience, func() string {
		err := s.Ready()
		unsupported := errors.Is(err, eventmesh.ErrNotConnected) && errors.Is(err, eventmesh.ErrUnsupported)
		if !unsupported || !strings.Contains(err.Error(), "use http://host:10105") {
			return fmt.Sprintf("got %v, want the reason", err)
		}
		return ""
	})
	if n := b.server.Subscribers("orders"); n != 0 {
		t.Errorf("got %d subscribers, who take events from others", n)
	}
}

// TestTheBridgeIsKnownByEachAnswer, should that to the first heartbeat be missing.
func TestTheBridgeIsKnownByEachAnswer(t *testing.T) {
	answer := slices.Concat(field(fieldID, []byte("resp-1")), field(fieldSource, []byte("/")), field(fieldType, []byte("org.apache.eventmesh")),
		attributeField("statuscode", "0"))
	beats := 0
	a := serveAll(t, map[string]func(grpc.ServerStream) error{
		pb.ConsumerService_SubscribeStream_FullMethodName: sends(answer),
		pb.HeartbeatService_Heartbeat_FullMethodName: func(stream grpc.ServerStream) error {
			beats++
			return sends()(stream)
		},
	})
	_, err := Transport{}.OpenSubscriber(t.Context(), a, client, eventmesh.Subscription{Topics: []string{"orders"}})
	if !errors.Is(err, eventmesh.ErrUnsupported) || beats == 0 {
		t.Errorf("got %v after %d heartbeats, want %v", err, beats, eventmesh.ErrUnsupported)
	}
}
