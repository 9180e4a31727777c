package eventmeshtest

import (
	"context"
	"errors"
	"fmt"
	"io"
	"sync/atomic"

	"github.com/eventing-eventmesh/eventing-eventmesh/pkg/eventmesh/grpc/eventmeshpb"
)

// consumerService implements subscribing; webhooks stay unimplemented.
type consumerService struct {
	eventmeshpb.UnimplementedConsumerServiceServer
	s *Server
}

// SubscribeStream sends what the stream's client has subscribed to. The receiving half is a goroutine of the server's, for
// it blocks until this method, which sends, has returned.
func (c *consumerService) SubscribeStream(rpc eventmeshpb.ConsumerService_SubscribeStreamServer) error {
	ctx := rpc.Context()
	st := newStream(ctx)
	var gone atomic.Bool // which the context may tell a moment later
	c.s.wait.Go(func() {
		for {
			e, err := rpc.Recv()
			if err != nil {
				gone.Store(!errors.Is(err, io.EOF))
				st.end()
				return
			}
			c.handle(st, e)
		}
	})
	defer func() {
		how := Completed
		if ctx.Err() != nil || gone.Load() {
			how = Gone
		}
		c.s.broker.end(st.session, how)
		st.end()
		for _, left := range st.out.Drain() {
			c.s.lostOutgoing(left, "its stream ended before it was sent")
		}
	}()
	for {
		next, ok := st.out.Take(ctx)
		if !ok {
			return ctx.Err()
		}
		if err := rpc.Send(next.event); err != nil {
			gone.Store(true)
			c.s.lostOutgoing(next, "writing to its stream failed")
			return err
		}
	}
}

func (c *consumerService) handle(st *stream, e *eventmeshpb.CloudEvent) {
	if wireString(e, "submessagetype") == "subscription_reply" {
		if refusal := c.reply(e); refusal != nil {
			st.send(refusal)
			st.end()
		}
		return
	}
	if c.s.fault().StallSubscribe {
		return
	}
	if refusal := c.subscribe(st, e); refusal != nil {
		st.send(refusal)
		st.end()
	}
}

var errSubscribeFault = errors.New("a fault refuses every subscription")

func (c *consumerService) subscribe(st *stream, e *eventmeshpb.CloudEvent) *eventmeshpb.CloudEvent {
	if refusal := c.s.validateClient("subscribe", e); refusal != nil {
		return refusal
	}
	items, reason, err := subscriptionOf(e)
	for _, i := range items {
		if i.Mode == "" {
			err = errors.New("subscription mode is null")
		}
	}
	if c.s.fault().RefuseSubscribe {
		err = errSubscribeFault
	}
	switch {
	case err != nil:
		c.s.refused("subscribe", "17", err)
		return echo(e, statusSubscribe, err.Error())
	case reason != "":
		c.s.refused("subscribe", "7", errors.New(reason))
		return answer(statusBody, "")
	}
	if refusal := c.s.checkACL("subscribe", e); refusal != nil {
		return echo(e, statusACL, "")
	}
	c.s.broker.subscribeStream(st, identify(e), wireString(e, "username"), items, echo(e, statusSuccess, "subscribe success"))
	return nil
}

// reply takes a reply to a request; a refusal ends the stream.
func (c *consumerService) reply(e *eventmeshpb.CloudEvent) *eventmeshpb.CloudEvent {
	if missing := missingClientAttribute(e); missing != "" {
		c.s.refused("reply", "6", fmt.Errorf("attribute %s is missing", missing))
		return echo(e, statusHeader, "")
	}
	if reason := wrongBody(e); reason != "" {
		c.s.refused("reply", "7", errors.New(reason))
		return echo(e, statusBody, "")
	}
	m, err := toMessage(e)
	if err == nil {
		cluster := wireString(e, "cluster")
		if cluster == "" {
			cluster = "defaultCluster"
		}
		m.set(attrSubject, cluster+"-rr-reply-topic")
		m.topic = m.attribute(attrSubject)
		err = c.s.broker.reply(m)
	}
	if err != nil {
		c.s.refused("reply", "15", err)
		return echo(e, statusReply, err.Error())
	}
	return nil
}

// Unsubscribe takes a client out of its group, and ends the streams of everybody else in it.
func (c *consumerService) Unsubscribe(ctx context.Context, e *eventmeshpb.CloudEvent) (*eventmeshpb.CloudEvent, error) {
	if c.s.fault().StallUnsubscribe {
		return nil, pause(ctx, -1)
	}
	if refusal := c.s.validateClient("unsubscribe", e); refusal != nil {
		return refusal, nil
	}
	items, reason, err := subscriptionOf(e)
	switch {
	case err != nil:
		c.s.refused("unsubscribe", "18", err)
		return answer(statusUnsubscribe, err.Error()), nil
	case reason != "":
		c.s.refused("unsubscribe", "7", errors.New(reason))
		return answer(statusBody, ""), nil
	}
	c.s.broker.unsubscribeStream(identify(e), items)
	return answer(statusSuccess, "unsubscribe success"), nil
}
