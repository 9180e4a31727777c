package eventmeshtest

import (
	"context"
	"fmt"
	"math/rand/v2"
	"time"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	"github.com/eventing-eventmesh/eventing-eventmesh/pkg/eventmesh/grpc/eventmeshpb"
)

// ratePatience is how long EventMesh waits for a permit of its rate limit before it refuses.
const ratePatience = 100 * time.Millisecond

// publisherService implements publishing; the OneWay methods stay unimplemented, as they are in EventMesh.
type publisherService struct {
	eventmeshpb.UnimplementedPublisherServiceServer
	s     *Server
	limit *limiter
}

// Publish stores an event.
func (p *publisherService) Publish(ctx context.Context, e *eventmeshpb.CloudEvent) (*eventmeshpb.CloudEvent, error) {
	if refusal, err := p.admit(ctx, e); refusal != nil || err != nil {
		return refusal, err
	}
	m, err := toMessage(e)
	if err == nil {
		err = p.s.broker.publish(m)
	}
	if err != nil {
		p.s.refused("publish over gRPC", "14", err)
		return p.finish(ctx, answer(statusSend, exception(err)))
	}
	return p.stored(ctx, answer(statusSuccess, fmt.Sprintf("SendResult[topic=%s, messageId=%d]", m.topic, m.offset)))
}

// RequestReply stores an event and waits for the reply.
func (p *publisherService) RequestReply(ctx context.Context, e *eventmeshpb.CloudEvent) (*eventmeshpb.CloudEvent, error) {
	if refusal, err := p.admit(ctx, e); refusal != nil || err != nil {
		return refusal, err
	}
	reply, err := p.request(ctx, e)
	if err != nil {
		p.s.refused("request over gRPC", "22", err)
		return p.finish(ctx, echo(e, statusRequestReply, err.Error()))
	}
	return p.stored(ctx, reply)
}

func (p *publisherService) request(ctx context.Context, e *eventmeshpb.CloudEvent) (*eventmeshpb.CloudEvent, error) {
	m, err := toMessage(e)
	if err != nil {
		return nil, err
	}
	replies, end, err := p.s.broker.request(m)
	if err != nil {
		return nil, err
	}
	defer end()
	timeout := time.NewTimer(p.s.options.replyTimeout(m))
	defer timeout.Stop()
	select {
	case reply := <-replies:
		return renderGRPC(reply)
	case <-timeout.C:
		return nil, fmt.Errorf("send request message to <%s> OK, but wait reply message timeout", m.topic)
	case <-ctx.Done():
		return nil, context.Cause(ctx)
	}
}

// BatchPublish stores events in no order, and answers success whether that worked or not.
func (p *publisherService) BatchPublish(ctx context.Context, batch *eventmeshpb.CloudEventBatch) (*eventmeshpb.CloudEvent, error) {
	events := batch.GetEvents()
	if len(events) == 0 {
		return nil, status.Error(codes.Unknown, "Application error processing RPC")
	}
	messages := make([]*message, 0, len(events))
	for i, e := range events {
		var refusal *eventmeshpb.CloudEvent
		var err error
		if i == 0 {
			refusal, err = p.admit(ctx, e)
		} else {
			refusal = p.validate(e)
		}
		if refusal != nil || err != nil {
			return refusal, err
		}
		m, err := toMessage(e)
		if err != nil {
			p.s.refused("batchPublish", "10", err)
			return p.finish(ctx, answer(statusBatch, err.Error()))
		}
		messages = append(messages, m)
	}
	rand.Shuffle(len(messages), func(i, j int) { //nolint:gosec // not a secret
		messages[i], messages[j] = messages[j], messages[i]
	})
	for _, m := range messages {
		if err := p.s.broker.publish(m); err != nil {
			p.s.options.Logf("lost %v, and answered success, as batchPublish always does: %v", m, err)
		}
	}
	return p.stored(ctx, answer(statusSuccess, "batch publish success"))
}

// admit applies what comes before an event is looked at; refusal is the answer when it is not to be.
func (p *publisherService) admit(ctx context.Context, e *eventmeshpb.CloudEvent) (refusal *eventmeshpb.CloudEvent, err error) {
	wait, ok := p.limit.reserve(time.Now(), ratePatience)
	if !ok {
		p.s.refused("publish over gRPC", "21", fmt.Errorf("more than %d events a second", p.s.options.RateLimit))
		return p.finish(ctx, echo(e, statusRate, ""))
	}
	if err := pause(ctx, wait); err != nil {
		return nil, err
	}
	if refusal := p.validate(e); refusal != nil {
		return p.finish(ctx, refusal)
	}
	if f := p.s.fault(); f.Refuse != "" {
		s := statusOf(f.Refuse, f.RefuseDescription)
		return p.finish(ctx, answer(s, ""))
	}
	return nil, nil
}

func (p *publisherService) validate(e *eventmeshpb.CloudEvent) *eventmeshpb.CloudEvent {
	if refusal := p.s.validateClient("publish", e); refusal != nil {
		return refusal
	}
	if reason := wrongBody(e); reason != "" {
		p.s.refused("publish over gRPC", "7", fmt.Errorf("%s", reason))
		return answer(statusBody, "")
	}
	return p.s.checkACL("publish", e)
}

// stored answers a publish that worked, or never does when a fault says so.
func (p *publisherService) stored(ctx context.Context, e *eventmeshpb.CloudEvent) (*eventmeshpb.CloudEvent, error) {
	if happens(p.s.fault().LoseAnswers) {
		return nil, pause(ctx, -1)
	}
	return p.finish(ctx, e)
}

// finish answers, later when a fault says so.
func (p *publisherService) finish(ctx context.Context, e *eventmeshpb.CloudEvent) (*eventmeshpb.CloudEvent, error) {
	if err := pause(ctx, p.s.fault().Delay); err != nil {
		return nil, err
	}
	return e, nil
}

// pause waits, without an end when d is negative; a context that has ended is its only error.
func pause(ctx context.Context, d time.Duration) error {
	if d == 0 {
		return nil
	}
	var after <-chan time.Time
	if d > 0 {
		timer := time.NewTimer(d)
		defer timer.Stop()
		after = timer.C
	}
	select {
	case <-after:
		return nil
	case <-ctx.Done():
		return status.FromContextError(ctx.Err()).Err()
	}
}
