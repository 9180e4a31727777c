package grpc

import (
	"context"
	"errors"
	"maps"
	"strings"
	"time"

	"github.com/eventing-eventmesh/eventing-eventmesh/pkg/eventmesh"
	pb "github.com/eventing-eventmesh/eventing-eventmesh/pkg/eventmesh/grpc/eventmeshpb"
	"github.com/eventing-eventmesh/eventing-eventmesh/pkg/eventmesh/internal/wire"
)

const (
	// rejoinTimeout bounds what a server does in half a second.
	rejoinTimeout = 5 * time.Second
	// rejoinSubscription is to a topic that nobody publishes to.
	rejoinSubscription = `[{"topic":"eventing-eventmesh-rejoin","mode":"CLUSTERING","type":"ASYNC"}]`
	// maxRenewals is how often a session subscribes again at most.
	maxRenewals = 2
)

// ghost tells whether EventMesh counts a session of this client as a member of its group, before this one is. The error is that there is
// no EventMesh, or one that no session should subscribe to.
func (s *subscriber) ghost(ctx context.Context) (bool, error) {
	ctx, cancel := context.WithTimeout(ctx, rejoinTimeout)
	defer cancel()
	err := s.beat(ctx)
	var refusal *eventmesh.RefusalError
	if errors.Is(err, eventmesh.ErrUnsupported) || errors.Is(err, eventmesh.ErrNotConnected) && !errors.As(err, &refusal) {
		return false, err
	}
	return err == nil, nil // no answer in time makes the session no worse
}

// rejoin lets EventMesh start the group's consumer anew, by joining the group with one more topic and leaving that again. What
// EventMesh 1.12 could not write to a dead stream it does not try again: RocketMQ waits for its acknowledgement, and gives it to a new
// consumer only. Other storages hold nothing, and the topics of the standalone one would die with the consumer.
//
// It is worth an attempt, and no more: where that fails, what EventMesh holds comes later, and what has come already is in the session.
func (s *subscriber) rejoin(ctx context.Context) {
	ctx, cancel := context.WithTimeout(ctx, rejoinTimeout)
	defer cancel() // ends the stream
	if !s.onRocketMQ(ctx) {
		return
	}
	request := control(s.client, rejoinSubscription, nil)
	stream, err := s.consume.SubscribeStream(ctx)
	if err != nil {
		return
	}
	_ = stream.Send(request) // Recv tells
	if _, err := stream.Recv(); err != nil {
		return
	}
	s.renew() // before the new consumer gives out what it has
	_, _ = s.consume.Unsubscribe(ctx, request)
}

// onRocketMQ tells whether that is EventMesh's storage, by how it refuses a request that nothing can come of. Other storages have no requests.
func (s *subscriber) onRocketMQ(ctx context.Context) bool {
	answer, err := s.request(ctx, wire.NoTopic, nil)
	return err == nil && strings.Contains(outcomeOf(answer).reason, "rocketmq")
}

// makeTopics lets RocketMQ make topics. It is worth an attempt, and no more.
func (s *subscriber) makeTopics(ctx context.Context, topics []string) {
	ctx, cancel := context.WithTimeout(ctx, rejoinTimeout)
	defer cancel()
	for _, topic := range topics {
		_, _ = s.request(ctx, topic, attributes{"filler": text(wire.Unstorable)})
	}
}

// request sends a request that is answered at once: it is refused.
func (s *subscriber) request(ctx context.Context, topic string, extra attributes) (*pb.CloudEvent, error) {
	m := control(s.client, "?", attributes{
		keySubject: text(topic), "producergroup": text(wire.Maker), "ttl": text(milliseconds(rejoinTimeout)),
	})
	maps.Copy(m.Attributes, extra)
	return s.publish.RequestReply(ctx, m)
}

// renew subscribes again. EventMesh handles subscriptions in no order, and the one that it handles last gets what comes for an ip and a pid:
// that can be one of a session that is dead by now, which waited for the consumers of other groups to start.
func (s *subscriber) renew() {
	s.sending.Lock()
	defer s.sending.Unlock()
	s.renewals++
	_ = s.stream.Send(s.subscribing()) // Receive tells
}

// awaitRenewals waits until EventMesh has handled all renewals: one that it handled after the end of the membership would be a new one.
func (s *subscriber) awaitRenewals(ctx context.Context) {
	s.renewed.Store(true)
	s.sending.Lock()
	renewals := s.renewals
	s.sending.Unlock()
	for range renewals {
		select {
		case <-s.answered:
		case <-s.stream.Context().Done():
		case <-ctx.Done():
		}
	}
}
