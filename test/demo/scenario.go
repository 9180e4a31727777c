package main

import (
	"context"
	"slices"
	"strings"
)

// toEventMesh posts an event to the sink, as a Broker does, and expects it at a subscriber of EventMesh.
func (s *stage) toEventMesh(ctx context.Context, to route) error {
	s.out.printf("\n— Knative → EventMesh, over %s: an event posted to the sink reaches a subscriber of EventMesh\n", to.transport)
	name := strings.ToLower(to.transport)
	topic := s.mesh.name("demo-from-knative-" + name)
	event := demoEvent{
		id: "from-knative-" + name, eventType: "org.example.greeting", source: "/demo/knative",
		contentType: plain, data: "Hello CloudEvents!",
	}
	if err := s.makeTopic(ctx, to.url, topic); err != nil {
		return err
	}
	sink, err := s.start(ctx, "sink", []string{
		"EVENTMESH_URL=" + to.url, "EVENTMESH_TOPIC=" + topic, "EVENTMESH_TOPICS=" + topic,
		"EVENTMESH_CLIENT_ID=" + s.mesh.name("demo-sink"), "PORT=0", "NAMESPACE=demo", "NAME=sink",
		"EVENTMESH_SHUTDOWN_DELAY=0s", // no endpoints here that have to go first
	}, "sink")
	if err != nil {
		return err
	}
	subscriber, err := s.start(ctx, "subscriber", nil, "devmesh", "subscribe", "--url", to.url, "--topic", topic, "--group", s.mesh.name("demo-subscriber"))
	if err != nil {
		return err
	}
	err = subscriber.await(ctx, "its subscription", func(lines []string) bool {
		return slices.ContainsFunc(lines, func(line string) bool { return strings.HasPrefix(line, "subscribed to ") })
	})
	if err != nil {
		return err
	}
	sinkURL, err := ready(ctx, sink, "serving")
	if err != nil {
		return err
	}
	if err := s.deliver(ctx, "knative", []string{"send", "--url", sinkURL}, subscriber, "Knative → EventMesh, "+to.transport, event); err != nil {
		return err
	}
	return stop(subscriber, sink)
}

// toKnative publishes an event to EventMesh, and expects that the source delivers it to the Knative sink.
func (s *stage) toKnative(ctx context.Context, from route, sinkURL string, receiver *process) error {
	s.out.printf("\n— EventMesh → Knative, over %s: an event published to EventMesh reaches K_SINK by the source\n", from.transport)
	name := strings.ToLower(from.transport)
	topic := s.mesh.name("demo-from-eventmesh-" + name)
	event := demoEvent{
		id: "from-eventmesh-" + name, eventType: "org.example.greeting", source: "/demo/eventmesh",
		contentType: plain, data: "Hello Knative from EventMesh!",
	}
	if err := s.makeTopic(ctx, from.url, topic); err != nil {
		return err
	}
	source, err := s.start(ctx, "source", []string{
		"EVENTMESH_URL=" + from.url, "EVENTMESH_TOPICS=" + topic, "EVENTMESH_GROUP=" + s.mesh.name("demo-source"),
		"EVENTMESH_CLIENT_ID=" + s.mesh.name("demo-source"), "K_SINK=" + sinkURL, "PROBES_PORT=0", "NAMESPACE=demo", "NAME=source",
	}, "source")
	if err != nil {
		return err
	}
	if _, err := ready(ctx, source, "serving probes"); err != nil {
		return err
	}
	if err := s.deliver(ctx, "publisher", []string{"publish", "--url", from.url, "--topic", topic}, receiver, "EventMesh → Knative, "+from.transport, event); err != nil {
		return err
	}
	return stop(source)
}
