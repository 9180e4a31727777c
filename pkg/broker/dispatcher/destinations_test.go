package dispatcher

import (
	"net/http"
	"net/http/httptest"
	"testing"
	"time"

	"github.com/cloudevents/sdk-go/v2/event"
	"go.uber.org/zap"

	"github.com/eventing-eventmesh/eventing-eventmesh/pkg/broker"
	"github.com/eventing-eventmesh/eventing-eventmesh/pkg/broker/table"
	"github.com/eventing-eventmesh/eventing-eventmesh/pkg/dispatch"
)

// Each place gets the token of the Trigger that is for it, and a place without an audience none.
func TestTokensAreSent(t *testing.T) {
	shown := ""
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		shown = r.Header.Get("Authorization")
		w.WriteHeader(http.StatusAccepted)
	}))
	defer server.Close()
	at := func(audience string) table.Endpoint { return table.Endpoint{URL: server.URL, Audience: audience} }
	d := &dispatcher{config: NewConfig(), tokens: newTokens(nil, zap.NewNop().Sugar())}
	d.destinations.tokens = d.tokens
	for name, test := range map[string]struct {
		trigger table.Trigger
		own     table.Endpoint
		of      func(broker.Trigger) dispatch.Destination
		want    string
	}{
		"the subscriber":       {table.Trigger{ServiceAccount: "orders", Subscriber: at("subscriber")}, at(""), func(t broker.Trigger) dispatch.Destination { return t.Subscriber }, "Bearer orders for subscriber"},
		"the dead letter sink": {table.Trigger{ServiceAccount: "orders", DeadLetterSink: at("dead")}, at(""), func(t broker.Trigger) dispatch.Destination { return t.DeadLetterSink }, "Bearer orders for dead"},
		"the Broker":           {table.Trigger{ServiceAccount: "orders"}, at("broker"), func(t broker.Trigger) dispatch.Destination { return t.Replies }, "Bearer orders for broker"},
		"a place with no audience": {
			table.Trigger{ServiceAccount: "orders", Subscriber: at("")}, at("broker"), func(t broker.Trigger) dispatch.Destination { return t.Subscriber }, "",
		},
		"a Trigger with no account": {table.Trigger{Subscriber: at("subscriber")}, at("broker"), func(t broker.Trigger) dispatch.Destination { return t.Subscriber }, ""},
	} {
		t.Run(name, func(t *testing.T) {
			test.trigger.Namespace, test.trigger.UID = "shop", "t"
			d.destinations.begin("")
			to := test.of(d.trigger(&test.trigger, &table.Broker{Namespace: "shop", UID: "b", Address: test.own}))
			d.destinations.end()
			for id := range d.tokens.kept {
				d.tokens.answered(id, issued{token: id.account + " for " + id.audience, end: time.Now().Add(time.Hour)})
			}
			e := event.New()
			e.SetID("1")
			e.SetSource("/test")
			e.SetType("order")
			shown = "nothing"
			if _, err := to.Send(t.Context(), e); err != nil || shown != test.want {
				t.Errorf("got %q, %v, want %q", shown, err, test.want)
			}
		})
	}
	d.destinations.begin("")
	d.destinations.end()
}
