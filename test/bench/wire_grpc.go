//go:build linux

package main

import (
	"context"
	"fmt"
	"maps"
	"strings"

	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials/insecure"
	"google.golang.org/protobuf/types/known/timestamppb"

	pb "github.com/eventing-eventmesh/eventing-eventmesh/pkg/eventmesh/grpc/eventmeshpb"
)

type attributes = map[string]*pb.CloudEvent_AttributeValue

func text(s string) *pb.CloudEvent_AttributeValue {
	return &pb.CloudEvent_AttributeValue{Attr: &pb.CloudEvent_AttributeValue_CeString{CeString: s}}
}

// message is one with what EventMesh wants of every client.
func message(data string, extra attributes) *pb.CloudEvent {
	m := &pb.CloudEvent{
		Id: "1", Source: "bench", SpecVersion: "1.0", Type: "cloudevents",
		Attributes: attributes{
			"env": text("PRD"), "idc": text("DEFAULT"), "sys": text("0000"), "language": text("GO"), "ip": text("127.0.0.1"), "pid": text("1"),
			"username": text("bench"), "passwd": text("bench"),
			"protocoltype": text("cloudevents"), "protocolversion": text("1.0"), "protocoldesc": text("grpc-cloud-event"),
			"datacontenttype": text("application/json"), "uniqueid": text("1"), "seqnum": text("1"),
		},
		Data: &pb.CloudEvent_TextData{TextData: data},
	}
	maps.Copy(m.Attributes, extra)
	return m
}

func dialGRPC(url string) (*grpc.ClientConn, error) {
	return grpc.NewClient(strings.TrimPrefix(url, "grpc://"), grpc.WithTransportCredentials(insecure.NewCredentials()),
		grpc.WithDefaultCallOptions(grpc.MaxCallRecvMsgSize(8<<20)))
}

// grpcReader is a subscriber's stream and nothing else.
type grpcReader struct {
	conn   *grpc.ClientConn
	stream pb.ConsumerService_SubscribeStreamClient
}

func readGRPC(url, topic, group string) (*grpcReader, error) {
	conn, err := dialGRPC(url)
	if err != nil {
		return nil, err
	}
	stream, err := pb.NewConsumerServiceClient(conn).SubscribeStream(context.Background())
	if err != nil {
		return nil, err
	}
	items := fmt.Sprintf(`[{"topic":%q,"mode":"CLUSTERING","type":"ASYNC"}]`, topic)
	if err := stream.Send(message(items, attributes{"consumergroup": text(group)})); err != nil {
		return nil, err
	}
	confirmation, err := stream.Recv()
	if err == nil && confirmation.GetAttributes()["statuscode"].GetCeString() != "0" {
		err = fmt.Errorf("subscribing: %s", confirmation.GetAttributes()["responsemessage"].GetCeString())
	}
	return &grpcReader{conn, stream}, err
}

func (r *grpcReader) next() (*pb.CloudEvent, error) { return r.stream.Recv() }

func (r *grpcReader) read() error {
	_, err := r.next()
	return err
}

// success is the answer of EventMesh to what it has taken.
func success() *pb.CloudEvent {
	return &pb.CloudEvent{SpecVersion: "1.0", Attributes: attributes{
		"statuscode": text("0"), "responsemessage": text("success"),
		"time": {Attr: &pb.CloudEvent_AttributeValue_CeTimestamp{CeTimestamp: timestamppb.Now()}},
	}}
}
