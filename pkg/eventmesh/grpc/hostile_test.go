package grpc

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"slices"
	"strings"
	"sync/atomic"
	"testing"

	"github.com/cloudevents/sdk-go/v2/event"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/mem"
	"google.golang.org/grpc/metadata"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/encoding/protowire"

	"github.com/eventing-eventmesh/eventing-eventmesh/pkg/eventmesh"
	pb "github.com/eventing-eventmesh/eventing-eventmesh/pkg/eventmesh/grpc/eventmeshpb"
)

// bytesCodec sends messages of any bytes, and reads none.
type bytesCodec struct{}

func (bytesCodec) Marshal(v any) (mem.BufferSlice, error) {
	return mem.BufferSlice{mem.SliceBuffer(v.([]byte))}, nil
}
func (bytesCodec) Unmarshal(mem.BufferSlice, any) error { return nil }
func (bytesCodec) Name() string                         { return "proto" }

// serve is a server that answers the calls of a method as answer does, others with success.
func serve(t *testing.T, method string, answer func(grpc.ServerStream) error) eventmesh.Address {
	t.Helper()
	return serveAll(t, map[string]func(grpc.ServerStream) error{method: answer})
}

// serveAll is a server with answers for several methods.
func serveAll(t *testing.T, answers map[string]func(grpc.ServerStream) error) eventmesh.Address {
	t.Helper()
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	server := grpc.NewServer(grpc.ForceServerCodecV2(bytesCodec{}), grpc.UnknownServiceHandler(func(_ any, stream grpc.ServerStream) error {
		if err := stream.RecvMsg(nil); err != nil {
			return err
		}
		called, _ := grpc.MethodFromServerStream(stream)
		if answer := answers[called]; answer != nil {
			return answer(stream)
		}
		return stream.SendMsg(attributeField("statuscode", "0"))
	}))
	done := make(chan error)
	go func() { done <- server.Serve(listener) }()
	t.Cleanup(func() {
		server.Stop()
		<-done
	})
	return eventmesh.Address{Scheme: "grpc", Host: listener.Addr().String()}
}

// sends answers with messages.
func sends(messages ...[]byte) func(grpc.ServerStream) error {
	return func(stream grpc.ServerStream) error {
		for _, m := range messages {
			if err := stream.SendMsg(m); err != nil {
				return err
			}
		}
		return nil
	}
}

// ends answers with a status and no message.
func ends(code codes.Code, reason string) func(grpc.ServerStream) error {
	return func(grpc.ServerStream) error { return status.Error(code, reason) }
}

// statusOf encodes an attribute statuscode whose value is of any type.
func statusOf(value []byte) []byte {
	return field(fieldAttributes, slices.Concat(field(fieldKey, []byte(keyStatus)), field(fieldValue, value)))
}

var client = eventmesh.Client{IP: "127.0.0.1", PID: 1, Group: "g", Rendering: Transport{}.Traits().Rendering}

// TestAnswers publishes to servers that answer otherwise than EventMesh does. What is not final is tried again by who published.
func TestAnswers(t *testing.T) {
	long := strings.Repeat("x", 4<<20)
	for name, c := range map[string]struct {
		answer func(grpc.ServerStream) error
		want   error
	}{
		"success":                {sends(attributeField("statuscode", "0")), nil},
		"a refusal":              {sends(attributeField("statuscode", "14")), eventmesh.ErrRefused},
		"a long refusal":         {sends(slices.Concat(attributeField("statuscode", long), attributeField("responsemessage", "x"))), eventmesh.ErrRefused},
		"an empty answer":        {sends(nil), eventmesh.ErrUnconfirmed},
		"an event":               {sends(field(fieldID, []byte("1"))), eventmesh.ErrUnconfirmed},
		"no status":              {sends(attributeField("responsemessage", "success")), eventmesh.ErrUnconfirmed},
		"an empty status":        {sends(attributeField("statuscode", "")), eventmesh.ErrUnconfirmed},
		"a status that is 00":    {sends(attributeField("statuscode", "00")), eventmesh.ErrRefused},
		"a status without value": {sends(statusOf(nil)), eventmesh.ErrUnconfirmed},
		"a status that is a number": {
			sends(statusOf(protowire.AppendVarint(protowire.AppendTag(nil, valueInteger, protowire.VarintType), 0))), eventmesh.ErrUnconfirmed,
		},
		"a status that is a boolean": {
			sends(statusOf(protowire.AppendVarint(protowire.AppendTag(nil, valueBoolean, protowire.VarintType), 0))), eventmesh.ErrUnconfirmed,
		},
		"a status in bytes":           {sends(statusOf(field(valueBytes, []byte("0")))), eventmesh.ErrUnconfirmed},
		"a status that is a URI":      {sends(statusOf(field(valueURI, []byte("0")))), eventmesh.ErrUnconfirmed},
		"a status under another name": {sends(attributeField("code", "0")), eventmesh.ErrUnconfirmed},
		"no protobuf":                 {sends([]byte("EventMesh0000")), eventmesh.ErrUnconfirmed},
		"a success that is cut off":   {sends(attributeField("statuscode", "0")[:12]), eventmesh.ErrUnconfirmed},
		"no message":                  {sends(), eventmesh.ErrUnconfirmed},
		"two messages":                {sends(attributeField("statuscode", "0"), attributeField("statuscode", "0")), eventmesh.ErrUnconfirmed},
		"a success that is too large": {
			sends(slices.Concat(attributeField("statuscode", "0"), attributeField("responsemessage", long), attributeField("more", long))), eventmesh.ErrUnconfirmed,
		},
		"headers that are too large": {func(stream grpc.ServerStream) error {
			if err := stream.SetHeader(metadata.Pairs("x", strings.Repeat("x", 2*maxHeaderSize))); err != nil {
				return err
			}
			return stream.SendMsg(attributeField("statuscode", "0"))
		}, eventmesh.ErrUnconfirmed},
		"too large for EventMesh":       {ends(codes.ResourceExhausted, "gRPC message exceeds maximum size 4194304: 4194305"), eventmesh.ErrTooLarge},
		"too large for a proxy in Go":   {ends(codes.ResourceExhausted, "grpc: received message larger than max (1001 vs. 1000)"), eventmesh.ErrTooLarge},
		"an answer too large to send":   {ends(codes.ResourceExhausted, "trying to send message larger than max (1001 vs. 1000)"), eventmesh.ErrUnconfirmed},
		"a rate limit":                  {ends(codes.ResourceExhausted, "over the limit"), eventmesh.ErrRateLimited},
		"an error of a proxy":           {ends(codes.Internal, "upstream"), eventmesh.ErrUnconfirmed},
		"an exception":                  {ends(codes.Unknown, ""), eventmesh.ErrUnconfirmed},
		"a conflict":                    {ends(codes.Aborted, ""), eventmesh.ErrUnconfirmed},
		"lost data":                     {ends(codes.DataLoss, ""), eventmesh.ErrUnconfirmed},
		"a call that EventMesh cancels": {ends(codes.Canceled, ""), eventmesh.ErrNotConnected},
		"a deadline of EventMesh's":     {ends(codes.DeadlineExceeded, ""), eventmesh.ErrUnconfirmed},
		"a server that is not there":    {ends(codes.Unavailable, strings.Repeat("x", maxHeaderSize/2)), eventmesh.ErrNotConnected},
		"a service that is not there":   {ends(codes.Unimplemented, ""), eventmesh.ErrRefused},
		"credentials":                   {ends(codes.Unauthenticated, strings.Repeat("x", maxHeaderSize/2)), eventmesh.ErrUnauthorized},
	} {
		t.Run(name, func(t *testing.T) {
			p, err := Transport{}.OpenPublisher(t.Context(), serve(t, pb.PublisherService_Publish_FullMethodName, c.answer), client)
			if err != nil {
				t.Fatal(err)
			}
			defer p.Close()
			err = p.Publish(t.Context(), "orders", anEvent())
			final := errors.Is(c.want, eventmesh.ErrTooLarge) || errors.Is(c.want, eventmesh.ErrUnauthorized)
			switch {
			case !errors.Is(err, c.want):
				t.Errorf("got %.1000v, want %v", err, c.want)
			case c.want != nil && len(err.Error()) > 500:
				t.Errorf("got an error of %d bytes", len(err.Error()))
			case eventmesh.Temporary(err) == final:
				t.Errorf("got %v, final: %v, want %v", err, !final, final)
			}
		})
	}
}

// TestReplies makes requests to servers that answer otherwise than EventMesh does.
func TestReplies(t *testing.T) {
	reply := slices.Concat(field(fieldID, []byte("7")), field(fieldSource, []byte("/s")), field(fieldSpecVersion, []byte("1.0")), field(fieldType, []byte("t")),
		attributeField("subject", "orders"), field(fieldBinaryData, []byte("x")))
	number := protowire.AppendVarint(protowire.AppendTag(nil, valueInteger, protowire.VarintType), 14)
	for name, c := range map[string]struct {
		answer func(grpc.ServerStream) error
		want   error // nil: the reply
	}{
		"a reply":                     {sends(reply), nil},
		"a refusal":                   {sends(slices.Concat(reply, attributeField("statuscode", "14"))), eventmesh.ErrRefused},
		"a refusal by a number":       {sends(slices.Concat(reply, statusOf(number))), eventmesh.ErrUnconfirmed},
		"a status without a value":    {sends(slices.Concat(reply, statusOf(nil))), eventmesh.ErrUnconfirmed},
		"no reply":                    {sends(attributeField("statuscode", "22")), eventmesh.ErrNoReply},
		"a reply that is too large":   {sends(slices.Concat(reply, field(fieldBinaryData, make([]byte, maxReceiveSize)))), eventmesh.ErrUnconfirmed},
		"no protobuf":                 {sends([]byte("EventMesh0000")), eventmesh.ErrUnconfirmed},
		"a deadline of EventMesh's":   {ends(codes.DeadlineExceeded, ""), eventmesh.ErrNoReply},
		"a request that is not taken": {ends(codes.ResourceExhausted, "gRPC message exceeds maximum size 1: 2"), eventmesh.ErrTooLarge},
	} {
		t.Run(name, func(t *testing.T) {
			p, err := Transport{}.OpenPublisher(t.Context(), serve(t, pb.PublisherService_RequestReply_FullMethodName, c.answer), client)
			if err != nil {
				t.Fatal(err)
			}
			defer p.Close()
			got, err := p.Request(t.Context(), "orders", anEvent())
			if !errors.Is(err, c.want) || c.want == nil && got.ID() != "7" {
				t.Errorf("got %v, %v, want %v", got, err, c.want)
			}
		})
	}
	for name, answer := range map[string][]byte{"an empty reply": nil, "a success and no reply": attributeField("statuscode", "0")} {
		p, err := Transport{}.OpenPublisher(t.Context(), serve(t, pb.PublisherService_RequestReply_FullMethodName, sends(answer)), client)
		if err != nil {
			t.Fatal(err)
		}
		if got, err := p.Request(t.Context(), "orders", anEvent()); err == nil || !eventmesh.Temporary(err) {
			t.Errorf("%s: got %v, %v, want an error", name, got, err)
		}
		_ = p.Close()
	}
}

// TestTooLarge refuses an event that EventMesh does not take before it is sent.
func TestTooLarge(t *testing.T) {
	address := serve(t, pb.PublisherService_Publish_FullMethodName, sends(attributeField("statuscode", "0")))
	p, err := Transport{}.OpenPublisher(t.Context(), address, client)
	if err != nil {
		t.Fatal(err)
	}
	defer p.Close()
	e := anEvent()
	e.DataEncoded = bytes.Repeat([]byte("x"), MaxMessageSize)
	if err := p.Publish(t.Context(), "orders", e); !errors.Is(err, eventmesh.ErrTooLarge) {
		t.Errorf("got %v, want %v", err, eventmesh.ErrTooLarge)
	}
	if _, err := p.Request(t.Context(), "orders", e); !errors.Is(err, eventmesh.ErrTooLarge) {
		t.Errorf("a request: got %v, want %v", err, eventmesh.ErrTooLarge)
	}
}

// TestSubscribing opens sessions with servers that answer otherwise than EventMesh does.
func TestSubscribing(t *testing.T) {
	for name, c := range map[string]struct {
		answer func(grpc.ServerStream) error
		want   error
	}{
		"an empty answer":       {sends(nil), eventmesh.ErrUnconfirmed},
		"a delivery":            {sends(slices.Concat(field(fieldID, []byte("1")), attributeField("subject", "orders"))), eventmesh.ErrUnconfirmed},
		"a refusal":             {sends(attributeField("statuscode", "17")), eventmesh.ErrRefused},
		"no answer":             {sends(), eventmesh.ErrRefused},
		"no protobuf":           {sends([]byte("EventMesh0000")), eventmesh.ErrUnconfirmed},
		"one that is too large": {sends(bytes.Repeat(attributeField("statuscode", "0"), maxReceiveSize/10)), eventmesh.ErrUnconfirmed},
	} {
		t.Run(name, func(t *testing.T) {
			address := serve(t, pb.ConsumerService_SubscribeStream_FullMethodName, c.answer)
			s, err := Transport{}.OpenSubscriber(t.Context(), address, client, eventmesh.Subscription{Topics: []string{"orders"}})
			if err == nil {
				_ = s.Close()
			}
			if !errors.Is(err, c.want) || !eventmesh.Temporary(err) {
				t.Errorf("got %.1000v, want %v", err, c.want)
			}
		})
	}
}

// TestLeavingWhileSubscribing leaves a group when EventMesh has subscribed the session, and before it has said so: what it delivers counts
// as delivered.
func TestLeavingWhileSubscribing(t *testing.T) {
	asked, left, unsubscribed := make(chan struct{}), make(chan struct{}), make(chan struct{})
	address := serveAll(t, map[string]func(grpc.ServerStream) error{
		pb.ConsumerService_SubscribeStream_FullMethodName: func(stream grpc.ServerStream) error {
			close(asked)
			<-left
			m := slices.Concat(field(fieldID, []byte("1")), field(fieldSource, []byte("/s")), field(fieldType, []byte("t")), attributeField("subject", "orders"))
			err := errors.Join(stream.SendMsg(attributeField("statuscode", "0")), stream.SendMsg(m))
			select {
			case <-unsubscribed:
			case <-stream.Context().Done():
			}
			return err
		},
		pb.ConsumerService_Unsubscribe_FullMethodName: func(stream grpc.ServerStream) error {
			close(unsubscribed)
			return stream.SendMsg(attributeField("statuscode", "0"))
		},
	})
	addresses, err := eventmesh.ParseAddresses("grpc://"+address.Host, Transport{})
	if err != nil {
		t.Fatal(err)
	}
	s, err := eventmesh.NewSubscriber(eventmesh.Config{Addresses: addresses, ClientID: "c", Group: "g"}, eventmesh.Subscription{Topics: []string{"orders"}}, Transport{})
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	<-asked
	if err := s.Leave(t.Context()); err != nil {
		t.Errorf("Leave: %v", err)
	}
	close(left)
	if d, err := s.Receive(t.Context()); err != nil || d.Event.ID() != "1" {
		t.Errorf("got %+v, %v, want event 1", d, err)
	}
	if d, err := s.Receive(t.Context()); !errors.Is(err, eventmesh.ErrClosed) {
		t.Errorf("got %+v, %v, want the end", d, err)
	}
}

// TestRefusedHeartbeat delivers to a session whose heartbeats are refused: it gets all that was sent, and then ends.
func TestRefusedHeartbeat(t *testing.T) {
	address := serveAll(t, map[string]func(grpc.ServerStream) error{
		pb.HeartbeatService_Heartbeat_FullMethodName: sends(attributeField("statuscode", "30")),
		pb.ConsumerService_SubscribeStream_FullMethodName: func(stream grpc.ServerStream) error {
			if err := stream.SendMsg(attributeField("statuscode", "0")); err != nil {
				return err
			}
			if err := stream.RecvMsg(nil); !errors.Is(err, io.EOF) { // as EventMesh waits for what the client sends
				return err
			}
			return stream.SendMsg(slices.Concat(field(fieldID, []byte("1")), field(fieldSource, []byte("/s")), field(fieldType, []byte("t")), attributeField("subject", "orders")))
		},
	})
	s, err := Transport{}.OpenSubscriber(t.Context(), address, client, eventmesh.Subscription{Topics: []string{"orders"}})
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	if err := s.Heartbeat(t.Context()); !errors.Is(err, eventmesh.ErrNotConnected) {
		t.Errorf("Heartbeat: got %v, want %v", err, eventmesh.ErrNotConnected)
	}
	if d, err := s.Receive(); err != nil || d.Event.ID() != "1" {
		t.Errorf("got %+v, %v, want event 1", d, err)
	}
	if d, err := s.Receive(); !errors.Is(err, io.EOF) {
		t.Errorf("got %+v, %v, want the end", d, err)
	}
}

// TestSubscriptionThatIsNotAnswered gives up a session that EventMesh was asked for, and says nothing of.
func TestSubscriptionThatIsNotAnswered(t *testing.T) {
	asked := make(chan struct{})
	address := serve(t, pb.ConsumerService_SubscribeStream_FullMethodName, func(stream grpc.ServerStream) error {
		close(asked)
		<-stream.Context().Done()
		return nil
	})
	ctx, cancel := context.WithCancel(t.Context())
	go func() {
		<-asked
		cancel()
	}()
	_, err := Transport{}.OpenSubscriber(ctx, address, client, eventmesh.Subscription{Topics: []string{"orders"}})
	if !errors.Is(err, eventmesh.ErrUnconfirmed) || !errors.Is(err, context.Canceled) {
		t.Errorf("got %v, want %v", err, eventmesh.ErrUnconfirmed)
	}
}

// TestRejoinCostsNoDeliveries delivers to a session while EventMesh does not answer what only fetches more.
func TestRejoinCostsNoDeliveries(t *testing.T) {
	const deliveries = 3
	var streams atomic.Int32
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	address := serveAll(t, map[string]func(grpc.ServerStream) error{
		pb.PublisherService_RequestReply_FullMethodName: sends(slices.Concat(attributeField("statuscode", "22"), attributeField("responsemessage", "by rocketmq"))),
		pb.ConsumerService_SubscribeStream_FullMethodName: func(stream grpc.ServerStream) error {
			if streams.Add(1) == 1 {
				if err := stream.SendMsg(attributeField("statuscode", "0")); err != nil {
					return err
				}
				for i := range deliveries {
					m := slices.Concat(field(fieldID, fmt.Append(nil, i)), field(fieldSource, []byte("/s")), field(fieldType, []byte("t")), attributeField("subject", "orders"))
					if err := stream.SendMsg(m); err != nil {
						return err
					}
				}
			} else {
				cancel() // as the time for opening a session ends
			}
			<-stream.Context().Done()
			return nil
		},
	})
	s, err := Transport{}.OpenSubscriber(ctx, address, client, eventmesh.Subscription{Topics: []string{"orders"}})
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	if streams.Load() != 2 {
		t.Errorf("got %d streams, want the session's and one more", streams.Load())
	}
	for i := range deliveries {
		d, err := s.Receive()
		if err != nil || d.Event.ID() != fmt.Sprint(i) {
			t.Fatalf("got %+v, %v, want event %d", d, err, i)
		}
	}
}

// TestDeliveriesWait pushes more than anybody receives: the server has to wait.
func TestDeliveriesWait(t *testing.T) {
	const deliveries, size = 100, 1 << 20
	sent := make(chan int, deliveries)
	address := serve(t, pb.ConsumerService_SubscribeStream_FullMethodName, func(stream grpc.ServerStream) error {
		defer close(sent)
		if err := stream.SendMsg(attributeField("statuscode", "0")); err != nil {
			return err
		}
		for i := range deliveries {
			m := slices.Concat(field(fieldID, fmt.Append(nil, i)), field(fieldSource, []byte("/s")), field(fieldType, []byte("t")),
				attributeField("subject", "orders"), field(fieldBinaryData, make([]byte, size)))
			if err := stream.SendMsg(m); err != nil {
				return err
			}
			sent <- i
		}
		return nil
	})
	s, err := Transport{}.OpenSubscriber(t.Context(), address, client, eventmesh.Subscription{Topics: []string{"orders"}})
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	for i := range deliveries {
		d, err := s.Receive()
		if err != nil || d.Err != nil || d.Event.ID() != fmt.Sprint(i) {
			t.Fatalf("got %+v, %v, want event %d", d, err, i)
		}
		if ahead := len(sent); ahead > 40 {
			t.Fatalf("the server is %d MB ahead of the receiver", ahead)
		}
		<-sent
	}
}

func anEvent() event.Event {
	e := event.New()
	e.SetID("1")
	e.SetSource("/s")
	e.SetType("t")
	return e
}
