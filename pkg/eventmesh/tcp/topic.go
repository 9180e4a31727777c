package tcp

import (
	"context"
	"errors"
	"strings"

	"github.com/cloudevents/sdk-go/v2/event"

	"github.com/eventing-eventmesh/eventing-eventmesh/pkg/eventmesh"
	"github.com/eventing-eventmesh/eventing-eventmesh/pkg/eventmesh/internal/wire"
)

// isMissingTopic tells whether RocketMQ has not made a topic yet that was subscribed to.
func isMissingTopic(err error) bool {
	var refusal *eventmesh.RefusalError
	return errors.As(err, &refusal) && strings.Contains(refusal.Reason, "No topic route info")
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
