package tcp

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/cloudevents/sdk-go/v2/event"

	"github.com/eventing-eventmesh/eventing-eventmesh/pkg/eventmesh"
	"github.com/eventing-eventmesh/eventing-eventmesh/pkg/eventmesh/internal/wire"
)

// missingTopic is what EventMesh says, before the name, where RocketMQ has no topic that was subscribed to: the words of RocketMQ's name
// server, in a line of their own.
const missingTopic = "No topic route info in name server for the topic: "

// explain says of a subscription to a topic that RocketMQ does not have what to do, since trying again makes no topic.
func explain(err error, topics []string) error {
	var refusal *eventmesh.RefusalError
	if !errors.As(err, &refusal) || !errors.Is(refusal.Kind, eventmesh.ErrMissingTopic) {
		return err
	}
	_, named, _ := strings.Cut(refusal.Reason, missingTopic)
	named, _, _ = strings.Cut(named, "\n")
	if named = strings.TrimSpace(named); !slices.Contains(topics, named) {
		named = strings.Join(topics, " or ")
	}
	return fmt.Errorf("%w: %s: create it in RocketMQ first, as by \"mqadmin updateTopic -n NAMESERVER:9876 -c CLUSTER -t %s\": "+
		"over TCP EventMesh subscribes to no topic that is missing", eventmesh.ErrMissingTopic, named, named)
}

// makeTopics lets RocketMQ make topics. Whether that worked, the next subscription tells.
func (t Transport) makeTopics(ctx context.Context, a eventmesh.Address, c eventmesh.Client, topics []string) {
	c.Group, c.Rendering = wire.Maker, t.Traits().Rendering
	p, err := t.OpenPublisher(ctx, a, c)
	if err != nil {
		return
	}
	defer func() { _ = p.Close() }()
	for _, topic := range topics {
		e := event.New()
		e.SetID(topic)
		e.SetSource("eventing-eventmesh")
		e.SetType("eventing-eventmesh.topic")
		e.SetExtension("filler", wire.Unstorable)
		_ = e.SetData(event.ApplicationJSON, "?")
		_ = p.Publish(ctx, topic, e)
	}
}
