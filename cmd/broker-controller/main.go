// The controller writes into the statuses of Brokers of class EventMesh, and of their Triggers, where they are and whether they are served.
package main

import (
	"fmt"
	"os"

	"github.com/KimMachineGun/automemlimit/memlimit"
	"knative.dev/pkg/injection/sharedmain"

	"github.com/eventing-eventmesh/eventing-eventmesh/internal/version"
	"github.com/eventing-eventmesh/eventing-eventmesh/pkg/broker/controller"
)

const component = "eventmesh-broker-controller"

func main() {
	if version.Asked(os.Args[1:]) {
		fmt.Println(version.Line(component))
		return
	}
	_, _ = memlimit.SetGoMemLimitWithOpts() // to 90 % of the container's, where that has a limit; GOMEMLIMIT comes before that
	sharedmain.Main(component, controller.NewBrokers, controller.NewTriggers)
}
