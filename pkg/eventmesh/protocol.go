package eventmesh

import (
	"context"
	"errors"
	"fmt"
	"io"
	"sync/atomic"

	"github.com/cloudevents/sdk-go/v2/binding"
	"github.com/cloudevents/sdk-go/v2/protocol"
)

// Protocol makes a Publisher and a Subscriber, or one of them, a protocol of the CloudEvents SDK, for its client:
//
//	client, err := cloudevents.NewClient(&eventmesh.Protocol{Publisher: publisher, Topic: "orders"})
//
// A message that was received is acknowledged by Finish(nil). After Finish with an error it is not, with what that means for the
// transport: see [Delivery.Ack].
type Protocol struct {
	// Publisher is for Send and Request.
	Publisher *Publisher
	// Subscriber is for Receive.
	Subscriber *Subscriber
	// Topic is where Send and Request publish, unless the context names one: see [WithTopic].
	Topic string

	opened atomic.Bool
}

var (
	_ protocol.Sender    = (*Protocol)(nil)
	_ protocol.Requester = (*Protocol)(nil)
	_ protocol.Receiver  = (*Protocol)(nil)
	_ protocol.Opener    = (*Protocol)(nil)
	_ protocol.Closer    = (*Protocol)(nil)
)

type topicKey struct{}

// WithTopic returns a context with which a Protocol publishes to topic.
func WithTopic(ctx context.Context, topic string) context.Context {
	return context.WithValue(ctx, topicKey{}, topic)
}

func (p *Protocol) topic(ctx context.Context) string {
	if topic, ok := ctx.Value(topicKey{}).(string); ok {
		return topic
	}
	return p.Topic
}

var errNoPublisher = errors.New("the protocol has no publisher")

// Send publishes the message's event, and finishes the message. It fails as [Publisher.Publish] does.
func (p *Protocol) Send(ctx context.Context, m binding.Message, transformers ...binding.Transformer) (err error) {
	defer func() { err = finish(m, err) }()
	if p.Publisher == nil {
		return errNoPublisher
	}
	e, err := binding.ToEvent(ctx, m, transformers...)
	if err != nil {
		return fmt.Errorf("%w: %w", ErrInvalidEvent, err)
	}
	return p.Publisher.Publish(ctx, p.topic(ctx), *e)
}

// Request publishes the message's event, finishes the message, and returns the reply. It fails as [Publisher.Request] does.
func (p *Protocol) Request(ctx context.Context, m binding.Message, transformers ...binding.Transformer) (reply binding.Message, err error) {
	defer func() { err = finish(m, err) }()
	if p.Publisher == nil {
		return nil, errNoPublisher
	}
	e, err := binding.ToEvent(ctx, m, transformers...)
	if err != nil {
		return nil, fmt.Errorf("%w: %w", ErrInvalidEvent, err)
	}
	answer, err := p.Publisher.Request(ctx, p.topic(ctx), *e)
	if err != nil {
		return nil, err
	}
	return (*binding.EventMessage)(answer), nil
}

// finish tells the message how it went, and returns the first error.
func finish(m binding.Message, err error) error {
	if finishing := m.Finish(err); err == nil {
		return finishing
	}
	return err
}

// OpenInbound blocks until the context ends: the Subscriber connects by itself. Close or [Subscriber.Leave] end Receive.
func (p *Protocol) OpenInbound(ctx context.Context) error {
	if p.Subscriber == nil {
		return errors.New("the protocol has no subscriber")
	}
	if p.opened.Swap(true) {
		return errors.New("the protocol is open already")
	}
	defer p.opened.Store(false)
	<-ctx.Done()
	return nil
}

// Receive returns the next message, and io.EOF once the Subscriber is closed. What is no event is returned as an error, once, and
// acknowledged.
func (p *Protocol) Receive(ctx context.Context) (binding.Message, error) {
	if p.Subscriber == nil {
		return nil, io.EOF // OpenInbound says why
	}
	d, err := p.Subscriber.Receive(ctx)
	switch {
	case errors.Is(err, ErrClosed), ctx.Err() != nil:
		return nil, io.EOF
	case err != nil:
		return nil, err
	case d.Err != nil:
		return nil, errors.Join(d.Err, d.Ack())
	}
	return binding.WithFinish((*binding.EventMessage)(&d.Event), func(err error) {
		if err == nil {
			_ = d.Ack() // that it comes again is all that can follow, and at least once allows it
		}
	}), nil
}

// Close closes both the Publisher and the Subscriber.
func (p *Protocol) Close(context.Context) error {
	var errs []error
	if p.Publisher != nil {
		errs = append(errs, p.Publisher.Close())
	}
	if p.Subscriber != nil {
		errs = append(errs, p.Subscriber.Close())
	}
	return errors.Join(errs...)
}
