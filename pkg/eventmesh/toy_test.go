package eventmesh_test

import (
	"context"
	"fmt"
	"io"
	"sync"
	"testing"

	"github.com/cloudevents/sdk-go/v2/event"

	"github.com/eventing-eventmesh/eventing-eventmesh/pkg/eventmesh"
	"github.com/eventing-eventmesh/eventing-eventmesh/pkg/eventmesh/eventmeshtest"
	"github.com/eventing-eventmesh/eventing-eventmesh/pkg/eventmesh/internal/wire"
)

// toy is a transport between the clients of one process.
type toy struct{ queue chan event.Event }

func (toy) Traits() eventmesh.Traits {
	return eventmesh.Traits{Scheme: "toy", Port: "1", Rendering: wire.Rendering{Form: wire.JSONForm, Description: "toys"}}
}

func (t toy) OpenPublisher(_ context.Context, _ eventmesh.Address, c eventmesh.Client) (eventmesh.PublisherSession, error) {
	return newToySession(t, c), nil
}

func (t toy) OpenSubscriber(_ context.Context, _ eventmesh.Address, c eventmesh.Client, _ eventmesh.Subscription) (eventmesh.SubscriberSession, error) {
	return newToySession(t, c), nil
}

type toySession struct {
	toy
	eventmesh.Client
	ended chan struct{}
	end   func()
}

func newToySession(t toy, c eventmesh.Client) *toySession {
	ended := make(chan struct{})
	return &toySession{toy: t, Client: c, ended: ended, end: sync.OnceFunc(func() { close(ended) })}
}

func (s *toySession) Publish(_ context.Context, topic string, e event.Event) error {
	carried, err := wire.Encode(e, topic, s.Rendering.Form)
	if err == nil {
		carried.SetExtension("protocoldesc", s.Rendering.Description)
		s.queue <- carried
	}
	return err
}

func (s *toySession) Request(context.Context, string, event.Event) (*event.Event, error) {
	return nil, eventmesh.ErrUnsupported
}

func (s *toySession) Receive() (*eventmesh.Delivery, error) {
	select {
	case carried := <-s.queue:
		e, topic, err := wire.Decode(carried)
		return &eventmesh.Delivery{Event: e, Topic: topic, Err: err}, nil
	case <-s.ended:
		return nil, io.EOF
	}
}

func (s *toySession) Heartbeat(context.Context) error { return nil }

func (s *toySession) Wait() error {
	<-s.ended
	return io.EOF
}

func (s *toySession) Leave(context.Context) error { return s.Close() }

func (s *toySession) Close() error {
	s.end()
	return nil
}

// TestTransportFromElsewhere adds one that this package knows nothing of: its scheme, its port, and what its subscribers get.
func TestTransportFromElsewhere(t *testing.T) {
	server := eventmeshtest.New(t, eventmeshtest.Options{Storage: eventmeshtest.RocketMQ})
	mine := toy{queue: make(chan event.Event, 1)}
	all := append([]eventmesh.Transport{mine}, transports...)
	addresses, err := eventmesh.ParseAddresses("toys://a, toy://a:2, toy://a", all...)
	if err != nil || fmt.Sprint(addresses) != "[toys://a:1 toy://a:2 toy://a:1]" {
		t.Fatalf("got %v, %v; want the transport's port where there is none", addresses, err)
	}
	open := func(addresses []eventmesh.Address, subscribers string) *eventmesh.Publisher {
		t.Helper()
		connected := make(statuses, 100)
		p, err := eventmesh.NewPublisher(eventmesh.Config{
			Addresses: addresses, ClientID: "p", Group: "p", Subscribers: subscribers, Notify: func(s eventmesh.Status) { connected <- s },
		}, all...)
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { _ = p.Close() })
		connected.await(t, true)
		return p
	}
	s, err := eventmesh.NewSubscriber(eventmesh.Config{Addresses: addresses, ClientID: "s", Group: "s"},
		eventmesh.Subscription{Topics: []string{"orders"}}, mine)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = s.Close() })
	if err := open(addresses, "").Publish(bounded(t), "orders", newEvent("1")); err != nil {
		t.Fatal(err)
	}
	if d := expectFirst(t, s); d.Topic != "orders" {
		t.Errorf("got topic %q, want orders", d.Topic)
	}
	for _, url := range urls {
		over, err := eventmesh.ParseAddresses(url(server), all...)
		if err != nil {
			t.Fatal(err)
		}
		if err := open(over, "toy").Publish(bounded(t), "orders", newEvent("1")); err != nil {
			t.Fatal(err)
		}
	}
	for _, got := range server.Published("orders") {
		attributes := got.GetAttributes()
		if kind := attributes["datacontenttype"].GetCeString(); attributes["protocoldesc"].GetCeString() != "toys" || kind != event.ApplicationCloudEventsJSON {
			t.Errorf("got an event of type %s for %s, want one for toys, in JSON", kind, attributes["protocoldesc"].GetCeString())
		}
	}
	if n := len(server.Published("orders")); n != len(urls) {
		t.Errorf("EventMesh has %d events, want %d", n, len(urls))
	}
}
