package eventmesh

import (
	"context"
	"crypto/rand"
	"errors"
	"net/url"

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

	// AckFunc is what Ack calls: nil where there is nothing to acknowledge. It is the transport's.
	AckFunc func() error
	// ReplyFunc is what Reply calls: nil where nobody waits for a reply. It is the transport's.
	ReplyFunc func(context.Context, event.Event) error
}

// Ack tells EventMesh that the event is safe with the receiver. Over gRPC it does nothing, since EventMesh has forgotten
// the event already. Over TCP EventMesh gives an unacknowledged event to another session of the group, or again to this
// one after a reconnect, but only within the 3 to 8 seconds after which it acknowledges by itself. It fails when the session
// that the event came by is over.
func (d *Delivery) Ack() error {
	if d.AckFunc == nil {
		return nil
	}
	return d.AckFunc()
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
