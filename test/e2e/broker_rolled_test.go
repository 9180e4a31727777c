//go:build e2e

package e2e

import (
	"testing"
)

// Whatever part of the class is replaced under load, each Trigger gets every event that was accepted, over both protocols.
func testBrokersAreRolled(t *testing.T) {
	transports := map[string]struct {
		scheme string
		port   int
	}{"e2e-broker-tcp": {"tcp", 10000}, "e2e-broker-grpc": {"grpc", 10205}}
	load := map[string]*traffic{}
	for name, transport := range transports {
		namespace(t, name)
		playBroker(t, name, transport.scheme, transport.port)
		load[name] = startTraffic(t, brokerIngress, name)
	}
	for _, fault := range []struct {
		name string
		do   func(t *testing.T, namespace, program string)
		of   string
	}{
		{"ingress rolled", rollDeployment, brokerIngress},
		{"ingress killed", kill, brokerIngress},
		{"dispatcher rolled", rollStatefulSet, brokerDispatcher},
		{"controller rolled", rollDeployment, brokerController},
		{"controller away", scaleAway, brokerController},
	} {
		t.Run(fault.name, func(t *testing.T) {
			for _, numbers := range load {
				numbers.flow(t)
			}
			fault.do(t, knative, fault.of)
			for name, numbers := range load {
				numbers.flow(t)
				accepted, refused := numbers.counts()
				t.Logf("%s: %d events accepted, %d refused", name, accepted, refused)
				awaitNumbers(t, name, receiverOfAll, 1, accepted, 1)
			}
			if fault.of == brokerController {
				scale(t, knative, brokerController, 2)
			}
			awaitReady(t, knative, brokerIngress, 2)
			awaitReady(t, knative, brokerDispatcher, 1)
			awaitReady(t, knative, brokerController, 2)
		})
	}
	for name, numbers := range load {
		last := numbers.end()
		awaitNumbers(t, name, receiverOfAll, 1, last, 1)
		awaitNumbers(t, name, receiverOfEven, 2, last, 2)
		for n := range received(t, name, receiverOfEven) {
			if n%2 != 0 {
				t.Errorf("%s: the Trigger with a filter has got event %d", name, n)
			}
		}
		for _, trigger := range []string{"all", "even"} {
			object{"Trigger", name, trigger}.awaitsReady(t)
		}
	}
}

// scaleAway ends all pods of a Deployment.
func scaleAway(t *testing.T, namespace, program string) {
	t.Helper()
	scale(t, namespace, program, 0)
}
