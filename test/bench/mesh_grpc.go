//go:build linux

package main

import (
	"context"

	"google.golang.org/grpc"
	"google.golang.org/grpc/mem"
	"google.golang.org/protobuf/proto"

	pb "github.com/eventing-eventmesh/eventing-eventmesh/pkg/eventmesh/grpc/eventmeshpb"
)

// raw is gRPC's codec for messages that are encoded already.
type raw struct{}

func (raw) Name() string { return "proto" }

func (raw) Marshal(v any) (mem.BufferSlice, error) {
	return mem.BufferSlice{mem.SliceBuffer(*v.(*[]byte))}, nil //nolint:forcetypeassert // all that is sent
}

func (raw) Unmarshal(data mem.BufferSlice, v any) error {
	*v.(*[]byte) = data.Materialize() //nolint:forcetypeassert // all that is received
	return nil
}

var confirmed, _ = proto.Marshal(success())

// call serves every method: a stream is a subscriber's, and everything else is confirmed unread, but for its end.
func (m *mesh) call(_ any, stream grpc.ServerStream) error {
	method, _ := grpc.MethodFromServerStream(stream)
	var request []byte
	if err := stream.RecvMsg(&request); err != nil {
		return err
	}
	switch method {
	case pb.ConsumerService_SubscribeStream_FullMethodName:
		return m.stream(request, stream)
	case pb.ConsumerService_Unsubscribe_FullMethodName:
		topics, err := subscription(request)
		if err != nil {
			return err
		}
		m.unsubscribe(grpcTransport, topics)
	}
	return stream.SendMsg(&confirmed)
}

func (m *mesh) stream(request []byte, stream grpc.ServerStream) error {
	topics, err := subscription(request)
	if err != nil {
		return err
	}
	if err := stream.SendMsg(&confirmed); err != nil {
		return err
	}
	ctx, end := context.WithCancel(stream.Context())
	defer end()
	m.subscribe(grpcTransport, topics, &subscriber{send: func(b []byte) error { return stream.SendMsg(&b) }, end: end})
	<-ctx.Done()
	return nil
}

// subscription reads which topics a message to subscribe to, or to unsubscribe from, is about.
func subscription(request []byte) ([]string, error) {
	var e pb.CloudEvent
	if err := proto.Unmarshal(request, &e); err != nil {
		return nil, err
	}
	return topicsOf([]byte(e.GetTextData()))
}
