package source

import (
	"context"
	"net"
	"net/http"
	"testing"

	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	"github.com/eventing-eventmesh/eventing-eventmesh/pkg/eventmesh/grpc/eventmeshpb"
)

// dyingEventMesh has delivered an event, which is still on its way, when it is asked to let a client leave, and dies.
type dyingEventMesh struct {
	eventmeshpb.UnimplementedConsumerServiceServer
	arrives chan struct{}
}

func (d *dyingEventMesh) SubscribeStream(stream grpc.BidiStreamingServer[eventmeshpb.CloudEvent, eventmeshpb.CloudEvent]) error {
	text := func(s string) *eventmeshpb.CloudEvent_AttributeValue {
		return &eventmeshpb.CloudEvent_AttributeValue{Attr: &eventmeshpb.CloudEvent_AttributeValue_CeString{CeString: s}}
	}
	if _, err := stream.Recv(); err != nil {
		return err
	}
	if err := stream.Send(&eventmeshpb.CloudEvent{Attributes: map[string]*eventmeshpb.CloudEvent_AttributeValue{"statuscode": text("0")}}); err != nil {
		return err
	}
	select {
	case <-d.arrives:
	case <-stream.Context().Done():
		return stream.Context().Err()
	}
	if err := stream.Send(&eventmeshpb.CloudEvent{
		Id: "1", Source: "/s", SpecVersion: "1.0", Type: "t",
		Attributes: map[string]*eventmeshpb.CloudEvent_AttributeValue{"subject": text("orders")},
	}); err != nil {
		return err
	}
	return status.Error(codes.Unavailable, "dying")
}

func (*dyingEventMesh) Unsubscribe(context.Context, *eventmeshpb.CloudEvent) (*eventmeshpb.CloudEvent, error) {
	return nil, status.Error(codes.Unavailable, "dying")
}

// TestWhatIsOnItsWayIsReceived terminates the source when EventMesh dies as well: what it has delivered it does not deliver again.
func TestWhatIsOnItsWayIsReceived(t *testing.T) {
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	mesh, server := &dyingEventMesh{arrives: make(chan struct{})}, grpc.NewServer()
	eventmeshpb.RegisterConsumerServiceServer(server, mesh)
	done := make(chan error, 1)
	go func() { done <- server.Serve(listener) }()
	t.Cleanup(func() {
		server.Stop()
		<-done
	})
	sink := newSink(t)
	s := start(t, "EVENTMESH_URL=grpc://"+listener.Addr().String(), "K_SINK="+sink.url)
	s.awaitReadiness(t, http.StatusOK)
	s.stop()
	eventually(t, func() string {
		if s.logs.FilterMessage("EventMesh did not let this replica leave its group").Len() == 0 {
			return "the source has not tried to leave"
		}
		return ""
	})
	close(mesh.arrives)
	if err := <-s.ended; err != nil {
		t.Errorf("Start returned %v", err)
	}
	if missing := sink.missing("1"); missing != "" {
		t.Error(missing)
	}
}
