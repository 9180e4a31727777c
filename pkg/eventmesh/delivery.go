package eventmesh

import (
	"context"
	"crypto/rand"
	"errors"
	"net/url"
	"slices"

	"github.com/cloudevents/sdk-go/v2/event"

	"github.com/eventing-eventmesh/eventing-eventmesh/pkg/eventmesh/internal/wire"
)

// Delivery is one event as EventMesh delivered it. Its methods may be called from several goroutines.
type Delivery struct {
	// Event is the event as its publisher made it, without what EventMesh added.
	Event event.Event
	// Topic is where it was published, empty where EventMesh did not say.
	Topic string
	// Err says why there is no event: what came could not be decoded, and no other attempt will change that.
	Err error
	// Raw is what came, where Err is set, without the publisher's credentials that EventMesh hands on.
	Raw []byte

	// Acknowledger is the session that the event came by, nil where there is nothing to acknowledge, and Receipt what it knows the
	// delivery by. Both are the transport's.
	Acknowledger Acknowledger
	Receipt      any
	// ReplyFunc is what Reply calls: nil where nobody waits for a reply. It is the transport's.
	ReplyFunc func(context.Context, event.Event) error
}

// Acknowledger is a session whose deliveries can be acknowledged. The first call for a delivery counts; others do nothing.
type Acknowledger interface {
	// Acknowledge acknowledges deliveries of this session. The context bounds the wait for an answer, where there is one.
	Acknowledge(ctx context.Context, deliveries []*Delivery) error
	// Release gives one back. Where EventMesh knows no such thing, it does not say anything to EventMesh.
	Release(ctx context.Context, d *Delivery) error
}

// Acknowledge tells EventMesh that the events of deliveries are safe with the receiver: in one write or request for all that came by
// one session, where the transport can. After an error EventMesh may deliver some of them again. [Delivery.Ack] says more.
func Acknowledge(ctx context.Context, deliveries ...*Delivery) error {
	var failures error
	for len(deliveries) > 0 {
		by := deliveries[0].Acknowledger
		n := slices.IndexFunc(deliveries, func(d *Delivery) bool { return d.Acknowledger != by })
		if n < 0 {
			n = len(deliveries)
		}
		if by != nil {
			failures = errors.Join(failures, by.Acknowledge(ctx, deliveries[:n]))
		}
		deliveries = deliveries[n:]
	}
	return failures
}

// Ack tells EventMesh that the event is safe with the receiver. Over gRPC it does nothing, since EventMesh has forgotten
// the event already. Over TCP EventMesh gives an unacknowledged event to another session of the group, or again to this
// one after a reconnect, but only within the 3 to 8 seconds after which it acknowledges by itself. It fails when the session
// that the event came by is over. A second call does nothing.
func (d *Delivery) Ack(ctx context.Context) error { return Acknowledge(ctx, d) }

// Release gives the event back instead of acknowledging it. EventMesh 1.12 has no word for that: over TCP an event that was released
// goes to another session of the group when this one ends, if that is within the seconds of [Delivery.Ack], and [Subscriber.Leave] does
// not wait for its acknowledgement; over gRPC EventMesh has forgotten it.
func (d *Delivery) Release(ctx context.Context) error {
	if d.Acknowledger == nil {
		return nil
	}
	return d.Acknowledger.Release(ctx, d)
}

// Reply answers a request, the event of a [Sync] subscription.
func (d *Delivery) Reply(ctx context.Context, e event.Event) error {
	if d.ReplyFunc == nil {
		return errors.New("replying: nobody waits for a reply to an asynchronous event")
	}
	return d.ReplyFunc(ctx, e)
}

// InvalidReplyType is the type of the event that [Delivery.ReplyInvalid] replies with.
const InvalidReplyType = wire.InvalidReplyType

// invalidReply is an extension of such an event: of a message in EventMesh's own protocol it is all that tells it from a reply.
const invalidReply = "invalidreply"

// ReplyInvalid answers a request to which there is no usable reply, and says why, which must hold nothing that is secret:
// [Publisher.Request] fails with an ErrInvalidReply, and other requesters get an event of type [InvalidReplyType] with the reason as
// data, in text/plain, and the extension invalidreply, which is "true".
func (d *Delivery) ReplyInvalid(ctx context.Context, reason error) error {
	e := event.New()
	e.SetID(rand.Text())
	e.SetSource("eventmesh:" + url.PathEscape(d.Topic))
	e.SetType(InvalidReplyType)
	e.SetExtension(invalidReply, "true")
	e.SetDataContentType(event.TextPlain)
	e.DataEncoded = []byte(wire.StartOf(reason.Error()))
	return d.Reply(ctx, e)
}
