package main

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"slices"
)

// brokerEvents is how many events have to arrive of the Broker.
const brokerEvents = 2

// brokerTable is a Broker with two Triggers, as the cluster would have them: orders go to a function, whose answers come back to the Broker,
// and all events to the Knative sink.
const brokerTable = `apiVersion: v1
kind: ConfigMap
metadata: {name: config-eventmesh-broker, namespace: knative-eventing}
data: {eventmesh.url: %q}
---
apiVersion: eventing.knative.dev/v1
kind: Broker
metadata: {name: default, namespace: demo, uid: %q, annotations: {eventing.knative.dev/broker.class: EventMesh}}
---
apiVersion: eventing.knative.dev/v1
kind: Trigger
metadata: {name: orders, namespace: demo, uid: demo-orders}
spec:
  broker: default
  filter: {attributes: {type: org.example.order}}
  subscriber: {uri: %q}
---
apiVersion: eventing.knative.dev/v1
kind: Trigger
metadata: {name: all, namespace: demo, uid: demo-all}
spec:
  broker: default
  subscriber: {uri: %q}
`

// subscribed waits until the dispatcher gets the Broker's events. It is ready before, as it serves other Brokers, too; in a cluster the
// Broker is not.
func subscribed(ctx context.Context, dispatcher *process) error {
	return dispatcher.await(ctx, "its subscription", func(lines []string) bool {
		return slices.ContainsFunc(lines, func(line string) bool {
			entry, ok := parseLog(line)
			return ok && entry.Message == "connected to EventMesh"
		})
	})
}

// throughBroker posts an event to a Broker, and expects it at the subscriber of all events, and the reply of another one after it.
func (s *stage) throughBroker(ctx context.Context, meshURL, sinkURL string, receiver *process) error {
	s.out.printf("\n— A Broker of class EventMesh: an order reaches two subscribers, and the answer of one of them the other\n")
	function, err := s.start(ctx, "function", nil, "devmesh", "receive", "--address", "127.0.0.1:0", "--reply", "The order is confirmed.")
	if err != nil {
		return err
	}
	functionURL, err := addressAfter(ctx, function, "HTTP")
	if err != nil {
		return err
	}
	dir, err := os.MkdirTemp("", "demo-broker")
	if err != nil {
		return fmt.Errorf("making a folder: %w", err)
	}
	defer func() { _ = os.RemoveAll(dir) }()
	table := filepath.Join(dir, "brokers.yaml")
	if err := os.WriteFile(table, fmt.Appendf(nil, brokerTable, meshURL, s.mesh.name("demo-broker"), functionURL, sinkURL), 0o600); err != nil {
		return fmt.Errorf("writing the table of Brokers: %w", err)
	}
	ingress, err := s.start(ctx, "ingress", []string{
		"BROKER_FILE=" + table, "PORT=0", "STATUS_PORT=0", "EVENTMESH_CLIENT_ID=" + s.mesh.name("demo-ingress"), "EVENTMESH_SHUTDOWN_DELAY=0s",
	}, "broker-ingress")
	if err != nil {
		return err
	}
	ingressURL, err := ready(ctx, ingress, "serving")
	if err != nil {
		return err
	}
	dispatcher, err := s.start(ctx, "dispatcher", []string{
		"BROKER_FILE=" + table, "BROKER_ADDRESS=" + ingressURL, "STATUS_PORT=0", "EVENTMESH_CLIENT_ID=" + s.mesh.name("demo-dispatcher"),
		"EVENTMESH_SPOOL_DIR=" + filepath.Join(dir, "spool"),
	}, "broker-dispatcher")
	if err != nil {
		return err
	}
	if err := subscribed(ctx, dispatcher); err != nil {
		return err
	}
	event := demoEvent{id: "order", eventType: "org.example.order", source: "/demo/shop", contentType: plain, data: "42 pencils"}
	if err := s.deliver(ctx, "shop", []string{"send", "--url", ingressURL + "/demo/default"}, receiver, "Broker → Trigger", event); err != nil {
		return err
	}
	reply := demoEvent{id: "order-reply", eventType: "org.example.order.reply", source: "devmesh", contentType: plain, data: "The order is confirmed."}
	if err := s.arrive(ctx, receiver, "reply → Broker → Trigger", reply); err != nil {
		return err
	}
	return stop(dispatcher, ingress, function)
}
