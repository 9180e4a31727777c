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
	// Err, if set, says why there is no event: EventMesh delivered something that cannot be decoded, now or later.
	Err error
	// Raw is what EventMesh delivered, if Err is set, without the publisher's credentials.
	Raw []byte

	// The transport sets these: Acknowledger, if it acknowledges, a Receipt that it knows the delivery by, and ReplyFunc for a request.
	Acknowledger Acknowledger
	Receipt      any
	ReplyFunc    func(context.Context, event.Event) error
}

// Acknowledger is a session whose deliveries can be acknowledged. Only the first call for a delivery has an effect.
type Acknowledger interface {
	// Acknowledge acknowledges deliveries of this session. The context bounds the wait for an answer, if the transport has one.
	Acknowledge(ctx context.Context, deliveries []*Delivery) error
	// Release gives a delivery back, if the transport can.
	Release(ctx context.Context, d *Delivery) error
}

// Acknowledge tells EventMesh that the receiver has the events safe, in one write for all that came by one session. Over gRPC it does
// nothing: EventMesh has forgotten them already. Over TCP EventMesh gives an event that is not acknowledged to another session of the
// group, or to this client after a reconnect, within the 3 to 8 seconds after which it acknowledges by itself. Over HTTP it delivers the event again after 30 s, to any member of the
// group, and gives it up after 180 s. An error means that some
// events may come again: their session is over. Acknowledging a second time does nothing.
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

// Ack acknowledges one delivery, as [Acknowledge] does.
func (d *Delivery) Ack(ctx context.Context) error { return Acknowledge(ctx, d) }

// Release gives the event back instead of acknowledging it, and [Subscriber.Leave] does not wait for it. EventMesh has no message for that:
// over TCP the event goes to another session of the group if this one ends within those 3 to 8 seconds, over HTTP to any member after 30 s,
// and over gRPC nothing happens.
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

// invalidReply is an extension of such an event: of a message in EventMesh's own protocol it is all that tells it from a reply.
const invalidReply = "invalidreply"

// ReplyInvalid tells a requester why it gets no reply; the reason must not hold secrets. [Publisher.Request] then fails with
// ErrInvalidReply. Other requesters get an event of [InvalidReplyType]: its data is the reason, in text/plain, its extension
// invalidreply is "true".
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
