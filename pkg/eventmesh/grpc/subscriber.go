package grpc

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"sync"
	"sync/atomic"
	"time"

	"github.com/cloudevents/sdk-go/v2/event"
	"google.golang.org/grpc"
	"google.golang.org/protobuf/proto"

	"github.com/eventing-eventmesh/eventing-eventmesh/pkg/eventmesh"
	pb "github.com/eventing-eventmesh/eventing-eventmesh/pkg/eventmesh/grpc/eventmeshpb"
	"github.com/eventing-eventmesh/eventing-eventmesh/pkg/eventmesh/internal/wire"
)

// lateAnswer is how long a subscription may take beyond the time for opening a session: less than a program has for its end.
const lateAnswer = 1500 * time.Millisecond

type subscriber struct {
	conn         *grpc.ClientConn
	stream       grpc.BidiStreamingClient[pb.CloudEvent, pb.CloudEvent]
	cancelStream context.CancelFunc
	consume      pb.ConsumerServiceClient
	alive        pb.HeartbeatServiceClient
	publish      pb.PublisherServiceClient
	client       attributes
	encoded      encoded // the client's attributes
	group        string
	replies      bool

	subscription, heartbeat string // JSON
	id                      string // of subscribing, and of what EventMesh answers

	sending  sync.Mutex    // a stream sends one message at a time
	renewals int           // guarded by sending
	answered chan struct{} // signals each answer to a renewal to Leave
	renewed  atomic.Bool   // with a heartbeat, or left
	ended    atomic.Bool   // by EventMesh
}

type subscriptionItem struct {
	Topic string         `json:"topic"`
	Mode  eventmesh.Mode `json:"mode"`
	Type  eventmesh.Type `json:"type"`
}

type heartbeatItem struct {
	Topic string `json:"topic"`
	URL   string `json:"url"`
}

// OpenSubscriber connects, makes topics if it is asked to, subscribes, waits for EventMesh to confirm the subscription, and fetches what
// EventMesh may hold of the sessions before.
func (Transport) OpenSubscriber(ctx context.Context, a eventmesh.Address, c eventmesh.Client, sub eventmesh.Subscription) (eventmesh.SubscriberSession, error) {
	s, err := newSubscriber(a, c, sub)
	if err != nil {
		return nil, err
	}
	var streamCtx context.Context
	streamCtx, s.cancelStream = context.WithCancel(context.Background())
	stranded, err := s.ghost(ctx)
	if err != nil {
		_ = s.Close()
		return nil, err
	}
	if sub.MakeTopics && !c.Returning {
		s.makeTopics(ctx, sub.Topics)
	}
	if err := s.subscribe(ctx, streamCtx); err != nil {
		_ = s.Close()
		if ctx.Err() != nil {
			err = fmt.Errorf("%w: %w", eventmesh.ErrUnconfirmed, ctx.Err())
		}
		return nil, err
	}
	if stranded || c.Returning {
		s.rejoin(ctx)
	}
	return s, nil
}

func newSubscriber(a eventmesh.Address, c eventmesh.Client, sub eventmesh.Subscription) (*subscriber, error) {
	var items []subscriptionItem
	var heartbeats []heartbeatItem
	for _, topic := range sub.Topics {
		items = append(items, subscriptionItem{Topic: topic, Mode: sub.Mode, Type: sub.Type})
		heartbeats = append(heartbeats, heartbeatItem{Topic: topic})
	}
	subscription, err := json.Marshal(items)
	if err != nil {
		return nil, fmt.Errorf("encoding subscription: %w", err)
	}
	heartbeat, err := json.Marshal(heartbeats)
	if err != nil {
		return nil, fmt.Errorf("encoding heartbeat: %w", err)
	}
	client := clientAttributes(c)
	client["consumergroup"] = text(c.Group)
	encoded, err := encodeAttributes(client)
	if err != nil {
		return nil, err
	}
	conn, err := dial(a, c)
	if err != nil {
		return nil, err
	}
	return &subscriber{
		conn: conn, consume: pb.NewConsumerServiceClient(conn), alive: pb.NewHeartbeatServiceClient(conn), publish: pb.NewPublisherServiceClient(conn),
		client: client, encoded: encoded, group: c.Group, replies: sub.Type == eventmesh.Sync,
		subscription: string(subscription), heartbeat: string(heartbeat), id: unique(), answered: make(chan struct{}, maxRenewals),
	}, nil
}

// subscribe opens the stream, which outlives ctx. When ctx ends after EventMesh has been asked, its answer is still worth a wait: what it
// has written to the stream by then counts as delivered.
func (s *subscriber) subscribe(ctx, streamCtx context.Context) error {
	var options []grpc.CallOption
	if !s.replies { // which are made of all that the request has
		options = append(options, grpc.ForceCodecV2(newDeliveries()))
	}
	unasked := context.AfterFunc(ctx, s.cancelStream)
	defer unasked()
	stream, err := s.consume.SubscribeStream(streamCtx, options...)
	if err != nil {
		return callError(err)
	}
	s.stream = stream
	if !unasked() {
		return ctx.Err()
	}
	if err := stream.Send(s.subscribing()); err != nil && !errors.Is(err, io.EOF) { // EOF: Recv tells
		return callError(err)
	}
	answered := make(chan struct{})
	defer close(answered)
	defer context.AfterFunc(ctx, func() {
		select {
		case <-answered:
		case <-time.After(lateAnswer):
			s.cancelStream()
		}
	})()
	first, err := stream.Recv()
	if errors.Is(err, io.EOF) {
		return fmt.Errorf("%w: EventMesh ended the stream instead of subscribing", eventmesh.ErrRefused)
	}
	if isOfBridge(first) {
		return errBridge
	}
	return check(outcomeOf(first), err)
}

// subscribing returns what subscribes.
func (s *subscriber) subscribing() *pb.CloudEvent {
	m := control(s.client, s.subscription, nil)
	m.Id = s.id
	return m
}

func (s *subscriber) Receive() (*eventmesh.Delivery, error) {
	m, err := s.stream.Recv()
	for err == nil && m.GetId() == s.id && m.GetSource() == controlSource {
		select {
		case s.answered <- struct{}{}:
		default: // nobody asked
		}
		m, err = s.stream.Recv()
	}
	if errors.Is(err, io.EOF) {
		s.ended.Store(true)
		return nil, io.EOF
	}
	if err != nil {
		return nil, callError(err)
	}
	if m.GetAttributes()[keyMessageType].GetCeString() == replyMessage {
		if err := refusal(outcomeOf(m)); err != nil {
			return nil, fmt.Errorf("replying: %w", err) // EventMesh says so, and ends the stream
		}
	}
	carried, err := fromProto(m)
	if err != nil {
		return undecodable(m, err), nil
	}
	d := &eventmesh.Delivery{}
	d.Event, d.Topic, d.Err = wire.Decode(carried)
	switch {
	case d.Err != nil:
		d.Raw = carried.Data()
	case s.replies:
		d.ReplyFunc = func(_ context.Context, e event.Event) error { return s.reply(m, e) }
	}
	return d, nil
}

// undecodable returns what came, but for the publisher's credentials, which EventMesh hands on.
func undecodable(m *pb.CloudEvent, err error) *eventmesh.Delivery {
	delete(m.GetAttributes(), "username")
	delete(m.GetAttributes(), "passwd")
	raw, _ := proto.Marshal(m)
	return &eventmesh.Delivery{Topic: m.GetAttributes()[keySubject].GetCeString(), Raw: raw, Err: err}
}

// reply sends the event as the reply to a request. EventMesh confirms nothing; it ends the stream when it fails.
func (s *subscriber) reply(request *pb.CloudEvent, e event.Event) error {
	requested, err := fromProto(request)
	if err != nil {
		return fmt.Errorf("replying: %w", err)
	}
	carried, err := wire.EncodeReply(e, requested, wire.NativeForm)
	if err != nil {
		return fmt.Errorf("replying: %w", err)
	}
	m, err := encode(carried, len(s.encoded))
	if err != nil {
		return fmt.Errorf("replying: %w", err)
	}
	m = append(m, s.encoded...).attribute(keyMessageType, replyMessage)
	if group, _ := carried.Extensions()["producergroup"].(string); group == "" {
		m = m.attribute("producergroup", s.group)
	}
	if err := checkSize(m); err != nil {
		return fmt.Errorf("replying: %w", err)
	}
	s.sending.Lock()
	defer s.sending.Unlock()
	if err := s.stream.SendMsg(m); err != nil {
		return fmt.Errorf("replying: %w", callError(err))
	}
	return nil
}

// Heartbeat renews the session. That EventMesh answers does not mean that the stream is alive: Receive tells. When EventMesh refuses it,
// the session is over: EventMesh completes a stream that its client completes, and Receive first returns all that was sent.
func (s *subscriber) Heartbeat(ctx context.Context) error {
	err := s.beat(ctx)
	var refusal *eventmesh.RefusalError
	if errors.As(err, &refusal) {
		s.sending.Lock()
		defer s.sending.Unlock()
		_ = s.stream.CloseSend() // it never fails
	}
	if err == nil && !s.renewed.Swap(true) {
		s.renew()
	}
	return err
}

func (s *subscriber) beat(ctx context.Context) error {
	answer, err := s.alive.Heartbeat(ctx, control(s.client, s.heartbeat, attributes{"clienttype": integer(clientSubscriber)}))
	if isOfBridge(answer) {
		return errBridge
	}
	return check(outcomeOf(answer), err)
}

// Leave unsubscribes. EventMesh then ends the streams of the whole group, this one too.
func (s *subscriber) Leave(ctx context.Context) error {
	s.awaitRenewals(ctx)
	answer, err := s.consume.Unsubscribe(ctx, control(s.client, s.subscription, nil))
	err = check(outcomeOf(answer), err)
	if s.ended.Load() { // which can come before the answer, and end the session
		return nil
	}
	return err
}

func (s *subscriber) Close() error {
	s.cancelStream()
	return s.conn.Close()
}
