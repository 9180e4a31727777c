package grpc

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"time"

	"github.com/cloudevents/sdk-go/v2/event"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/connectivity"
	"google.golang.org/grpc/status"

	"github.com/eventing-eventmesh/eventing-eventmesh/pkg/eventmesh"
	pb "github.com/eventing-eventmesh/eventing-eventmesh/pkg/eventmesh/grpc/eventmeshpb"
	"github.com/eventing-eventmesh/eventing-eventmesh/pkg/eventmesh/internal/wire"
)

// timeToLive of a published event. A server keeps events by its storage's rules, and looks at this only where a reply is due.
const timeToLive = 24 * time.Hour

// windowBytes may be under way from the server before they are read. Where it is not set the library asks the server for a ping
// with every answer, to find a better one. Confirmations have some hundred bytes, and gain nothing from that.
const windowBytes = 1 << 20

// published is the lifetime of an event that nobody replies to.
var published = milliseconds(timeToLive)

type publisher struct {
	conn      *grpc.ClientConn
	alive     pb.HeartbeatServiceClient
	client    attributes
	encoded   encoded // the client's attributes
	form      wire.Form
	ctx       context.Context
	cancelAll context.CancelFunc
}

// OpenPublisher connects, and asks for one answer of the server.
func (Transport) OpenPublisher(ctx context.Context, a eventmesh.Address, c eventmesh.Client) (eventmesh.PublisherSession, error) {
	client := publisherAttributes(c)
	encoded, err := encodeAttributes(client)
	if err != nil {
		return nil, err
	}
	conn, err := dial(a, c, grpc.WithStaticStreamWindowSize(windowBytes), grpc.WithStaticConnWindowSize(windowBytes))
	if err != nil {
		return nil, err
	}
	p := &publisher{
		conn: conn, alive: pb.NewHeartbeatServiceClient(conn),
		client: client, encoded: encoded, form: c.Rendering.Form,
	}
	p.ctx, p.cancelAll = context.WithCancel(context.Background())
	answer, err := p.ask(ctx)
	if err != nil {
		_ = p.Close()
		return nil, err
	}
	if isOfBridge(answer) {
		p.form = wire.BridgeForm
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

// publisherAttributes are those that a publisher adds to every message.
func publisherAttributes(c eventmesh.Client) attributes {
	client := clientAttributes(c)
	maps.Copy(client, attributes{
		"producergroup": text(c.Group),
		"protocoltype":  text(protocolType), "protocolversion": text(protocolVersion), "protocoldesc": text(c.Rendering.Description),
	})
	return client
}

func (p *publisher) Publish(ctx context.Context, topic string, e event.Event) error {
	m, err := p.message(e, topic, 0)
	if err != nil {
		return err
	}
	var answer outcome
	err = p.invoke(ctx, pb.PublisherService_Publish_FullMethodName, m, &answer)
	return check(answer, err)
}

func (p *publisher) Request(ctx context.Context, topic string, e event.Event) (*event.Event, error) {
	patience := timeToLive
	if deadline, ok := ctx.Deadline(); ok {
		patience = max(time.Until(deadline), time.Millisecond)
	}
	m, err := p.message(e, topic, patience)
	if err != nil {
		return nil, err
	}
	answer := &pb.CloudEvent{}
	if err := p.invoke(ctx, pb.PublisherService_RequestReply_FullMethodName, m, answer); err != nil {
		if err = callError(err); errors.Is(err, context.DeadlineExceeded) {
			err = fmt.Errorf("%w: %w", eventmesh.ErrNoReply, context.DeadlineExceeded)
		}
		return nil, err
	}
	if _, told := answer.GetAttributes()[keyStatus]; told { // as a reply has none
		if err := check(outcomeOf(answer), nil); err != nil {
			return nil, err
		}
	}
	if p.form == wire.BridgeForm {
		return wire.DecodeReplyHTTP(fromProto(answer))
	}
	return wire.DecodeReply(fromProto(answer))
}

// invoke calls a method of the server. gRPC reports the end of the session as if the caller had ended the call.
func (p *publisher) invoke(ctx context.Context, method string, request, answer any) error {
	err := p.conn.Invoke(ctx, method, request, answer)
	if status.Code(err) == codes.Canceled && ctx.Err() == nil {
		return status.Error(codes.Unavailable, "the connection broke")
	}
	return err
}

// message returns an event, with the patience for the reply where one is due.
func (p *publisher) message(e event.Event, topic string, patience time.Duration) (encoded, error) {
	carried, err := wire.Encode(e, topic, p.form)
	if err != nil {
		return nil, err
	}
	if p.form == wire.BridgeForm {
		return encodeBridge(carried, patience)
	}
	ttl := published
	if patience > 0 {
		ttl = milliseconds(patience)
	}
	const own = 128 // bytes of what follows, besides the client's attributes
	m, err := encode(carried, own+len(p.encoded))
	if err != nil {
		return nil, err
	}
	id := unique()
	m = m.attribute("uniqueid", id).attribute("seqnum", id).attribute("ttl", ttl)
	m = append(m, p.encoded...)
	return m, checkSize(m)
}

// Heartbeat asks the server for any answer: it keeps no sessions of publishers, and refuses their heartbeats.
func (p *publisher) Heartbeat(ctx context.Context) error {
	_, err := p.ask(ctx)
	return err
}

func (p *publisher) ask(ctx context.Context) (*pb.CloudEvent, error) {
	answer, err := p.alive.Heartbeat(ctx, control(p.client, "[]", attributes{"clienttype": integer(clientPublisher)}))
	if err != nil {
		return nil, callError(err)
	}
	return answer, nil
}

// Wait watches the connection: with the first change from ready it is over, though gRPC may have another one before that is seen.
func (p *publisher) Wait() error {
	if p.conn.GetState() == connectivity.Ready {
		p.conn.WaitForStateChange(p.ctx, connectivity.Ready)
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
