package ingress

import (
	"context"
	"errors"
	"fmt"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/cloudevents/sdk-go/v2/event"
	"go.uber.org/zap"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	k8stesting "k8s.io/client-go/testing"
	"knative.dev/eventing/pkg/client/clientset/versioned/fake"

	"github.com/eventing-eventmesh/eventing-eventmesh/pkg/broker/table"
)

func eventOf(typ, source string) *event.Event {
	e := event.New()
	e.SetID("1")
	e.SetType(typ)
	e.SetSource(source)
	return &e
}

// Each type and source of a Broker is made once, while the feature is on, and again when that has failed.
func TestEventTypes(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		client := fake.NewSimpleClientset()
		var away atomic.Bool
		client.PrependReactor("create", "eventtypes", func(k8stesting.Action) (bool, runtime.Object, error) {
			if away.Load() {
				return true, nil, errors.New("away")
			}
			return false, nil, nil
		})
		types := newEventTypes(client.EventingV1beta3(), zap.NewNop().Sugar())
		ctx, cancel := context.WithCancel(t.Context())
		defer cancel()
		go types.run(ctx)
		b := &table.Broker{Namespace: "shop", Name: "default", UID: "b"}
		has := func(want int) {
			t.Helper()
			synctest.Wait()
			all, err := client.EventingV1beta3().EventTypes("shop").List(t.Context(), metav1.ListOptions{})
			if err != nil || len(all.Items) != want {
				t.Fatalf("got %d event types, %v, want %d", len(all.Items), err, want)
			}
			for i := range all.Items {
				one := &all.Items[i]
				if err := one.Validate(t.Context()); err != nil || one.OwnerReferences[0].UID != "b" || one.Spec.Reference.Name != "default" || len(one.Spec.Attributes) < 4 {
					t.Errorf("got %+v, %v", one, err)
				}
			}
		}
		types.note(b, eventOf("order", "/shop"))
		has(0)
		types.on.Store(true)
		for range 3 {
			types.note(b, eventOf("order", "/shop"))
		}
		has(1)
		types.note(b, eventOf("order", "/bank"))
		types.note(b, eventOf("payment", "/shop"))
		has(3)
		away.Store(true)
		types.note(b, eventOf("refund", "/shop"))
		has(3)
		away.Store(false)
		types.note(b, eventOf("refund", "/shop"))
		has(4)
		time.Sleep(knownFor + time.Second)
		types.note(b, eventOf("refund", "/shop")) // exists already
		has(4)
		for i := range 10 * waitingTypes {
			types.note(b, eventOf(fmt.Sprint(i), "/shop")) // without waiting
		}
		synctest.Wait()
	})
}

// Without a cluster there are none.
func TestEventTypesWithoutACluster(t *testing.T) {
	types := newEventTypes(nil, zap.NewNop().Sugar())
	types.on.Store(true)
	types.note(&table.Broker{}, eventOf("order", "/shop"))
	if len(types.making) > 0 {
		t.Error("an event type waits that nobody makes")
	}
}
