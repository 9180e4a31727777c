package broker_test

import (
	"context"
	"fmt"
	"testing"
	"time"

	eventingv1 "knative.dev/eventing/pkg/apis/eventing/v1"

	"github.com/eventing-eventmesh/eventing-eventmesh/pkg/broker"
	"github.com/eventing-eventmesh/eventing-eventmesh/pkg/broker/filter"
	"github.com/eventing-eventmesh/eventing-eventmesh/pkg/dispatch"
)

// BenchmarkPut is what an event costs a Broker by Triggers that do not want it: each of them, and all together.
func BenchmarkPut(b *testing.B) {
	for name, spec := range map[string]*eventingv1.TriggerSpec{
		"attributes": {Filter: &eventingv1.TriggerFilter{Attributes: map[string]string{"type": "order.returned"}}},
		"exact":      {Filters: []eventingv1.SubscriptionsAPIFilter{{Exact: map[string]string{"type": "order.returned"}}}},
		"cesql":      {Filters: []eventingv1.SubscriptionsAPIFilter{{CESQL: "type = 'order.returned'"}}},
	} {
		for _, triggers := range []int{1, 100, 10_000} {
			b.Run(fmt.Sprintf("%s/%d", name, triggers), func(b *testing.B) {
				d := dispatch.New(dispatch.Options{})
				f := broker.NewFanout(broker.FanoutOptions{Dispatcher: d})
				f.Set(unwanting(b, triggers, spec))
				d.Start()
				b.Cleanup(func() {
					ended, cancel := context.WithCancel(context.Background())
					cancel()
					d.Drain(ended)
				})
				e := newEvent("1", "order.placed")
				e.SetTime(time.Now())
				b.ReportAllocs()
				for b.Loop() {
					if err := f.Put(b.Context(), &dispatch.Message{Event: e}); err != nil {
						b.Fatal(err)
					}
				}
				b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N)/float64(triggers), "ns/trigger")
			})
		}
	}
}

// unwanting returns so many Triggers with the same filter.
func unwanting(b *testing.B, n int, spec *eventingv1.TriggerSpec) []broker.Trigger {
	b.Helper()
	all := make([]broker.Trigger, n)
	for i := range all {
		f, err := filter.New(spec)
		if err != nil {
			b.Fatal(err)
		}
		all[i] = broker.Trigger{UID: fmt.Sprint(i), Filter: f, Subscriber: &place{}}
	}
	return all
}
