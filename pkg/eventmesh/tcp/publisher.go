package tcp

import (
	"context"
	"errors"
	"fmt"
	"io"
	"maps"
	"time"

	"github.com/cloudevents/sdk-go/v2/event"

	"github.com/eventing-eventmesh/eventing-eventmesh/pkg/eventmesh"
	"github.com/eventing-eventmesh/eventing-eventmesh/pkg/eventmesh/tcp/frame"
)

const (
	// maxInFlight is how many unconfirmed publishes a session may have: eventMesh.server.session.upstreamBufferSize in a
	// server's default configuration.
	maxInFlight = 20
	// timeToLive of a published event. A server keeps events by its storage's rules, and looks at this only where a reply is due.
	timeToLive = 24 * time.Hour
)

type publisher struct {
	*connection
	form       eventmesh.Form
	properties map[string]any
	slots      chan struct{}
	ended      chan struct{}
	reason     error
}

// OpenPublisher connects and says hello.
func (Transport) OpenPublisher(ctx context.Context, a eventmesh.Address, c eventmesh.Client) (eventmesh.PublisherSession, error) {
	session, err := connect(ctx, a, c, purposePublish)
	if err != nil {
		return nil, err
	}
	p := &publisher{
		connection: session, form: c.Subscribers.Form(), properties: maps.Clone(properties),
		slots: make(chan struct{}, maxInFlight), ended: make(chan struct{}),
	}
	p.properties["protocoldesc"] = c.Subscribers.Description()
	go func() {
		defer close(p.ended)
		p.reason = p.read()
		_ = p.connection.Close()
	}()
	return p, nil
}

// read finds the answers to calls, until the session has ended.
func (p *publisher) read() error {
	for {
		f, err := p.next()
		if errors.Is(err, io.EOF) {
			return fmt.Errorf("%w: EventMesh closed the connection", eventmesh.ErrNotConnected)
		}
		if err != nil {
			return err
		}
		if err := p.control(f); err != nil {
			return err
		}
	}
}

func (p *publisher) Publish(ctx context.Context, topic string, e event.Event) error {
	body, event, err := p.encode(e, topic, timeToLive)
	if err != nil {
		return err
	}
	release, err := p.acquire(ctx)
	if err != nil {
		return err
	}
	defer release()
	message := frame.Frame{Header: frame.Header{Command: frame.AsyncMessageToServer, Properties: p.properties}, Body: body}
	for {
		attempt, cancel := context.WithTimeout(ctx, ConfirmTimeout)
		_, err := p.call(attempt, message, event)
		cancel()
		if !errors.Is(err, eventmesh.ErrUnconfirmed) || ctx.Err() != nil {
			return err
		}
	}
}

func (p *publisher) Request(ctx context.Context, topic string, e event.Event) (*event.Event, error) {
	ttl := timeToLive
	if deadline, ok := ctx.Deadline(); ok {
		ttl = time.Until(deadline)
	}
	body, _, err := p.encode(e, topic, ttl)
	if err != nil {
		return nil, err
	}
	release, err := p.acquire(ctx)
	if err != nil {
		return nil, err
	}
	defer release()
	answer, err := p.call(ctx, frame.Frame{Header: frame.Header{Command: frame.RequestToServer, Properties: p.properties}, Body: body}, identity{})
	if errors.Is(err, eventmesh.ErrUnconfirmed) {
		return nil, fmt.Errorf("%w: %w", eventmesh.ErrNoReply, ctx.Err())
	}
	if err != nil {
		return nil, err
	}
	wire, err := decode(answer)
	if err != nil {
		return nil, fmt.Errorf("decoding the reply: %w", err)
	}
	reply, _, err := eventmesh.Decode(wire)
	if err != nil {
		return nil, fmt.Errorf("decoding the reply: %w", err)
	}
	acknowledgement := frame.Header{Command: frame.ResponseToClientAck, Sequence: answer.Header.Sequence}
	if err := p.send(frame.Frame{Header: acknowledgement}); err != nil {
		return nil, fmt.Errorf("acknowledging the reply: %w", err)
	}
	return &reply, nil
}

// encode returns the event as the body of a frame, and what its confirmation is told by.
func (p *publisher) encode(e event.Event, topic string, ttl time.Duration) ([]byte, identity, error) {
	wire, err := eventmesh.Encode(e, topic, p.form)
	if err != nil {
		return nil, identity{}, err
	}
	wire.SetExtension("ttl", fmt.Sprint(max(ttl.Milliseconds(), 1)))
	// In base64 EventMesh hands data to gRPC subscribers byte for byte; as JSON it would write it anew.
	wire.DataBase64 = p.form == eventmesh.NativeForm
	body, err := marshalEvent(wire)
	return body, identityOf(wire), err
}

// acquire waits until another publish fits into the session.
func (p *publisher) acquire(ctx context.Context) (release func(), err error) {
	select {
	case p.slots <- struct{}{}:
		return func() { <-p.slots }, nil
	case <-p.done:
		return nil, fmt.Errorf("%w: the connection broke", eventmesh.ErrNotConnected)
	case <-ctx.Done():
		return nil, fmt.Errorf("%w: %d publishes wait for their confirmation: %w", eventmesh.ErrUnconfirmed, maxInFlight, ctx.Err())
	}
}

func (p *publisher) Heartbeat(ctx context.Context) error { return p.heartbeat(ctx) }

func (p *publisher) Wait() error {
	<-p.ended
	return p.reason
}

// Close ends the session, and waits for its goroutine.
func (p *publisher) Close() error {
	err := p.connection.Close()
	<-p.ended
	return err
}
