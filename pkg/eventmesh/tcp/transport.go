package tcp

import (
	"context"
	"crypto/tls"
	"encoding/base64"
	"errors"
	"fmt"
	"net"
	"strings"
	"time"

	"github.com/cloudevents/sdk-go/v2/event"

	"github.com/eventing-eventmesh/eventing-eventmesh/internal/jsonevent"
	"github.com/eventing-eventmesh/eventing-eventmesh/internal/jsontext"
	"github.com/eventing-eventmesh/eventing-eventmesh/pkg/eventmesh"
	"github.com/eventing-eventmesh/eventing-eventmesh/pkg/eventmesh/internal/wire"
	"github.com/eventing-eventmesh/eventing-eventmesh/pkg/eventmesh/tcp/frame"
)

// ConfirmTimeout is how long a publish waits for its confirmation before it is sent again. The first answer of a cold server
// takes up to 2 s.
const ConfirmTimeout = 3 * time.Second

// overtakenGrace is how much longer a publish waits at least when a later one to its topic has been confirmed.
const overtakenGrace = 100 * time.Millisecond

// Values of a session's purpose.
const (
	purposePublish   = "pub"
	purposeSubscribe = "sub"
)

// Transport opens sessions over TCP. The zero value is ready for use.
type Transport struct{}

var _ eventmesh.Transport = Transport{}

// Traits say that subscribers get JSON. With TLS, which has scheme tcps, a TLS terminator stands in front of EventMesh.
func (Transport) Traits() eventmesh.Traits {
	return eventmesh.Traits{
		Scheme: "tcp", Port: "10000", Rendering: wire.Rendering{Form: wire.JSONForm, Description: description},
	}
}

// description picks who gets an event: TCP subscribers.
const description = "tcp"

// properties stand in the header of every event: without them the server refuses it.
var properties = map[string]any{"protocoltype": "cloudevents", "protocolversion": "1.0", "protocoldesc": description}

// messageProperties stand in the header of a message of EventMesh's own protocol.
var messageProperties = map[string]any{"protocoltype": wire.MessageProtocol, "protocolversion": "1.0", "protocoldesc": description}

// hello is the body of the first frame of a session.
type hello struct {
	Env       string `json:"env"`
	Subsystem string `json:"subsystem"`
	Path      string `json:"path"`
	PID       int    `json:"pid"`
	Host      string `json:"host"`
	Port      int    `json:"port"`
	Version   string `json:"version"`
	Username  string `json:"username"`
	Password  string `json:"password"`
	IDC       string `json:"idc"`
	Group     string `json:"group"`
	Purpose   string `json:"purpose"`
	Unack     int    `json:"unack"`
}

// connect returns a connection on which EventMesh has accepted the hello.
func connect(ctx context.Context, a eventmesh.Address, c eventmesh.Client, purpose string) (*connection, error) {
	var conn net.Conn
	var err error
	if a.TLS() {
		conn, err = (&tls.Dialer{Config: c.TLS}).DialContext(ctx, "tcp", a.Host)
	} else {
		conn, err = (&net.Dialer{}).DialContext(ctx, "tcp", a.Host)
	}
	if err != nil {
		return nil, fmt.Errorf("%w: %w", eventmesh.ErrNotConnected, err)
	}
	session := newConnection(conn)
	body := hello{
		Env: c.Env, Subsystem: c.Subsystem, Path: "/eventing-eventmesh", PID: c.PID, Host: c.IP, Port: 1, Version: "1.0",
		Username: c.Username, Password: c.Password, IDC: c.IDC, Group: c.Group, Purpose: purpose,
	}
	if err := session.exchange(ctx, frame.HelloRequest, body); err != nil {
		_ = session.Close()
		var refusal *eventmesh.RefusalError
		if errors.As(err, &refusal) { // whose reason is a stack trace, without the exception
			err = fmt.Errorf("%w: it refuses sessions that its security does not allow, and all while it starts or stops", eventmesh.ErrRefused)
		}
		return nil, fmt.Errorf("greeting: %w", err)
	}
	return session, nil
}

// marshalEvent returns an event of [wire.Encode] as JSON.
func marshalEvent(carried event.Event) ([]byte, error) {
	const attributes = 512 // bytes, more than most events have
	size := len(carried.DataEncoded)
	if carried.DataBase64 {
		size = base64.StdEncoding.EncodedLen(size)
	}
	body, err := jsonevent.Append(make([]byte, 0, attributes+size), carried)
	if err != nil {
		return nil, fmt.Errorf("%w: %w", eventmesh.ErrInvalidEvent, err)
	}
	return body, nil
}

// errNoBody is what an event has become that EventMesh could not render for TCP.
var errNoBody = errors.New("EventMesh delivered a frame without an event")

// decode returns the event in the body of a frame as it is, with all that EventMesh has added.
func decode(f frame.Frame) (event.Event, error) {
	if err := failure(f); err != nil {
		return event.Event{}, err
	}
	if len(f.Body) == 0 {
		return event.Event{}, errNoBody
	}
	if f.Header.Properties["protocoltype"] == wire.MessageProtocol {
		return wire.UnmarshalMessage(f.Body)
	}
	leaveOut := reserved
	if f.Header.Command == frame.RequestToClient { // whose reply is made of all that it has
		leaveOut = nil
	}
	carried, err := jsonevent.Unmarshal(f.Body, leaveOut)
	if err != nil {
		return event.Event{}, fmt.Errorf("decoding event: %w", err)
	}
	return carried, nil
}

// reserved tells the members that EventMesh has added, some 25 of 30, which [wire.Decode] would leave out.
func reserved(name []byte) bool { return wire.Reserved(string(name)) }

// withoutReserved returns a JSON object without those members, and returns any other text as it is.
func withoutReserved(body []byte) []byte {
	left := make([]byte, 0, len(body))
	left = append(left, '{')
	err := jsontext.Members(body, func(name, value []byte) error {
		if reserved(name) {
			return nil
		}
		if len(left) > 1 {
			left = append(left, ',')
		}
		left = append(append(jsontext.AppendString(left, name), ':'), value...)
		return nil
	})
	if err != nil {
		return body
	}
	return append(left, '}')
}

// failure returns the error that an answer tells of.
func failure(f frame.Frame) error {
	if f.Header.Code == 0 {
		return nil
	}
	return &eventmesh.RefusalError{Kind: kindOf(f.Header.Desc), Code: fmt.Sprint(f.Header.Code), Reason: f.Header.Desc}
}

// kindOf tells what a refusal means by its text, since all have the same code.
func kindOf(description string) error {
	if kind := wire.KindOfSendFailure(description); !errors.Is(kind, eventmesh.ErrRefused) { // whose text ends with a topic, of any name
		return kind
	}
	switch {
	case strings.Contains(description, missingTopic):
		return eventmesh.ErrMissingTopic
	case strings.Contains(description, "overload"), strings.Contains(description, tooFast):
		return eventmesh.ErrRateLimited
	case strings.Contains(description, "Acl"), strings.Contains(description, "permission"):
		return eventmesh.ErrUnauthorized
	case strings.Contains(description, "size exceeds"):
		return eventmesh.ErrTooLarge
	default:
		return eventmesh.ErrRefused
	}
}

// tooFast is what EventMesh says where it has no permit for another publish of the session.
const tooFast = "SEND_TOO_FAST"

func isTooFast(err error) bool {
	var refusal *eventmesh.RefusalError
	return errors.As(err, &refusal) && errors.Is(refusal.Kind, eventmesh.ErrRateLimited) && strings.Contains(refusal.Reason, tooFast)
}
