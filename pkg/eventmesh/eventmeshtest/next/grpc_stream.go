package next

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/peer"
	grpcstatus "google.golang.org/grpc/status"

	"github.com/eventing-eventmesh/eventing-eventmesh/pkg/eventmesh/eventmeshtest"
	"github.com/eventing-eventmesh/eventing-eventmesh/pkg/eventmesh/eventmeshtest/internal/outbox"
	"github.com/eventing-eventmesh/eventing-eventmesh/pkg/eventmesh/grpc/eventmeshpb"
)

// consumer is the part of the bridge that subscribes.
type consumer struct {
	eventmeshpb.UnimplementedConsumerServiceServer
	s           *Server
	connections *connections
}

// heartbeats is the part of the bridge that keeps clients known, and their subscriptions not.
type heartbeats struct {
	eventmeshpb.UnimplementedHeartbeatServiceServer
	s *Server
}

// clientOf makes one client of all the members of a group that are in one place.
func clientOf(p *eventmeshpb.CloudEvent) string {
	parts := make([]string, 0, 3)
	for _, name := range []string{"consumergroup", "env", "idc"} {
		parts = append(parts, p.GetAttributes()[name].GetCeString())
	}
	return strings.Join(parts, "-")
}

// itemsOf reads what a client subscribes to, or unsubscribes from, in which equal items are one.
func itemsOf(p *eventmeshpb.CloudEvent) ([]item, error) {
	text := p.GetTextData()
	if text == "" {
		return nil, nil
	}
	var all, items []item
	if err := json.Unmarshal([]byte(text), &all); err != nil {
		return nil, fmt.Errorf("reading items: %w", err)
	}
	for _, i := range all {
		if !slices.Contains(items, i) {
			items = append(items, i)
		}
	}
	return items, nil
}

// Subscribe is for webhooks, which are not part of this.
func (c *consumer) Subscribe(context.Context, *eventmeshpb.CloudEvent) (*eventmeshpb.CloudEvent, error) {
	return c.s.refuseGRPC(statusSubscribe, "missing url (webhook)"), nil
}

// Unsubscribe ends a subscription to each of the topics, and leaves the stream open without events.
func (c *consumer) Unsubscribe(ctx context.Context, request *eventmeshpb.CloudEvent) (*eventmeshpb.CloudEvent, error) {
	if c.s.fault().StallUnsubscribe {
		<-ctx.Done()
		return nil, ctx.Err()
	}
	items, err := itemsOf(request)
	if err != nil {
		return c.s.refuseGRPC(statusUnsubscribe, err.Error()), nil
	}
	id := clientOf(request)
	for _, i := range items {
		c.s.broker.unsubscribe(id, i.Topic)
	}
	c.s.broker.part(id)
	return statusSuccess.answer(""), nil
}

// SubscribeStream takes one subscription, then acknowledgements and replies.
func (c *consumer) SubscribeStream(stream eventmeshpb.ConsumerService_SubscribeStreamServer) error {
	ctx, cancel := context.WithCancelCause(stream.Context())
	in := &incoming{consumer: c, stream: stream, out: outbox.New[*eventmeshpb.CloudEvent]()}
	done := make(chan struct{})
	go func() {
		defer close(done)
		if err := in.receive(); err != nil {
			cancel(err)
		}
	}()
	defer func() { <-done }()
	defer cancel(nil)
	for {
		next, ok := in.out.Take(ctx)
		if !ok {
			return context.Cause(ctx)
		}
		if err := stream.Send(next); err != nil {
			return err
		}
	}
}

// incoming is what a client sends on its stream.
type incoming struct {
	*consumer
	stream eventmeshpb.ConsumerService_SubscribeStreamServer
	out    *outbox.Outbox[*eventmeshpb.CloudEvent]
	client string
	joined bool
	// session is the stream's once it has joined.
	session *eventmeshtest.Session
}

// receive reads until the client ends its side, which shuts the latest stream of the client, be that another one.
func (in *incoming) receive() error {
	for {
		message, err := in.stream.Recv()
		if err != nil {
			if in.joined {
				in.s.broker.shut(in.client)
				in.s.broker.leaves(in.session)
			}
			if errors.Is(err, io.EOF) {
				return nil
			}
			return err
		}
		if err := in.handle(message); err != nil {
			return err
		}
	}
}

func (in *incoming) handle(message *eventmeshpb.CloudEvent) error {
	attributes := message.GetAttributes()
	id, isAcknowledgement := attributes[attrDelivery]
	_, isMessage := attributes["submessagetype"]
	switch {
	case isAcknowledgement && !isMessage: // works for deliveries over HTTP only
		if _, err := in.s.broker.acknowledge(id.GetCeString()); err != nil {
			return grpcstatus.Error(codes.Unknown, "")
		}
		return nil
	case !in.joined:
		return in.join(message)
	}
	if id := attributes[correlation].GetCeString(); id != "" {
		reply, err := fromProto(message)
		if err != nil {
			return grpcstatus.Error(codes.Unknown, "")
		}
		in.s.broker.answered(id, reply)
	}
	return nil
}

func (in *incoming) join(message *eventmeshpb.CloudEvent) error {
	f := in.s.fault()
	if f.StallSubscribe {
		<-in.stream.Context().Done()
		return in.stream.Context().Err()
	}
	items, err := itemsOf(message)
	if err != nil || f.RefuseSubscribe {
		return grpcstatus.Error(codes.Unknown, "")
	}
	in.client, in.joined = clientOf(message), true
	in.session = in.newSession(message)
	in.out.Put(statusSuccess.answer(""))
	in.s.broker.join(in.client, &channel{out: in.out, session: in.session}, items)
	return nil
}

func (in *incoming) newSession(message *eventmeshpb.CloudEvent) *eventmeshtest.Session {
	s := &eventmeshtest.Session{Transport: "grpc", User: message.GetAttributes()["username"].GetCeString(), Group: in.client}
	if p, ok := peer.FromContext(in.stream.Context()); ok {
		in.connections.carry(p.Addr.String(), s)
	}
	return s
}

// Heartbeat tells a client whether it is known, which says nothing of its subscriptions.
func (h *heartbeats) Heartbeat(_ context.Context, request *eventmeshpb.CloudEvent) (*eventmeshpb.CloudEvent, error) {
	if !h.s.broker.beat(clientOf(request)) {
		return statusResubscribe.answer(""), nil
	}
	return statusSuccess.answer(""), nil
}
