package next

import (
	"context"
	"errors"
	"strconv"
	"time"

	"google.golang.org/grpc/codes"
	grpcstatus "google.golang.org/grpc/status"
	"google.golang.org/protobuf/types/known/emptypb"

	"github.com/eventing-eventmesh/eventing-eventmesh/pkg/eventmesh/grpc/eventmeshpb"
)

const noTopic = "missing subject(topic)"

// publisher is the part of the bridge that publishes.
type publisher struct {
	eventmeshpb.UnimplementedPublisherServiceServer
	s *Server
}

func topicOf(p *eventmeshpb.CloudEvent) string { return p.GetAttributes()["subject"].GetCeString() }

func (s *Server) refuseGRPC(code status, detail string) *eventmeshpb.CloudEvent {
	s.options.Logf("refused a call with code %s: %s", code.code, detail)
	return code.answer(detail)
}

// answered answers a publish, as late as the faults say, or never.
func (p *publisher) answered(ctx context.Context, failure status, err error) (*eventmeshpb.CloudEvent, error) {
	f := p.s.fault()
	select {
	case <-time.After(f.Delay):
	case <-ctx.Done():
	}
	if err != nil {
		return p.s.refuseGRPC(failure, err.Error()), nil
	}
	if happens(f.LoseAnswers) {
		<-ctx.Done()
		return nil, ctx.Err()
	}
	return statusSuccess.answer(""), nil
}

// refused says that the faults refuse every publish.
func (p *publisher) refused() error {
	f := p.s.fault()
	if f.Refuse == 0 {
		return nil
	}
	return errors.New(orElse(f.RefuseDescription, "refused"))
}

// Publish publishes an event to the topic that its subject is.
func (p *publisher) Publish(ctx context.Context, request *eventmeshpb.CloudEvent) (*eventmeshpb.CloudEvent, error) {
	topic := topicOf(request)
	if topic == "" {
		return p.s.refuseGRPC(statusBody, noTopic), nil
	}
	e, err := fromProto(request)
	if err != nil {
		return p.s.refuseGRPC(statusRuntime, err.Error()), nil
	}
	if err = p.refused(); err == nil {
		err = p.s.broker.publish(topic, e)
	}
	return p.answered(ctx, statusSend, err)
}

// PublishOneWay publishes an event, and says nothing of what the storage has against it.
func (p *publisher) PublishOneWay(_ context.Context, request *eventmeshpb.CloudEvent) (*emptypb.Empty, error) {
	topic := topicOf(request)
	e, err := fromProto(request)
	if topic == "" || err != nil {
		return nil, grpcstatus.Error(codes.Unknown, "")
	}
	_ = p.s.broker.publish(topic, e)
	return &emptypb.Empty{}, nil
}

// BatchPublish publishes all events to the topic of the first.
func (p *publisher) BatchPublish(ctx context.Context, request *eventmeshpb.CloudEventBatch) (*eventmeshpb.CloudEvent, error) {
	if len(request.GetEvents()) == 0 {
		return p.s.refuseGRPC(statusBody, "empty batch"), nil
	}
	topic := topicOf(request.GetEvents()[0])
	if topic == "" {
		return p.s.refuseGRPC(statusBody, noTopic), nil
	}
	events := make([]*event, 0, len(request.GetEvents()))
	for _, one := range request.GetEvents() {
		e, err := fromProto(one)
		if err != nil {
			return p.s.refuseGRPC(statusRuntime, err.Error()), nil
		}
		events = append(events, e)
	}
	failure := p.refused()
	for _, e := range events {
		if p.refused() != nil {
			break
		}
		if err := p.s.broker.publish(topic, e); err != nil {
			failure = err
		}
	}
	return p.answered(ctx, statusBatch, failure)
}

// BatchPublishOneWay publishes as BatchPublish does, and says nothing.
func (p *publisher) BatchPublishOneWay(ctx context.Context, request *eventmeshpb.CloudEventBatch) (*emptypb.Empty, error) {
	_, _ = p.BatchPublish(ctx, request)
	return &emptypb.Empty{}, nil
}

// RequestReply publishes a request, and waits for its ttl, or 10 s, for the reply.
func (p *publisher) RequestReply(ctx context.Context, request *eventmeshpb.CloudEvent) (*eventmeshpb.CloudEvent, error) {
	topic := topicOf(request)
	if topic == "" {
		return p.s.refuseGRPC(statusBody, noTopic), nil
	}
	patience := 10 * time.Second
	if ms, err := strconv.ParseInt(request.GetAttributes()["ttl"].GetCeString(), 10, 64); err == nil {
		patience = time.Duration(ms) * time.Millisecond
	}
	e, err := fromProto(request)
	if err == nil {
		e, err = p.s.broker.ask(ctx, topic, e, patience)
	}
	if err != nil {
		return p.s.refuseGRPC(statusRequestReply, err.Error()), nil
	}
	reply := e.toStream("")
	delete(reply.Attributes, attrDelivery)
	return reply, nil
}
