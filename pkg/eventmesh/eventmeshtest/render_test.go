package eventmeshtest_test

import (
	"testing"

	"github.com/eventing-eventmesh/eventing-eventmesh/pkg/eventmesh/eventmeshtest"
	"github.com/eventing-eventmesh/eventing-eventmesh/pkg/eventmesh/grpc/eventmeshpb"
	"github.com/eventing-eventmesh/eventing-eventmesh/pkg/eventmesh/tcp/frame"
)

const cloudEventsJSON = "application/cloudevents+json"

func TestPublishersDescriptionDecidesWhoGetsAnEvent(t *testing.T) {
	s := eventmeshtest.New(t, eventmeshtest.Options{})
	g := dialGRPC(t, s)
	p := publisherTCP(t, s)
	grpcSub, tcpSub := g.subscribe("g", "G"), cluster(t, s, "g", "T")

	for _, desc := range []string{"", "tcp", "http", "grpc"} {
		g.mustPublish(publication("G", "lost", "protocoldesc", desc))
		g.mustPublish(publication("T", "lost", "protocoldesc", map[bool]string{true: "grpc-cloud-event", false: desc}[desc == "tcp"]))
		if f := tcpSub.want(frame.AsyncMessageToClient, 1); f.Body != nil || f.Header.Desc == "" {
			t.Errorf("%q to TCP: got body %s, want a stack trace alone", desc, f.Body)
		}
	}
	grpcSub.wantNone()

	p.publish(structured("G", "crosswise", `{"a": 1.50}`), protocol("grpc-cloud-event"))
	if got := grpcSub.want("crosswise"); got.GetTextData() != `{"a":1.5}` {
		t.Errorf("TCP to gRPC: got data %q", got.GetTextData())
	}
	e := publication("T", "crosswise", "protocoldesc", "tcp", "datacontenttype", cloudEventsJSON)
	e.Data = textData(`{"a": 1.50}`)
	g.mustPublish(e)
	got := tcpSub.wantEvent("crosswise")
	if string(got.Body) == "" || got.fields["username"] != "u" || got.fields["passwd"] != "p" {
		t.Errorf("gRPC to TCP: got %s, want the publisher's attributes", got.Body)
	}

	for _, e := range []*eventmeshpb.CloudEvent{
		{Data: textData("x"), Attributes: map[string]*eventmeshpb.CloudEvent_AttributeValue{"datacontenttype": text("text/plain")}},
		{Data: textData("{}"), Attributes: map[string]*eventmeshpb.CloudEvent_AttributeValue{"datacontenttype": text("application/json")}},
		{Data: binaryData("x"), Attributes: map[string]*eventmeshpb.CloudEvent_AttributeValue{"datacontenttype": nil}},
	} {
		wrong := publication("T", "lost", "protocoldesc", "tcp", "datacontenttype", e.GetAttributes()["datacontenttype"].GetCeString())
		wrong.Data = e.GetData()
		g.mustPublish(wrong)
		tcpSub.want(frame.AsyncMessageToClient, 1)
	}
}
