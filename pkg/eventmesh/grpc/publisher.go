package grpc

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"time"

	"github.com/cloudevents/sdk-go/v2/event"
	"google.golang.org/grpc"
	"google.golang.org/grpc/connectivity"

	"github.com/eventing-eventmesh/eventing-eventmesh/pkg/eventmesh"
	pb "github.com/eventing-eventmesh/eventing-eventmesh/pkg/eventmesh/grpc/eventmeshpb"
)

// timeToLive of a published event. A server keeps events by its storage's rules, and looks at this only where a reply is due.
const timeToLive = 24 * time.Hour

type publisher struct {
	conn      *grpc.ClientConn
	publish   pb.PublisherServiceClient
	alive     pb.HeartbeatServiceClient
	client    attributes
	form      eventmesh.Form
	ctx       context.Context
	cancelAll context.CancelFunc
}

// OpenPublisher connects, and asks for one answer of the server.
func (Transport) OpenPublisher(ctx context.Context, a eventmesh.Address, c eventmesh.Client) (eventmesh.PublisherSession, error) {
	conn, err := dial(a, c)
	if err != nil {
		return nil, err
	}
	p := &publisher{
		conn: conn, publish: pb.NewPublisherServiceClient(conn), alive: pb.NewHeartbeatServiceClient(conn),
		client: clientAttributes(c), form: c.Subscribers.Form(),
	}
	maps.Copy(p.client, attributes{
		"producergroup": text(c.Group),
		"protocoltype":  text(protocolType), "protocolversion": text(protocolVersion), "protocoldesc": text(c.Subscribers.Description()),
	})
	p.ctx, p.cancelAll = context.WithCancel(context.Background())
	if err := p.Heartbeat(ctx); err != nil {
		_ = p.Close()
		return nil, err
	}
	// The first call can be answered before the connection calls itself ready, which Wait relies on.
	for state := conn.GetState(); state != connectivity.Ready; state = conn.GetState() {
		if !conn.WaitForStateChange(ctx, state) {
			_ = p.Close()
			return nil, fmt.Errorf("%w: %w", eventmesh.ErrNotConnected, ctx.Err())
		}
	}
	return p, nil
}

func (p *publisher) Publish(ctx context.Context, topic string, e event.Event) error {
	m, err := p.message(e, topic)
	if err != nil {
		return err
	}
	m.Attributes["ttl"] = milliseconds(timeToLive)
	if err := checkSize(m); err != nil {
		return err
	}
	return check(p.publish.Publish(ctx, m))
}

func (p *publisher) Request(ctx context.Context, topic string, e event.Event) (*event.Event, error) {
	m, err := p.message(e, topic)
	if err != nil {
		return nil, err
	}
	wait := timeToLive
	if deadline, ok := ctx.Deadline(); ok {
		wait = time.Until(deadline)
	}
	m.Attributes["ttl"] = milliseconds(wait)
	if err := checkSize(m); err != nil {
		return nil, err
	}
	answer, err := p.publish.RequestReply(ctx, m)
	if err != nil {
		if err = callError(err); errors.Is(err, context.DeadlineExceeded) {
			err = fmt.Errorf("%w: %w", eventmesh.ErrNoReply, context.DeadlineExceeded)
		}
		return nil, err
	}
	if err := refusal(answer); err != nil {
		return nil, err
	}
	wire, err := fromProto(answer)
	if err != nil {
		return nil, fmt.Errorf("decoding the reply: %w", err)
	}
	reply, _, err := eventmesh.Decode(wire)
	if err != nil {
		return nil, fmt.Errorf("decoding the reply: %w", err)
	}
	return &reply, nil
}

func (p *publisher) message(e event.Event, topic string) (*pb.CloudEvent, error) {
	wire, err := eventmesh.Encode(e, topic, p.form)
	if err != nil {
		return nil, err
	}
	m, err := toProto(wire, p.client)
	if err != nil {
		return nil, err
	}
	m.Attributes["uniqueid"] = text(unique())
	m.Attributes["seqnum"] = text(unique())
	return m, nil
}

// Heartbeat asks the server for any answer: it keeps no sessions of publishers, and refuses their heartbeats.
func (p *publisher) Heartbeat(ctx context.Context) error {
	_, err := p.alive.Heartbeat(ctx, control(p.client, "[]", attributes{"clienttype": integer(clientPublisher)}))
	if err != nil {
		return callError(err)
	}
	return nil
}

// Wait watches the connection: with the first change from ready it is over.
func (p *publisher) Wait() error {
	for state := p.conn.GetState(); state == connectivity.Ready; state = p.conn.GetState() {
		if !p.conn.WaitForStateChange(p.ctx, state) {
			return eventmesh.ErrClosed
		}
	}
	if p.ctx.Err() != nil {
		return eventmesh.ErrClosed
	}
	return fmt.Errorf("%w: the connection broke", eventmesh.ErrNotConnected)
}

func (p *publisher) Close() error {
	p.cancelAll()
	return p.conn.Close()
}
