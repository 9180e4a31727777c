package http

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"net/http"
	"strconv"
	"time"

	"github.com/cloudevents/sdk-go/v2/event"

	"github.com/eventing-eventmesh/eventing-eventmesh/internal/jsonevent"
	"github.com/eventing-eventmesh/eventing-eventmesh/pkg/eventmesh"
	"github.com/eventing-eventmesh/eventing-eventmesh/pkg/eventmesh/internal/wire"
)

// requestTimeout is how long EventMesh waits for a reply where the caller has no deadline.
const requestTimeout = 30 * time.Second

type publisher struct{ *session }

// OpenPublisher asks for one answer of the server.
func (t Transport) OpenPublisher(ctx context.Context, a eventmesh.Address, c eventmesh.Client) (eventmesh.PublisherSession, error) {
	p := publisher{t.newSession(a, c)}
	if err := p.Heartbeat(ctx); err != nil {
		_ = p.Close()
		return nil, err
	}
	return p, nil
}

// Publish returns nil when EventMesh's storage has the event. How safe it is there depends on the storage: in memory it lives as long as
// EventMesh.
func (p publisher) Publish(ctx context.Context, topic string, e event.Event) error {
	body, err := encode(e, topic)
	if err != nil {
		return err
	}
	answer, err := p.post(ctx, pathPublish+"?topic="+topic, body)
	if err != nil {
		return p.unanswered(ctx, err)
	}
	if answer.status == http.StatusBadRequest {
		return &eventmesh.RefusalError{Kind: eventmesh.ErrInvalidEvent, Code: strconv.Itoa(answer.status), Reason: answer.reason()}
	}
	return answer.expect(http.StatusAccepted)
}

// Request publishes an event by whose correlation ID the server finds who waits.
func (p publisher) Request(ctx context.Context, topic string, e event.Event) (*event.Event, error) {
	if err := validateTopic(topic); err != nil {
		return nil, err
	}
	carried, err := wire.Encode(e, topic, wire.HTTPForm)
	if err != nil {
		return nil, err
	}
	carried.SetExtension(wire.CorrelationID, rand.Text()) // the server's own ones begin anew with it
	body, err := marshal(carried)
	if err != nil {
		return nil, err
	}
	patience := requestTimeout
	if deadline, ok := ctx.Deadline(); ok {
		patience = max(time.Until(deadline), time.Millisecond)
	}
	answer, err := p.do(ctx, http.MethodPost, pathRequest+"?topic="+topic+"&timeoutMs="+strconv.FormatInt(patience.Milliseconds(), 10), body)
	switch {
	case errors.Is(err, context.DeadlineExceeded), err == nil && answer.status == http.StatusGatewayTimeout:
		return nil, fmt.Errorf("%w: %w", eventmesh.ErrNoReply, context.DeadlineExceeded)
	case err != nil:
		return nil, p.unanswered(ctx, err)
	}
	if err := answer.expect(http.StatusOK); err != nil {
		return nil, err
	}
	return wire.DecodeReplyHTTP(jsonevent.Unmarshal(answer.body, nil))
}

// unanswered says what is wrong when a request has no answer: with the session, which ends then, or with that request alone.
func (p publisher) unanswered(ctx context.Context, err error) error {
	switch {
	case errors.Is(err, eventmesh.ErrNotConnected):
	case !errors.Is(err, errNoAnswer):
		return err
	case p.Heartbeat(ctx) == nil:
		return fmt.Errorf("%w: %w", eventmesh.ErrUnconfirmed, err)
	case ctx.Err() != nil:
		return ctx.Err()
	default:
		err = fmt.Errorf("%w: %w", eventmesh.ErrNotConnected, err)
	}
	p.fail(err)
	return err
}

// Heartbeat asks for the events of a client that there is not, which every server answers at once.
func (p publisher) Heartbeat(ctx context.Context) error { return p.alive(ctx) }
