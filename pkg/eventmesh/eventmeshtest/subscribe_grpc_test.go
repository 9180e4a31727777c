package eventmeshtest_test

import (
	"context"
	"testing"
	"time"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	"github.com/eventing-eventmesh/eventing-eventmesh/pkg/eventmesh/eventmeshtest"
	"github.com/eventing-eventmesh/eventing-eventmesh/pkg/eventmesh/grpc/eventmeshpb"
)

func withData(e *eventmeshpb.CloudEvent, data string) *eventmeshpb.CloudEvent {
	e.Data = textData(data)
	return e
}

func TestSubscriptionIsEchoed(t *testing.T) {
	s := eventmeshtest.New(t, eventmeshtest.Options{})
	first := dialGRPC(t, s).subscribe("g", "T").first
	for name, want := range map[string]string{"statuscode": "0", "responsemessage": "subscribe success", "consumergroup": "g", "ip": "10.0.0.1"} {
		if got := first.GetAttributes()[name].GetCeString(); got != want {
			t.Errorf("%s: got %q, want %q", name, got, want)
		}
	}
	if first.GetTextData() != subscriptionTo("g", "T").GetTextData() {
		t.Errorf("got data %q, want the subscription", first.GetTextData())
	}
}

func TestSubscriptionAndUnsubscriptionAreChecked(t *testing.T) {
	s := eventmeshtest.New(t, eventmeshtest.Options{})
	c := dialGRPC(t, s)
	tests := map[string]struct {
		subscription           *eventmeshpb.CloudEvent
		subscribe, unsubscribe string
	}{
		"no env":            {set(subscriptionTo("g", "T"), "env", ""), "6", "6"},
		"no group":          {set(subscriptionTo("g", "T"), "consumergroup", ""), "7", "7"},
		"no topics":         {subscriptionTo("g"), "7", "7"},
		"no data":           {withData(subscriptionTo("g"), ""), "7", "7"},
		"empty topic":       {subscriptionTo("g", ""), "7", "7"},
		"unrecognized mode": {withData(subscriptionTo("g"), `[{"topic":"T","mode":"UNRECOGNIZED","type":"ASYNC"}]`), "7", "7"},
		"unknown mode":      {withData(subscriptionTo("g"), `[{"topic":"T","mode":"SOMETIMES","type":"ASYNC"}]`), "17", "18"},
		"unknown type":      {withData(subscriptionTo("g"), `[{"topic":"T","mode":"CLUSTERING","type":"LATER"}]`), "17", "18"},
		"no JSON":           {withData(subscriptionTo("g"), `{`), "17", "18"},
		"no mode":           {withData(subscriptionTo("g"), `[{"topic":"T"}]`), "17", "0"},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			st := c.open(test.subscription)
			if got := statusOf(st.first); got != test.subscribe {
				t.Errorf("subscribing: got code %s, want %s", got, test.subscribe)
			}
			st.wantEnd()
			a, err := c.consumer.Unsubscribe(t.Context(), test.subscription)
			if err != nil || statusOf(a) != test.unsubscribe {
				t.Errorf("unsubscribing: got code %s, error %v, want %s", statusOf(a), err, test.unsubscribe)
			}
		})
	}
}

func TestHeartbeatIsChecked(t *testing.T) {
	s := eventmeshtest.New(t, eventmeshtest.Options{})
	c := dialGRPC(t, s)
	c.subscribe("g", "T")
	as := func(clientType int32, e *eventmeshpb.CloudEvent) *eventmeshpb.CloudEvent {
		e.Attributes["clienttype"] = integer(clientType)
		return e
	}
	tests := map[string]struct {
		heartbeat *eventmeshpb.CloudEvent
		want      string
	}{
		"known":                        {heartbeat("g", "T"), "0"},
		"no client attribute":          {heartbeat("g", "T", "sys", ""), "6"},
		"no group":                     {heartbeat("g", "T", "consumergroup", ""), "7"},
		"no topic":                     {heartbeat("g", ""), "7"},
		"no data":                      {withData(heartbeat("g", "T"), ""), "19"},
		"publisher":                    {as(1, heartbeat("g", "T", "producergroup", "pg")), "7"},
		"publisher without a group":    {as(1, heartbeat("g", "T")), "7"},
		"no client type":               {as(0, heartbeat("g", "T")), "7"},
		"client type as string":        {heartbeat("g", "T", "clienttype", "2"), "7"},
		"unknown group":                {heartbeat("h", "T"), "30"},
		"unknown topic":                {heartbeat("g", "U"), "30"},
		"unknown process":              {heartbeat("g", "T", "pid", "2"), "30"},
		"unknown address":              {heartbeat("g", "T", "ip", "10.0.0.2"), "30"},
		"other idc makes no differenc": {heartbeat("g", "T", "idc", "X"), "0"},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			a, err := c.heartbeats.Heartbeat(t.Context(), test.heartbeat)
			if err != nil || statusOf(a) != test.want {
				t.Errorf("got code %s, error %v, want %s", statusOf(a), err, test.want)
			}
		})
	}
}

func TestHeartbeatOfADeadStreamIsAnsweredWithSuccess(t *testing.T) {
	s := eventmeshtest.New(t, eventmeshtest.Options{})
	c := dialGRPC(t, s)
	c.subscribe("g", "T").die(s, 0)
	a, err := c.heartbeats.Heartbeat(t.Context(), heartbeat("g", "T"))
	if err != nil || statusOf(a) != "0" {
		t.Errorf("got code %s, error %v, want 0", statusOf(a), err)
	}
}

func TestSubscribeFaultsOverGRPC(t *testing.T) {
	s := eventmeshtest.New(t, eventmeshtest.Options{})
	c := dialGRPC(t, s)
	s.SetFaults(eventmeshtest.Faults{StallHeartbeats: true, StallUnsubscribe: true, StallSubscribe: true})
	limited := func() context.Context {
		ctx, cancel := context.WithTimeout(t.Context(), ample)
		t.Cleanup(cancel)
		return ctx
	}
	_, heartbeat := c.heartbeats.Heartbeat(limited(), heartbeat("g", "T"))
	_, unsubscribe := c.consumer.Unsubscribe(limited(), subscriptionTo("g", "T"))
	rpc, err := c.consumer.SubscribeStream(limited())
	if err != nil {
		t.Fatal(err)
	}
	if err := rpc.Send(subscriptionTo("g", "T")); err != nil {
		t.Fatal(err)
	}
	_, subscribe := rpc.Recv()
	for name, err := range map[string]error{"heartbeat": heartbeat, "unsubscribe": unsubscribe, "subscribe": subscribe} {
		if status.Code(err) != codes.DeadlineExceeded {
			t.Errorf("%s: got %v, want DeadlineExceeded", name, err)
		}
	}
	s.SetFaults(eventmeshtest.Faults{RefuseSubscribe: true})
	if got := statusOf(c.open(subscriptionTo("g", "T")).first); got != "17" {
		t.Errorf("RefuseSubscribe: got code %s, want 17", got)
	}
}

func TestWebhooksAreUnimplemented(t *testing.T) {
	s := eventmeshtest.New(t, eventmeshtest.Options{})
	if _, err := dialGRPC(t, s).consumer.Subscribe(t.Context(), subscriptionTo("g", "T")); status.Code(err) != codes.Unimplemented {
		t.Errorf("got %v, want Unimplemented", err)
	}
}

func TestClientThatClosesItsHalfGetsTheEndAndGoesOnSwallowing(t *testing.T) {
	s := eventmeshtest.New(t, eventmeshtest.Options{SessionExpiry: time.Minute})
	c := dialGRPC(t, s)
	st := c.subscribe("g", "T")
	if err := st.rpc.CloseSend(); err != nil {
		t.Fatal(err)
	}
	st.wantEnd()
	c.mustPublish(publication("T", "1"))
}
