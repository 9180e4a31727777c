package eventmesh_test

import (
	"context"
	"fmt"
	"sync"

	"github.com/cloudevents/sdk-go/v2/event"

	"github.com/eventing-eventmesh/eventing-eventmesh/pkg/eventmesh"
	"github.com/eventing-eventmesh/eventing-eventmesh/pkg/eventmesh/eventmeshtest"
	"github.com/eventing-eventmesh/eventing-eventmesh/pkg/eventmesh/grpc"
	"github.com/eventing-eventmesh/eventing-eventmesh/pkg/eventmesh/tcp"
)

// client returns the configuration of a client of the EventMesh at url, and a channel that is closed once it is connected.
func client(url, name string) (eventmesh.Config, <-chan struct{}) {
	addresses, err := eventmesh.ParseAddresses(url, grpc.Transport{}, tcp.Transport{})
	if err != nil {
		panic(err)
	}
	connected := make(chan struct{})
	tell := sync.OnceFunc(func() { close(connected) })
	return eventmesh.Config{
		Addresses: addresses, ClientID: name + "-0", Group: name,
		Notify: func(s eventmesh.Status) {
			if s.Connected {
				tell()
			}
		},
	}, connected
}

func ExamplePublisher() {
	mesh, err := eventmeshtest.Start(eventmeshtest.Options{Storage: eventmeshtest.RocketMQ}) // stands for a real one
	if err != nil {
		panic(err)
	}
	defer mesh.Close()

	config, connected := client(mesh.GRPCURL(), "shop")
	publisher, err := eventmesh.NewPublisher(config, grpc.Transport{}, tcp.Transport{})
	if err != nil {
		panic(err)
	}
	defer publisher.Close()
	<-connected

	order := event.New()
	order.SetID("4711")
	order.SetSource("/shop")
	order.SetType("order.placed")
	err = publisher.Publish(context.Background(), "orders", order)
	fmt.Println("confirmed:", err == nil)
	err = publisher.Publish(context.Background(), "no topic", order)
	fmt.Println("worth another attempt:", eventmesh.Temporary(err))
	// Output:
	// confirmed: true
	// worth another attempt: false
}

func ExampleSubscriber() {
	mesh, err := eventmeshtest.Start(eventmeshtest.Options{}) // stands for a real one
	if err != nil {
		panic(err)
	}
	defer mesh.Close()

	config, connected := client(mesh.TCPURL(), "stock")
	subscriber, err := eventmesh.NewSubscriber(config, eventmesh.Subscription{Topics: []string{"orders"}}, grpc.Transport{}, tcp.Transport{})
	if err != nil {
		panic(err)
	}
	defer subscriber.Close()
	<-connected

	publish(mesh.TCPURL(), "orders", "4711")
	delivery, err := subscriber.Receive(context.Background())
	if err != nil {
		panic(err)
	}
	// What is done with the event, such as keeping it safe, comes before the acknowledgement.
	fmt.Println(delivery.Topic, delivery.Event.ID())
	if err := delivery.Ack(context.Background()); err != nil {
		fmt.Println("it may come again:", err)
	}
	// Output: orders 4711
}

func publish(url, topic, id string) {
	config, connected := client(url, "shop")
	publisher, err := eventmesh.NewPublisher(config, grpc.Transport{}, tcp.Transport{})
	if err != nil {
		panic(err)
	}
	defer publisher.Close()
	<-connected
	if err := publisher.Publish(context.Background(), topic, newEvent(id)); err != nil {
		panic(err)
	}
}
