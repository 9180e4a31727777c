package grpc

import (
	"context"
	"fmt"
	"math/rand/v2"
	"strconv"
	"strings"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/credentials"
	"google.golang.org/grpc/credentials/insecure"
	"google.golang.org/grpc/status"

	"github.com/eventing-eventmesh/eventing-eventmesh/pkg/eventmesh"
	pb "github.com/eventing-eventmesh/eventing-eventmesh/pkg/eventmesh/grpc/eventmeshpb"
	"github.com/eventing-eventmesh/eventing-eventmesh/pkg/eventmesh/internal/wire"
)

// MaxMessageSize is the largest message in bytes that a server accepts by default: the event with the client's attributes.
const MaxMessageSize = 4 << 20

const (
	// maxReceiveSize leaves room for what the server adds to a message of the largest size.
	maxReceiveSize = MaxMessageSize + 1<<20
	// maxHeaderSize is what the headers of an answer may have: EventMesh's have less than 1,000 bytes.
	maxHeaderSize = 64 << 10

	// protocolType and protocolVersion name what a message holds; description picks who gets it: gRPC subscribers.
	protocolType    = "cloudevents"
	protocolVersion = "1.0"
	description     = "grpc-cloud-event"

	controlSource = "eventing-eventmesh"
	jsonType      = "application/json"

	keyContentType = "datacontenttype"
	keySubject     = "subject"
	keyStatus      = "statuscode"
	keyMessage     = "responsemessage"
	keyMessageType = "submessagetype"

	keyProtocolType = "protocoltype"
	replyMessage    = "subscription_reply"
)

// Values of the attribute clienttype.
const (
	clientPublisher  = 1
	clientSubscriber = 2
)

// Transport opens sessions over gRPC. The zero value is ready for use.
type Transport struct{}

var _ eventmesh.Transport = Transport{}

// Traits say that subscribers get events as they are. With TLS, which has scheme grpcs, a TLS terminator stands in front of EventMesh.
func (Transport) Traits() eventmesh.Traits {
	return eventmesh.Traits{
		Scheme: "grpc", Port: "10205", Rendering: wire.Rendering{Form: wire.NativeForm, Description: description},
	}
}

// dial returns a connection that connects with its first call. Keepalive pings stay off: the server closes a connection that
// sends more than one in 5 minutes.
func dial(a eventmesh.Address, c eventmesh.Client, options ...grpc.DialOption) (*grpc.ClientConn, error) {
	security := insecure.NewCredentials()
	if a.TLS() {
		security = credentials.NewTLS(c.TLS)
	}
	return grpc.NewClient(a.Host, append(options,
		grpc.WithTransportCredentials(security),
		grpc.WithIdleTimeout(0), // a session without traffic goes on
		grpc.WithMaxHeaderListSize(maxHeaderSize),
		grpc.WithDefaultCallOptions(grpc.MaxCallRecvMsgSize(maxReceiveSize), grpc.MaxCallSendMsgSize(MaxMessageSize), grpc.ForceCodecV2(newMessages())),
		grpc.WithDisableServiceConfig(),
	)...)
}

// clientAttributes are those that EventMesh wants on every message.
func clientAttributes(c eventmesh.Client) attributes {
	return attributes{
		"env": text(c.Env), "idc": text(c.IDC), "sys": text(c.Subsystem), "language": text("GO"),
		"ip": text(c.IP), "pid": text(strconv.Itoa(c.PID)),
		"username": text(c.Username), "passwd": text(c.Password),
	}
}

// control returns a message that is a request to EventMesh, and no event.
func control(client attributes, data string, extra attributes) *pb.CloudEvent {
	m := &pb.CloudEvent{
		Id: unique(), Source: controlSource, SpecVersion: protocolVersion, Type: protocolType,
		Attributes: attributes{
			keyProtocolType: text(protocolType), "protocolversion": text(protocolVersion), "protocoldesc": text(description),
			keyContentType: text(jsonType), "uniqueid": text(unique()), "seqnum": text(unique()),
		},
		Data: &pb.CloudEvent_TextData{TextData: data},
	}
	for _, more := range []attributes{client, extra} {
		for name, value := range more {
			m.Attributes[name] = value
		}
	}
	return m
}

// unique returns digits that no other message has.
func unique() string {
	return strconv.FormatUint(rand.Uint64(), 10) //nolint:gosec // not a secret
}

// milliseconds returns a duration as an attribute.
func milliseconds(d time.Duration) string {
	return strconv.FormatInt(max(d.Milliseconds(), 1), 10)
}

// check returns nil for an answer that says success, and nothing else.
func check(answer outcome, err error) error {
	if err != nil {
		return callError(err)
	}
	if answer.status == "" {
		return fmt.Errorf("%w: the answer has no status", eventmesh.ErrUnconfirmed)
	}
	return refusal(answer)
}

// refusal returns the failure that an answer tells of, if any. A reply has no status.
func refusal(answer outcome) error {
	if answer.status == "" || answer.status == statusSuccess {
		return nil
	}
	return &eventmesh.RefusalError{Kind: kindOf(answer.status, answer.reason), Code: answer.status, Reason: answer.reason}
}

// outcomeOf returns what a message says that has been decoded.
func outcomeOf(m *pb.CloudEvent) outcome {
	return outcome{status: m.GetAttributes()[keyStatus].GetCeString(), reason: m.GetAttributes()[keyMessage].GetCeString()}
}

// callError tells what the end of a call means. Most of the statuses can come from this side, or from something between it and
// EventMesh, after EventMesh has done what was asked: only what says that it has not is a refusal.
func callError(err error) error {
	s := status.Convert(err)
	switch s.Code() {
	case codes.Unavailable:
		return fmt.Errorf("%w: %.200s", eventmesh.ErrNotConnected, s.Message())
	case codes.DeadlineExceeded:
		return fmt.Errorf("%w: %w", eventmesh.ErrUnconfirmed, context.DeadlineExceeded)
	case codes.Canceled:
		return fmt.Errorf("%w: %w", eventmesh.ErrUnconfirmed, context.Canceled)
	case codes.ResourceExhausted:
		return fmt.Errorf("%w: %.200s", exhausted(s.Message()), s.Message())
	case codes.Unauthenticated, codes.PermissionDenied:
		return fmt.Errorf("%w: %.200s", eventmesh.ErrUnauthorized, s.Message())
	case codes.Internal, codes.Unknown, codes.Aborted, codes.DataLoss:
		return fmt.Errorf("%w: gRPC status %s: %.200s", eventmesh.ErrUnconfirmed, s.Code(), s.Message())
	default:
		return fmt.Errorf("%w: gRPC status %s: %.200s", eventmesh.ErrRefused, s.Code(), s.Message())
	}
}

// exhausted tells by its text what the status means by which gRPC says that a message is too large, on whichever side, and proxies
// that a rate limit is reached. Nothing but a request that the server refuses is too large for good: this side refuses its own
// beforehand, and an answer comes when EventMesh has the event.
func exhausted(message string) error {
	own := strings.HasSuffix(message, fmt.Sprintf("vs. %d)", maxReceiveSize))
	switch {
	case strings.Contains(message, "exceeds maximum size"), strings.Contains(message, "received message larger than max") && !own:
		return eventmesh.ErrTooLarge // in the words of Java and Go
	case strings.Contains(message, "larger than max"):
		return eventmesh.ErrUnconfirmed
	default:
		return eventmesh.ErrRateLimited
	}
}

// checkSize refuses what the server would refuse, before it is sent.
func checkSize(m encoded) error {
	if len(m) > MaxMessageSize {
		return fmt.Errorf("%w: %d bytes as a gRPC message, EventMesh accepts at most %d", eventmesh.ErrTooLarge, len(m), MaxMessageSize)
	}
	return nil
}
