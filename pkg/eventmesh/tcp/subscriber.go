package tcp

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"strconv"
	"strings"
	"sync/atomic"

	"github.com/cloudevents/sdk-go/v2/event"

	"github.com/eventing-eventmesh/eventing-eventmesh/pkg/eventmesh"
	"github.com/eventing-eventmesh/eventing-eventmesh/pkg/eventmesh/internal/wire"
	"github.com/eventing-eventmesh/eventing-eventmesh/pkg/eventmesh/tcp/frame"
)

type subscriber struct {
	*connection
	topics topicList

	unacknowledged atomic.Int64
	acknowledged   chan struct{} // signals each acknowledgement to Leave
	left           atomic.Bool
}

type topicList struct {
	Topics []topicItem `json:"topicList"`
}

type topicItem struct {
	Topic string         `json:"topic"`
	Mode  eventmesh.Mode `json:"mode"`
	Type  eventmesh.Type `json:"type"`
}

// OpenSubscriber connects, subscribes, and asks for deliveries. It makes topics that are missing, if it is asked to.
func (t Transport) OpenSubscriber(ctx context.Context, a eventmesh.Address, c eventmesh.Client, sub eventmesh.Subscription) (eventmesh.SubscriberSession, error) {
	s, err := openSubscriber(ctx, a, c, sub)
	if sub.MakeTopics && errors.Is(err, eventmesh.ErrMissingTopic) {
		t.makeTopics(ctx, a, c, sub.Topics)
		s, err = openSubscriber(ctx, a, c, sub)
	}
	if err != nil {
		return nil, err
	}
	return s, nil
}

func openSubscriber(ctx context.Context, a eventmesh.Address, c eventmesh.Client, sub eventmesh.Subscription) (*subscriber, error) {
	session, err := connect(ctx, a, c, purposeSubscribe)
	if err != nil {
		return nil, err
	}
	s := &subscriber{connection: session, acknowledged: make(chan struct{}, 1)}
	for _, topic := range sub.Topics {
		s.topics.Topics = append(s.topics.Topics, topicItem{Topic: topic, Mode: sub.Mode, Type: sub.Type})
	}
	if err := s.exchange(ctx, frame.SubscribeRequest, s.topics); err != nil {
		_ = s.Close()
		return nil, fmt.Errorf("subscribing: %w", explain(err, sub.Topics))
	}
	if err := s.exchange(ctx, frame.ListenRequest, nil); err != nil {
		_ = s.Close()
		return nil, fmt.Errorf("listening: %w", err)
	}
	return s, nil
}

func (s *subscriber) Receive() (*eventmesh.Delivery, error) {
	for {
		f, err := s.next()
		if err != nil {
			if s.left.Load() {
				return nil, io.EOF
			}
			return nil, err
		}
		if isDelivery(f.Header.Command) {
			return s.delivery(f), nil
		}
		if err := s.control(f); err != nil {
			return nil, err
		}
	}
}

func (s *subscriber) delivery(f frame.Frame) *eventmesh.Delivery {
	d := &eventmesh.Delivery{Acknowledger: s, Receipt: s.expected(f.Header)}
	carried, err := decode(f)
	if err != nil {
		d.Raw, d.Err = withoutReserved(f.Body), err
		return d
	}
	d.Event, d.Topic, d.Err = wire.Decode(carried)
	switch {
	case d.Err != nil:
		d.Raw = carried.Data()
	case f.Header.Command == frame.RequestToClient:
		sequence := f.Header.Sequence // without the body, to be kept
		d.ReplyFunc = func(_ context.Context, e event.Event) error { return s.reply(sequence, carried, e) }
	}
	return d
}

// reply sends the event as the reply to a request, in the request's protocol.
func (s *subscriber) reply(sequence string, requested, e event.Event) error {
	form, marshal, properties := wire.JSONForm, marshalEvent, properties
	if wire.IsMessage(requested) {
		form, marshal, properties = wire.NativeForm, wire.MarshalMessage, messageProperties
	}
	carried, err := wire.EncodeReply(e, requested, form)
	if err != nil {
		return fmt.Errorf("replying: %w", err)
	}
	body, err := marshal(carried)
	if err != nil {
		return fmt.Errorf("replying: %w", err)
	}
	header := frame.Header{Command: frame.ResponseToServer, Sequence: sequence, Properties: properties}
	if err := s.send(frame.Frame{Header: header, Body: body}); err != nil {
		return fmt.Errorf("replying: %w", err)
	}
	return nil
}

func (s *subscriber) Heartbeat(ctx context.Context) error { return s.heartbeat(ctx) }

// Leave unsubscribes, waits for the acknowledgement of what has been delivered, so that nobody gets it again, and says goodbye.
// It then closes the connection: EventMesh would do so 30 s later. EventMesh 1.12 handles acknowledgements and goodbyes in different
// threads, so that the goodbye now and then overtakes the last acknowledgements, and their events come again.
func (s *subscriber) Leave(ctx context.Context) error {
	body, err := json.Marshal(s.topics)
	if err != nil {
		return fmt.Errorf("encoding subscription: %w", err)
	}
	if _, err := s.call(ctx, frame.Frame{Header: frame.Header{Command: frame.UnsubscribeRequest}, Body: body}); err != nil {
		return err
	}
	for s.unacknowledged.Load() > 0 {
		select {
		case <-s.acknowledged:
		case <-s.done:
			return nil
		case <-ctx.Done():
			return fmt.Errorf("%d deliveries are not acknowledged: %w", s.unacknowledged.Load(), ctx.Err())
		}
	}
	s.left.Store(true)
	defer s.Close()
	_, err = s.call(ctx, frame.Frame{Header: frame.Header{Command: frame.ClientGoodbyeRequest}})
	if errors.Is(err, eventmesh.ErrNotConnected) { // closed before the answer could be read
		return nil
	}
	return err
}

// control handles what a server says besides deliveries and answers. Late answers and unknown commands are no error.
func (c *connection) control(f frame.Frame) error {
	switch f.Header.Command {
	case frame.ServerGoodbyeRequest:
		_ = c.send(frame.Frame{Header: frame.Header{Command: frame.ServerGoodbyeResponse, Sequence: f.Header.Sequence}})
		return fmt.Errorf("%w: EventMesh says goodbye", eventmesh.ErrNotConnected)
	case frame.RedirectToClient:
		var to struct {
			IP   string `json:"ip"` // or a name
			Port uint16 `json:"port"`
		}
		if err := json.Unmarshal(f.Body, &to); err != nil || !isHost(to.IP) || to.Port == 0 {
			return fmt.Errorf("%w: EventMesh redirects to something that is not an address", eventmesh.ErrNotConnected)
		}
		return &wire.RedirectError{Host: net.JoinHostPort(to.IP, strconv.Itoa(int(to.Port)))}
	case frame.ListenResponse: // behind a delivery
		return failure(f)
	default:
		return nil
	}
}

// isHost tells what can be an IP address or a host's name.
func isHost(s string) bool {
	const longest = 253 // characters that a name may have
	return s != "" && len(s) <= longest && !strings.ContainsFunc(s, func(r rune) bool {
		return (r < 'a' || r > 'z') && (r < 'A' || r > 'Z') && (r < '0' || r > '9') && !strings.ContainsRune(".:-_", r)
	})
}
