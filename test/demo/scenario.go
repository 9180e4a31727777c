package main

import (
	"context"
	"slices"
	"strings"
)

// toEventMesh posts an event to the sink, as a Broker does, and expects it at a subscriber of EventMesh.
func (s *stage) toEventMesh(ctx context.Context, transport, meshURL string) error {
	s.out.printf("\n— Knative → EventMesh, over %s: an event posted to the sink reaches a subscriber of EventMesh\n", transport)
	name := strings.ToLower(transport)
	topic := "demo-from-knative-" + name
	event := demoEvent{
		id: "from-knative-" + name, eventType: "org.example.greeting", source: "/demo/knative",
		contentType: plain, data: "Hello CloudEvents!",
	}
	sink, err := s.start(ctx, "sink", []string{
		"EVENTMESH_URL=" + meshURL, "EVENTMESH_TOPIC=" + topic, "EVENTMESH_TOPICS=" + topic,
		"EVENTMESH_CLIENT_ID=demo-sink", "PORT=0", "NAMESPACE=demo", "NAME=sink",
		"EVENTMESH_SHUTDOWN_DELAY=0s", // no endpoints here that have to go first
	}, "sink")
	if err != nil {
		return err
	}
	subscriber, err := s.start(ctx, "subscriber", nil, "devmesh", "subscribe", "--url", meshURL, "--topic", topic, "--group", "demo-subscriber", "--count", "1")
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
	if err := s.run(ctx, "knative", "devmesh", append([]string{"send", "--url", sinkURL}, event.flags()...)...); err != nil {
		return err
	}
	if err := s.arrive(ctx, subscriber, "Knative → EventMesh, "+transport, event); err != nil {
		return err
	}
	if err := subscriber.wait(ctx); err != nil {
		return err
	}
	return stop(sink)
}

// toKnative publishes an event to EventMesh, and expects that the source delivers it to the Knative sink.
func (s *stage) toKnative(ctx context.Context, transport, meshURL, sinkURL string, receiver *process) error {
	s.out.printf("\n— EventMesh → Knative, over %s: an event published to EventMesh reaches K_SINK by the source\n", transport)
	name := strings.ToLower(transport)
	topic := "demo-from-eventmesh-" + name
	event := demoEvent{
		id: "from-eventmesh-" + name, eventType: "org.example.greeting", source: "/demo/eventmesh",
		contentType: plain, data: "Hello Knative from EventMesh!",
	}
	source, err := s.start(ctx, "source", []string{
		"EVENTMESH_URL=" + meshURL, "EVENTMESH_TOPICS=" + topic, "EVENTMESH_GROUP=demo-source",
		"EVENTMESH_CLIENT_ID=demo-source", "K_SINK=" + sinkURL, "PROBES_PORT=0", "NAMESPACE=demo", "NAME=source",
	}, "source")
	if err != nil {
		return err
	}
	if _, err := ready(ctx, source, "serving probes"); err != nil {
		return err
	}
	arguments := append([]string{"publish", "--url", meshURL, "--topic", topic}, event.flags()...)
	if err := s.run(ctx, "publisher", "devmesh", arguments...); err != nil {
		return err
	}
	if err := s.arrive(ctx, receiver, "EventMesh → Knative, "+transport, event); err != nil {
		return err
	}
	return stop(source)
}
