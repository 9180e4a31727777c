//go:build e2e

package e2e

import (
	"fmt"
	"regexp"
	"strings"
	"testing"

	corev1 "k8s.io/api/core/v1"
)

const drained = "e2e-drain"

var drainedEvents = regexp.MustCompile(`emptying the spool, and subscribing to nothing","events":[1-9]`)

// TestDrain: a Job delivers what a pod that is gone has left on its volume.
func TestDrain(t *testing.T) {
	volumes(t, 2)
	namespace(t, drained)
	run(t, nil, "kustomize build test/e2e/drain | ko apply -f -")
	awaitReady(t, drained, source, 2)
	const events = 20
	for n := 1; n <= events; n++ {
		run(t, nil, fmt.Sprintf("kubectl -n %s exec deployment/devmesh -- /ko-app/devmesh publish --url=tcp://eventmesh:10000 --topic=numbers --id=n%06d data", drained, n))
	}
	run(t, nil, "kubectl -n "+drained+" scale statefulset/eventmesh-source --replicas=1")
	awaitReady(t, drained, source, 1)
	run(t, nil, "kubectl -n "+drained+" wait --for=delete pod/eventmesh-source-1 --timeout=2m")

	run(t, nil, "kustomize build test/e2e/drained | ko apply -f -")
	run(t, nil, "kubectl -n "+drained+" wait --for=condition=Complete job/eventmesh-source-drain --timeout=3m")
	awaitNumbers(t, drained, receiver, 1, events, 1)
	said := strings.Builder{}
	for _, pod := range pods(t, drained, "eventmesh-source-drain") {
		text, err := logs(t.Context(), drained, pod.Name, &corev1.PodLogOptions{})
		if err != nil {
			t.Fatal(err)
		}
		said.WriteString(text)
	}
	if !drainedEvents.MatchString(said.String()) {
		t.Errorf("the Job had nothing to deliver:\n%s", said.String())
	}
}
