// The controller writes into the statuses of Brokers of class EventMesh, and of their Triggers, where they are and whether they are served.
package main

import (
	filteredfactory "knative.dev/pkg/client/injection/kube/informers/factory/filtered"
	"knative.dev/pkg/injection/sharedmain"
	"knative.dev/pkg/signals"

	"github.com/eventing-eventmesh/eventing-eventmesh/pkg/broker/controller"
)

func main() {
	ctx := filteredfactory.WithSelectors(signals.NewContext(), controller.Selector)
	sharedmain.MainWithContext(ctx, "eventmesh-broker-controller", controller.NewBrokers, controller.NewTriggers)
}
