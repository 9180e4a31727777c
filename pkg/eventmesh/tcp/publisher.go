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
	"github.com/eventing-eventmesh/eventing-eventmesh/pkg/eventmesh/internal/wire"
	"github.com/eventing-eventmesh/eventing-eventmesh/pkg/eventmesh/tcp/frame"
)

// timeToLive of a published event. A server keeps events by its storage's rules, and looks at this only where a reply is due.
const timeToLive = 24 * time.Hour

type publisher struct {
	*connection
	form       wire.Form
	properties map[string]any
	window     window
	ended      chan struct{}
	reason     error
}

// OpenPublisher connects and says hello.
func (Transport) OpenPublisher(ctx context.Context, a eventmesh.Address, c eventmesh.Client) (eventmesh.PublisherSession, error) {
	session, err := connect(ctx, a, c, purposePublish)
	if err != nil {
		return nil, err
	}
	return newPublisher(session, c.Rendering), nil
}

func newPublisher(c *connection, rendering wire.Rendering) *publisher {
	p := &publisher{
		connection: c, form: rendering.Form, properties: maps.Clone(properties),
		window: newWindow(), ended: make(chan struct{}),
	}
	p.properties["protocoldesc"] = rendering.Description
	go func() {
		defer close(p.ended)
		p.reason = p.read()
		if p.window.exhausted.Load() {
			p.reason = fmt.Errorf("%w: EventMesh has no permit left for a publish of the session", eventmesh.ErrNotConnected)
		}
		_ = p.connection.Close()
	}()
	return p
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
	message := frame.Frame{Header: frame.Header{Command: frame.AsyncMessageToServer, Properties: p.properties}, Body: body}
	return p.permitted(ctx, func() error {
		err := p.confirm(ctx, message, event, 0)
		for repeats := 1; errors.Is(err, eventmesh.ErrUnconfirmed) && ctx.Err() == nil; repeats++ {
			err = p.confirm(ctx, message, event, repeats)
		}
		return err
	})
}

// confirm publishes once, and fails with ErrUnconfirmed when no confirmation has come within [ConfirmTimeout], or while grace
// went by twice, in the first of which a later publish to the topic was confirmed.
func (p *publisher) confirm(ctx context.Context, message frame.Frame, event identity, repeats int) error {
	own, err := p.begin(message, event)
	if err != nil {
		return err
	}
	defer p.forget(own)
	grace := min(overtakenGrace<<min(repeats, 4), ConfirmTimeout)
	timer := time.NewTimer(grace)
	defer timer.Stop()
	began, overtaken := time.Now(), false
	for {
		_, err := p.await(ctx, own, timer.C)
		switch {
		case repeats == 1 && isTooFast(err) && !p.window.leaks():
			p.expect(own) // EventMesh may be slow, and still be at what was sent before
		case !errors.Is(err, eventmesh.ErrUnconfirmed) || ctx.Err() != nil || time.Since(began) >= ConfirmTimeout:
			return err
		case overtaken:
			p.window.lost.Add(1)
			return err
		default:
			overtaken = p.overtaken(own)
			timer.Reset(grace)
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
	message := frame.Frame{Header: frame.Header{Command: frame.RequestToServer, Properties: p.properties}, Body: body}
	var answer frame.Frame
	err = p.permitted(ctx, func() (err error) {
		answer, err = p.call(ctx, message)
		return err
	})
	if errors.Is(err, eventmesh.ErrUnconfirmed) {
		return nil, fmt.Errorf("%w: %w", eventmesh.ErrNoReply, ctx.Err())
	}
	if err != nil {
		return nil, err
	}
	acknowledgement := frame.Header{Command: frame.ResponseToClientAck, Sequence: answer.Header.Sequence}
	if err := p.send(frame.Frame{Header: acknowledgement}); err != nil {
		return nil, fmt.Errorf("acknowledging the reply: %w", err)
	}
	return wire.DecodeReply(decode(answer))
}

// encode returns the event as the body of a frame, and what its confirmation is told by.
func (p *publisher) encode(e event.Event, topic string, ttl time.Duration) ([]byte, identity, error) {
	carried, err := wire.Encode(e, topic, p.form)
	if err != nil {
		return nil, identity{}, err
	}
	carried.SetExtension("ttl", fmt.Sprint(max(ttl.Milliseconds(), 1)))
	// In base64 EventMesh hands data to gRPC subscribers byte for byte; as JSON it would write it anew.
	carried.DataBase64 = p.form == wire.NativeForm
	body, err := marshalEvent(carried)
	return body, identityOf(carried), err
}

// permitted publishes when there is room in the window, again where EventMesh had no permit for it, and ends the session when it has
// none for any: the next session has new ones.
func (p *publisher) permitted(ctx context.Context, publish func() error) error {
	for {
		if err := p.window.enter(ctx, p.done); err != nil {
			return err
		}
		err := publish()
		if !isTooFast(err) {
			p.window.leave()
			return err
		}
		if p.window.rest() {
			_ = p.connection.Close()
		}
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
