package contract

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/cloudevents/sdk-go/v2/event"
	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials/insecure"

	"github.com/eventing-eventmesh/eventing-eventmesh/pkg/eventmesh"
	pb "github.com/eventing-eventmesh/eventing-eventmesh/pkg/eventmesh/grpc/eventmeshpb"
	"github.com/eventing-eventmesh/eventing-eventmesh/pkg/eventmesh/internal/wire"
	"github.com/eventing-eventmesh/eventing-eventmesh/pkg/eventmesh/tcp/frame"
)

// message is one of EventMesh's own protocol, which the client does not publish.
type message struct {
	Topic      string            `json:"topic"`
	Properties map[string]string `json:"properties"`
	Headers    map[string]string `json:"headers"`
	Body       string            `json:"body"`
}

func newMessage(topic, contentType, body string, properties map[string]string) message {
	m := message{Topic: topic, Properties: map[string]string{"ttl": "4000"}, Headers: map[string]string{}, Body: body}
	for name, value := range properties {
		m.Properties[name] = value
	}
	if contentType != "" {
		m.Headers["datacontenttype"] = contentType
	}
	return m
}

// send publishes a message, or makes a request of it and returns the content of the reply, or an ErrNoReply, or an ErrInvalidReply where
// the reply says that there is none.
func (target Target) send(t *testing.T, m message, request bool) (reply string, err error) {
	t.Helper()
	if target.Addresses[0].TLS() {
		t.Skip("messages are published without TLS")
	}
	ctx, cancel := context.WithTimeout(t.Context(), timeout/4)
	defer cancel()
	credentials, err := target.credentials()
	if err != nil {
		return "", err
	}
	if target.http() {
		t.Skip("the HTTP API takes no messages of EventMesh's own protocol")
	}
	if target.tcp() {
		return m.sendTCP(ctx, target.Addresses[0].Host, credentials, request)
	}
	return m.sendGRPC(ctx, target.Addresses[0].Host, credentials, request)
}

func (m message) sendTCP(ctx context.Context, host string, c eventmesh.Credentials, request bool) (string, error) {
	session, err := dialTCP(ctx, host, c, "contract-messages", "pub")
	if err != nil {
		return "", err
	}
	defer session.Close()
	header := frame.Header{Command: frame.AsyncMessageToServer, Properties: map[string]any{
		"protocoltype": wire.MessageProtocol, "protocolversion": "1.0", "protocoldesc": "tcp",
	}}
	if !request {
		_, err := session.call(header, m)
		return "", err
	}
	header.Command = frame.RequestToServer
	answer, err := session.call(header, m)
	if ctx.Err() != nil {
		return "", fmt.Errorf("%w: %w", eventmesh.ErrNoReply, ctx.Err())
	}
	if err != nil {
		return "", err
	}
	var reply message
	err = cmp.Or(json.Unmarshal(answer.Body, &reply), told(reply.Properties["invalidreply"]))
	return reply.Body, err
}

func (m message) sendGRPC(ctx context.Context, host string, c eventmesh.Credentials, request bool) (string, error) {
	conn, err := grpc.NewClient(host, grpc.WithTransportCredentials(insecure.NewCredentials()))
	if err != nil {
		return "", err
	}
	defer conn.Close()
	carried := &pb.CloudEvent{
		Id: unique("id"), Source: "/", SpecVersion: "1.0", Type: "org.apache.eventmesh", Attributes: map[string]*pb.CloudEvent_AttributeValue{},
	}
	for _, attributes := range []map[string]string{{
		"env": "PRD", "idc": "DEFAULT", "ip": "127.0.0.1", "pid": "1", "sys": "0000", "language": "GO", "username": c.Username, "passwd": c.Password,
		"subject": m.Topic, "producergroup": "contract-messages", "seqnum": unique("sequence"), "uniqueid": unique("message"),
		"protocoltype": wire.MessageProtocol, "protocolversion": "1.0", "protocoldesc": "grpc-cloud-event",
	}, m.Headers, m.Properties} {
		for name, value := range attributes {
			carried.Attributes[name] = &pb.CloudEvent_AttributeValue{Attr: &pb.CloudEvent_AttributeValue_CeString{CeString: value}}
		}
	}
	carried.Data = &pb.CloudEvent_BinaryData{BinaryData: []byte(m.Body)}
	if wire.IsText(m.Headers["datacontenttype"]) {
		carried.Data = &pb.CloudEvent_TextData{TextData: m.Body}
	}
	publisher := pb.NewPublisherServiceClient(conn)
	call := publisher.Publish
	if request {
		call = publisher.RequestReply
	}
	answer, err := call(ctx, carried)
	if err != nil {
		return "", err
	}
	reason := answer.GetAttributes()["responsemessage"].GetCeString()
	switch code := answer.GetAttributes()["statuscode"].GetCeString(); code {
	case "", "0":
		return answer.GetTextData(), told(answer.GetAttributes()["invalidreply"].GetCeString())
	case "22":
		return "", fmt.Errorf("%w: %s", eventmesh.ErrNoReply, reason)
	default:
		return "", fmt.Errorf("code %s: %s", code, reason)
	}
}

func told(invalid string) error {
	if invalid == "true" {
		return eventmesh.ErrInvalidReply
	}
	return nil
}

func messages(t *testing.T, target Target) {
	topic, group := target.topic(t), unique("group")
	s := target.subscriber(t, group, eventmesh.Subscription{Topics: []string{topic}})
	target.warm(t, target.publisher(t), topic, s)
	const nameless = "a property without a name"
	rows := map[string]struct {
		contentType, body string
		properties        map[string]string
		want              func(*event.Event)
	}{
		"text with properties": {
			event.TextPlain, "ü🎉\x00 \"hi\"", map[string]string{"mykey": "v", "uniqueid": unique("own"), "emxsubject": "s"},
			func(e *event.Event) { e.SetExtension("mykey", "v"); e.SetExtension("emxsubject", "s") },
		},
		"JSON as it was":       {event.ApplicationJSON, `{"a": 2.50}`, nil, func(e *event.Event) { e.SetDataContentType(event.ApplicationJSON) }},
		"JSON in another type": {"application/cloudevents+json", `{"a": 2.50}`, nil, func(e *event.Event) { e.SetDataContentType(event.ApplicationJSON) }},
		"no content type":      {"", "hi", nil, func(*event.Event) {}},
		"what EventMesh uses":  {event.TextPlain, "hi", map[string]string{"sys": "x", "cluster": "x"}, func(*event.Event) {}},
		"named as attributes": {
			event.TextPlain, "hi", map[string]string{"id": "x", "source": "x", "type": "x", "dataschema": "x", "data": "x"}, func(*event.Event) {},
		},
		nameless:                    {event.TextPlain, "hi", map[string]string{"": "x"}, func(*event.Event) {}},
		"as large as TCP can carry": {event.TextPlain, strings.Repeat("x", 1000), nil, func(*event.Event) {}},
	}
	if target.Storage.HoldsEvents {
		delete(rows, nameless) // such a storage refuses it
	}
	for name, c := range rows {
		t.Run(name, func(t *testing.T) {
			if _, err := target.send(t, newMessage(topic, c.contentType, c.body, c.properties), false); err != nil {
				t.Fatalf("publishing: %v", err)
			}
			got := receive(t, s)
			if got.Event.ID() == "" || c.properties["uniqueid"] != "" && got.Event.ID() != c.properties["uniqueid"] {
				t.Errorf("got id %q, want %q", got.Event.ID(), c.properties["uniqueid"])
			}
			want := newEvent(got.Event.ID())
			want.SetType(eventmesh.MessageType)
			want.SetSource("eventmesh:" + topic)
			want.SetDataContentType(event.TextPlain)
			want.DataEncoded = []byte(c.body)
			c.want(&want)
			if diff := Difference(got.Event, want); diff != "" {
				t.Error(diff)
			}
			if got.Topic != topic {
				t.Errorf("topic: got %q, want %q", got.Topic, topic)
			}
		})
	}
	if target.tcp() {
		t.Run("delivered again", func(t *testing.T) { messageAgain(t, target, topic, group, s) })
	}
}

// messageAgain has another member get what s did not acknowledge, as the same event.
func messageAgain(t *testing.T, target Target, topic, group string, s *eventmesh.Subscriber) {
	if _, err := target.send(t, newMessage(topic, "", "again", nil), false); err != nil {
		t.Fatalf("publishing: %v", err)
	}
	ctx, cancel := context.WithTimeout(t.Context(), timeout)
	defer cancel()
	d, err := s.Receive(ctx)
	if err != nil {
		t.Fatal(err)
	}
	second := target.subscriber(t, group, eventmesh.Subscription{Topics: []string{topic}})
	_ = s.Close()
	if again := receive(t, second); again.Event.ID() != d.Event.ID() {
		t.Errorf("got id %s, want %s again", again.Event.ID(), d.Event.ID())
	}
}

func messageRequest(t *testing.T, target Target) {
	topic := target.topic(t)
	responder := target.subscriber(t, unique("group"), eventmesh.Subscription{Topics: []string{topic}, Type: eventmesh.Sync})
	request := newMessage(topic, event.TextPlain, "question", nil)
	if !target.Storage.Requests {
		if reply, err := target.send(t, request, true); err == nil {
			t.Errorf("got %q, want a refusal", reply)
		}
		return
	}
	target.warm(t, target.publisher(t), topic, responder)
	reply := newEvent("reply")
	reply.SetDataContentType(event.ApplicationJSON)
	reply.DataEncoded = []byte(`{"answer": 42.0}`)
	defer respond(t, responder, func(ctx context.Context, d *eventmesh.Delivery) error {
		switch {
		case d.Event.Type() != eventmesh.MessageType:
			return nil
		case string(d.Event.Data()) == "bad question":
			return d.ReplyInvalid(ctx, errors.New("it is no event"))
		default:
			return d.Reply(ctx, reply)
		}
	})()
	// As with the client's own requests, the first replies can get lost.
	for deadline := time.Now().Add(3 * timeout); ; {
		got, err := target.send(t, request, true)
		if err == nil {
			if got != string(reply.Data()) {
				t.Errorf("got %q, want %q", got, reply.Data())
			}
			break
		}
		if !errors.Is(err, eventmesh.ErrNoReply) || time.Now().After(deadline) {
			t.Fatalf("requesting: %v", err)
		}
	}
	request.Body = "bad question"
	if got, err := target.send(t, request, true); !errors.Is(err, eventmesh.ErrInvalidReply) || got != "it is no event" {
		t.Errorf("got %q, %v; want a reply that says that there is none", got, err)
	}
}
