package eventmeshtest_test

import (
	"context"
	"strings"
	"testing"
	"time"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/known/anypb"
	"google.golang.org/protobuf/types/known/timestamppb"
	"google.golang.org/protobuf/types/known/wrapperspb"

	"github.com/eventing-eventmesh/eventing-eventmesh/pkg/eventmesh/eventmeshtest"
	"github.com/eventing-eventmesh/eventing-eventmesh/pkg/eventmesh/grpc/eventmeshpb"
)

func TestPublishOverGRPCChecksAttributes(t *testing.T) {
	s := eventmeshtest.New(t, eventmeshtest.Options{})
	c := dialGRPC(t, s)
	c.subscribe("g", "T")
	tests := map[string]string{
		"env": "6", "idc": "6", "ip": "6", "pid": "6", "sys": "6", "username": "6", "passwd": "6", "language": "6",
		"subject": "7", "producergroup": "7", "ttl": "7", "uniqueid": "7",
		"protocoltype": "14", "seqnum": "0",
	}
	for name, want := range tests {
		t.Run("without "+name, func(t *testing.T) {
			if got := statusOf(c.publish(publication("T", "1", name, ""))); got != want {
				t.Errorf("got code %s, want %s", got, want)
			}
		})
	}
	for name, change := range map[string]func(*eventmeshpb.CloudEvent){
		"pid is no number": func(e *eventmeshpb.CloudEvent) { set(e, "pid", "a1") },
		"pid is integer":   func(e *eventmeshpb.CloudEvent) { e.Attributes["pid"] = integer(1) },
	} {
		t.Run(name, func(t *testing.T) {
			e := publication("T", "1")
			change(e)
			if got := statusOf(c.publish(e)); got != "6" {
				t.Errorf("got code %s, want 6", got)
			}
		})
	}
}

func TestPublishOverGRPCChecksEvent(t *testing.T) {
	s := eventmeshtest.New(t, eventmeshtest.Options{})
	c := dialGRPC(t, s)
	c.subscribe("g", "T")
	tests := map[string]struct {
		change func(*eventmeshpb.CloudEvent)
		want   string
	}{
		"valid":                      {func(*eventmeshpb.CloudEvent) {}, "0"},
		"long name":                  {func(e *eventmeshpb.CloudEvent) { set(e, "abcdefghijklmnopqrstuvwxyz", "1") }, "0"},
		"name with upper case":       {func(e *eventmeshpb.CloudEvent) { set(e, "traceParent", "1") }, "14"},
		"name with underscore":       {func(e *eventmeshpb.CloudEvent) { set(e, "a_b", "1") }, "14"},
		"unknown protocol":           {func(e *eventmeshpb.CloudEvent) { set(e, "protocoltype", "foo") }, "14"},
		"source is no URI":           {func(e *eventmeshpb.CloudEvent) { e.Source = "a b" }, "14"},
		"source with broken percent": {func(e *eventmeshpb.CloudEvent) { e.Source = "/%zz" }, "14"},
		"dataschema is no URI":       {func(e *eventmeshpb.CloudEvent) { set(e, "dataschema", "<>") }, "14"},
		"specversion":                {func(e *eventmeshpb.CloudEvent) { e.SpecVersion = "2.0" }, "14"},
		"time is no time":            {func(e *eventmeshpb.CloudEvent) { set(e, "time", "yesterday") }, "14"},
		"time is a string":           {func(e *eventmeshpb.CloudEvent) { set(e, "time", "2026-01-02T03:04:05Z") }, "0"},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			e := publication("T", "1")
			test.change(e)
			if got := statusOf(c.publish(e)); got != test.want {
				t.Errorf("got code %s, want %s", got, test.want)
			}
		})
	}
}

func TestPublishOverGRPCChecksDataField(t *testing.T) {
	s := eventmeshtest.New(t, eventmeshtest.Options{})
	c := dialGRPC(t, s)
	c.subscribe("g", "T")
	payload, err := anypb.New(wrapperspb.String("x"))
	if err != nil {
		t.Fatal(err)
	}
	fields := map[string]*eventmeshpb.CloudEvent{
		"text": {Data: textData("x")}, "binary": {Data: binaryData("x")},
		"proto": {Data: &eventmeshpb.CloudEvent_ProtoData{ProtoData: payload}}, "none": {},
		"empty text": {Data: textData("")}, "empty binary": {Data: binaryData("")},
	}
	tests := map[string]string{
		"text/plain": "text", "text/x; charset=utf-8": "text", "application/json": "text", "application/xml": "text",
		"application/vnd.x+json": "text", "application/vnd.x+xml": "text", "application/cloudevents+json": "text",
		"application/json; charset=utf-8": "binary", "TEXT/plain": "binary", "image/png": "binary", "application/avro": "binary",
		"": "binary", "application/protobuf": "proto",
	}
	for contentType, field := range tests {
		for given, data := range fields {
			t.Run(contentType+" in "+given, func(t *testing.T) {
				e := publication("T", "1", "datacontenttype", contentType)
				e.Data = data.Data
				want := "7"
				if given == field {
					want = "0"
				}
				if got := statusOf(c.publish(e)); got != want {
					t.Errorf("got code %s, want %s", got, want)
				}
			})
		}
	}
}

func TestPublishOverGRPCAnswers(t *testing.T) {
	s := eventmeshtest.New(t, eventmeshtest.Options{})
	c := dialGRPC(t, s)
	c.subscribe("g", "T")
	tests := map[string]struct {
		event *eventmeshpb.CloudEvent
		want  string
	}{
		"success": {publication("T", "1"), "success SendResult[topic=T, messageId="},
		"header":  {publication("T", "1", "env", ""), "eventMesh CloudEvent[header] err, "},
		"body":    {publication("T", "1", "ttl", ""), "eventMesh CloudEvent[body] err, "},
		"send":    {publication("nobody", "1"), "eventMesh send async msg err, "},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			a := c.publish(test.event)
			if got := a.GetAttributes()["responsemessage"].GetCeString(); !strings.HasPrefix(got, test.want) {
				t.Errorf("got message %q, want it to start with %q", got, test.want)
			}
			if a.GetAttributes()["time"].GetCeTimestamp() == nil {
				t.Error("got no time")
			}
		})
	}
}

func TestEventOverGRPCSurvivesExactly(t *testing.T) {
	s := eventmeshtest.New(t, eventmeshtest.Options{})
	c := dialGRPC(t, s)
	sub := c.subscribe("g", "T")
	sent := publication("T", "1", "datacontenttype", "application/json")
	sent.Data = textData("{ \"a\" : 2.50,\n\"a\":1 }")
	sent.Attributes["anint"] = integer(-3)
	sent.Attributes["abool"] = &eventmeshpb.CloudEvent_AttributeValue{Attr: &eventmeshpb.CloudEvent_AttributeValue_CeBoolean{CeBoolean: true}}
	sent.Attributes["abytes"] = &eventmeshpb.CloudEvent_AttributeValue{Attr: &eventmeshpb.CloudEvent_AttributeValue_CeBytes{CeBytes: []byte{0, 255}}}
	sent.Attributes["auri"] = &eventmeshpb.CloudEvent_AttributeValue{Attr: &eventmeshpb.CloudEvent_AttributeValue_CeUri{CeUri: "http://x/"}}
	sent.Attributes["aref"] = &eventmeshpb.CloudEvent_AttributeValue{Attr: &eventmeshpb.CloudEvent_AttributeValue_CeUriRef{CeUriRef: "/x"}}
	sent.Attributes["atime"] = &eventmeshpb.CloudEvent_AttributeValue{
		Attr: &eventmeshpb.CloudEvent_AttributeValue_CeTimestamp{CeTimestamp: timestamppb.New(time.Unix(1, 2))},
	}
	c.mustPublish(sent)
	got := sub.want("1")
	for _, name := range []string{"reqmq2eventmeshtimestamp", "reqeventmesh2ctimestamp"} {
		if got.GetAttributes()[name].GetCeString() == "" {
			t.Errorf("got no attribute %s", name)
		}
		delete(got.Attributes, name)
	}
	if !proto.Equal(got, sent) {
		t.Errorf("got %v\nwant %v", got, sent)
	}
	if got.GetAttributes()["passwd"].GetCeString() != "p" {
		t.Error("the publisher's password is missing, which EventMesh hands to everybody")
	}
	if stored := s.Published("T"); len(stored) != 1 || !proto.Equal(stored[0], sent) {
		t.Errorf("Published: got %v, want %v", stored, sent)
	}
}

func TestPublishAbove4MiBIsResourceExhausted(t *testing.T) {
	s := eventmeshtest.New(t, eventmeshtest.Options{})
	c := dialGRPC(t, s)
	e := publication("T", "1")
	e.Data = textData(strings.Repeat("x", 4<<20))
	_, err := c.publisher.Publish(t.Context(), e)
	if status.Code(err) != codes.ResourceExhausted {
		t.Errorf("got %v, want ResourceExhausted", err)
	}
}

func TestOneWayIsUnimplemented(t *testing.T) {
	s := eventmeshtest.New(t, eventmeshtest.Options{})
	c := dialGRPC(t, s)
	_, one := c.publisher.PublishOneWay(t.Context(), publication("T", "1"))
	_, batch := c.publisher.BatchPublishOneWay(t.Context(), &eventmeshpb.CloudEventBatch{})
	for _, err := range []error{one, batch} {
		if status.Code(err) != codes.Unimplemented {
			t.Errorf("got %v, want Unimplemented", err)
		}
	}
}

func TestBatchPublish(t *testing.T) {
	s := eventmeshtest.New(t, eventmeshtest.Options{})
	c := dialGRPC(t, s)
	c.subscribe("g", "T")
	tests := map[string]struct {
		events []*eventmeshpb.CloudEvent
		want   string
	}{
		"all good":        {[]*eventmeshpb.CloudEvent{publication("T", "1"), publication("T", "2")}, "0"},
		"nobody gets any": {[]*eventmeshpb.CloudEvent{publication("nobody", "1")}, "0"},
		"bad attributes":  {[]*eventmeshpb.CloudEvent{publication("T", "1"), publication("T", "2", "env", "")}, "6"},
		"bad body":        {[]*eventmeshpb.CloudEvent{publication("T", "1", "ttl", "")}, "7"},
		"no protocoltype": {[]*eventmeshpb.CloudEvent{publication("T", "1", "protocoltype", "")}, "10"},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			a, err := c.publisher.BatchPublish(t.Context(), &eventmeshpb.CloudEventBatch{Events: test.events})
			if err != nil || statusOf(a) != test.want {
				t.Errorf("got code %s, error %v, want %s", statusOf(a), err, test.want)
			}
		})
	}
	if _, err := c.publisher.BatchPublish(t.Context(), &eventmeshpb.CloudEventBatch{}); status.Code(err) != codes.Unknown {
		t.Errorf("empty batch: got %v, want Unknown", err)
	}
}

func TestRateLimitOverGRPC(t *testing.T) {
	s := eventmeshtest.New(t, eventmeshtest.Options{RateLimit: 1})
	c := dialGRPC(t, s)
	c.subscribe("g", "T")
	c.mustPublish(publication("T", "1"))
	if got := statusOf(c.publish(publication("T", "2"))); got != "21" {
		t.Errorf("got code %s, want 21", got)
	}
}

func TestCredentialsOverGRPC(t *testing.T) {
	s := eventmeshtest.New(t, eventmeshtest.Options{Credentials: map[string]string{"u": "p"}})
	c := dialGRPC(t, s)
	c.subscribe("g", "T")
	c.mustPublish(publication("T", "1"))
	wrong := []string{"passwd", "q"}
	hb, err := c.heartbeats.Heartbeat(t.Context(), heartbeat("g", "T", wrong...))
	if err != nil {
		t.Fatal(err)
	}
	for name, a := range map[string]*eventmeshpb.CloudEvent{
		"publish":   c.publish(publication("T", "2", wrong...)),
		"subscribe": c.open(set(subscriptionTo("g", "T"), wrong...)).first,
		"heartbeat": hb,
	} {
		if statusOf(a) != "20" {
			t.Errorf("%s: got code %s, want 20", name, statusOf(a))
		}
	}
}

func TestPublishFaults(t *testing.T) {
	s := eventmeshtest.New(t, eventmeshtest.Options{})
	c := dialGRPC(t, s)
	sub := c.subscribe("g", "T")

	s.SetFaults(eventmeshtest.Faults{Refuse: "21"})
	if a := c.publish(publication("T", "refused")); statusOf(a) != "21" ||
		a.GetAttributes()["responsemessage"].GetCeString() != "eventMesh send message speed over the limit err." {
		t.Errorf("Refuse: got %v, want code 21 and its text", a)
	}
	s.SetFaults(eventmeshtest.Faults{Refuse: "99", RefuseDescription: "no"})
	if a := c.publish(publication("T", "refused")); statusOf(a) != "99" || a.GetAttributes()["responsemessage"].GetCeString() != "no" {
		t.Errorf("Refuse: got %v, want code 99 and no", a)
	}

	s.SetFaults(eventmeshtest.Faults{LoseAnswers: 1})
	ctx, cancel := context.WithTimeout(t.Context(), ample)
	defer cancel()
	if _, err := c.publisher.Publish(ctx, publication("T", "unanswered")); status.Code(err) != codes.DeadlineExceeded {
		t.Errorf("LoseAnswers: got %v, want DeadlineExceeded", err)
	}
	sub.want("unanswered")

	s.SetFaults(eventmeshtest.Faults{Delay: quiet})
	start := time.Now()
	c.mustPublish(publication("T", "late"))
	if d := time.Since(start); d < quiet {
		t.Errorf("Delay: answered after %v, want %v", d, quiet)
	}
	sub.want("late")
}
