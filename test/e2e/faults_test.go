//go:build e2e

package e2e

import (
	"fmt"
	"slices"
	"strings"
	"testing"

	policyv1 "k8s.io/api/policy/v1"
	"k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
)

const (
	faults = "e2e-faults" // source with a spool, over TCP
	memory = "e2e-memory" // source with a buffer in memory, over TCP, at the same EventMesh
	sink   = "eventmesh-sink"
	source = "eventmesh-source"

	receiver = "receiver"
)

// between is how many events flow before and after each fault.
const between = 100

func TestFaults(t *testing.T) {
	volumes(t, 2)
	for _, name := range []string{memory, faults} {
		namespace(t, name)
	}
	run(t, nil, "kustomize build test/e2e/faults | ko apply -f -")
	run(t, nil, "kustomize build test/e2e/faults/memory | ko apply -f -")
	run(t, nil, "kubectl -n "+faults+" wait --for=condition=Ready broker/default trigger/numbers --timeout=3m")
	awaitReady(t, faults, sink, 2)
	awaitReady(t, faults, source, 2)
	awaitReady(t, memory, source, 1)
	awaitReady(t, faults, receiver, 1)
	awaitReady(t, memory, receiver, 1)

	numbers := startTraffic(t, knativeIngress, faults)
	for _, fault := range []struct {
		name      string
		do        func(t *testing.T, namespace, program string)
		namespace string
		program   string
	}{
		{"sink killed", kill, faults, sink},
		{"source killed", kill, faults, source},
		{"sink evicted", evict, faults, sink},
		{"source evicted", evict, faults, source},
		{"sink rolled", rollDeployment, faults, sink},
		{"source rolled", rollStatefulSet, faults, source},
		{"source in memory rolled", rollContainerSource, memory, source},
	} {
		t.Run(fault.name, func(t *testing.T) {
			numbers.flow(t)
			first := numbers.count()
			fault.do(t, fault.namespace, fault.program)
			awaitReady(t, faults, sink, 2)
			awaitReady(t, faults, source, 2)
			awaitReady(t, memory, source, 1)
			t.Logf("events %d to %d", first, numbers.count())
		})
	}
	numbers.flow(t)
	last := numbers.end()
	for _, namespace := range []string{faults, memory} {
		awaitNumbers(t, namespace, receiver, 1, last, 1)
	}
	if !t.Failed() {
		restartEventMesh(t)
	}
}

// awaitNumbers waits until none of the numbers, each so much more than the one before, is missing at a receiver.
func awaitNumbers(t *testing.T, namespace, program string, first, last, step int) {
	t.Helper()
	twice := 0
	eventually(t, func() string {
		got := received(t, namespace, program)
		if lost := missing(got, first, last, step); len(lost) > 0 {
			return fmt.Sprintf("%s/%s has not got %d of events %d to %d: %v", namespace, program, len(lost), first, last, lost[:min(len(lost), 20)])
		}
		for _, n := range got {
			twice += n - 1
		}
		return ""
	})
	t.Logf("%s/%s: events %d to %d have all arrived, and %d again", namespace, program, first, last, twice)
}

// kill ends a pod as the loss of its process does.
func kill(t *testing.T, namespace, program string) {
	t.Helper()
	victim := pods(t, namespace, program)[0]
	now := int64(0)
	if err := cluster.CoreV1().Pods(namespace).Delete(t.Context(), victim.Name, metav1.DeleteOptions{GracePeriodSeconds: &now}); err != nil {
		t.Fatal(err)
	}
	awaitGone(t, namespace, victim.Name, victim.UID)
}

// evict drains a pod, as budgets allow.
func evict(t *testing.T, namespace, program string) {
	t.Helper()
	victim := pods(t, namespace, program)[0]
	err := cluster.PolicyV1().Evictions(namespace).Evict(t.Context(), &policyv1.Eviction{ObjectMeta: metav1.ObjectMeta{Name: victim.Name, Namespace: namespace}})
	if err != nil {
		t.Fatal(err)
	}
	awaitGone(t, namespace, victim.Name, victim.UID)
}

func awaitGone(t *testing.T, namespace, pod string, uid types.UID) {
	t.Helper()
	eventually(t, func() string {
		p, err := cluster.CoreV1().Pods(namespace).Get(t.Context(), pod, metav1.GetOptions{})
		if errors.IsNotFound(err) || err == nil && p.UID != uid {
			return ""
		}
		return "pod " + pod + " is still there"
	})
}

func rollDeployment(t *testing.T, namespace, program string) {
	t.Helper()
	roll(t, namespace, "deployment/"+program)
}

func rollStatefulSet(t *testing.T, namespace, program string) {
	t.Helper()
	roll(t, namespace, "statefulset/"+program)
}

func roll(t *testing.T, namespace, workload string) {
	t.Helper()
	run(t, nil, "kubectl -n "+namespace+" rollout restart "+workload)
	run(t, nil, "kubectl -n "+namespace+" rollout status "+workload+" --timeout=3m")
}

// rollContainerSource changes the pod of a ContainerSource, whose Deployment then replaces it.
func rollContainerSource(t *testing.T, namespace, program string) {
	t.Helper()
	old := pods(t, namespace, program)[0]
	run(t, nil, "kubectl -n "+namespace+" patch containersource "+program+` --type=json --patch='[{"op":"add","path":"/spec/template/spec/containers/0/env/-","value":{"name":"EVENTMESH_MAX_IN_FLIGHT","value":"8"}}]'`)
	awaitGone(t, namespace, old.Name, old.UID)
}

// restartEventMesh counts apart what is lost when EventMesh forgets everything, and what comes after it.
func restartEventMesh(t *testing.T) {
	t.Helper()
	for _, namespace := range []string{faults, memory} { // the numbers start again
		rollDeployment(t, namespace, receiver)
		awaitReady(t, namespace, receiver, 1)
	}
	before := restarts(t)
	numbers := startTraffic(t, knativeIngress, faults)
	numbers.flow(t)
	kill(t, faults, "devmesh")
	awaitReady(t, faults, "devmesh", 1)
	awaitReady(t, faults, sink, 2)
	awaitReady(t, faults, source, 2)
	awaitReady(t, memory, source, 1)
	numbers.flow(t)
	first := numbers.count() + 1
	numbers.flow(t)
	last := numbers.end()
	for _, namespace := range []string{faults, memory} {
		awaitNumbers(t, namespace, receiver, first, last, 1)
		t.Logf("%s: %d of events 1 to %d, around the restart of EventMesh, have not arrived", namespace, len(missing(received(t, namespace, receiver), 1, first-1, 1)), first-1)
	}
	if after := restarts(t); !slices.Equal(before, after) {
		t.Errorf("pods have changed with EventMesh: before %s, after %s", strings.Join(before, " "), strings.Join(after, " "))
	}
}

// restarts names the adapters' pods, and how often they have been restarted.
func restarts(t *testing.T) []string {
	t.Helper()
	var all []string
	for _, pod := range slices.Concat(pods(t, faults, sink), pods(t, faults, source), pods(t, memory, source)) {
		all = append(all, fmt.Sprintf("%s:%d", pod.Name, pod.Status.ContainerStatuses[0].RestartCount))
	}
	slices.Sort(all)
	return all
}
