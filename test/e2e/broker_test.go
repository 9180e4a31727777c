//go:build e2e

package e2e

import (
	"context"
	"fmt"
	"os/exec"
	"strings"
	"testing"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"knative.dev/pkg/apis"
	duckv1 "knative.dev/pkg/apis/duck/v1"
)

// The programs of Brokers of class EventMesh.
const (
	brokerIngress    = "eventmesh-broker-ingress"
	brokerDispatcher = "eventmesh-broker-dispatcher"
	brokerController = "eventmesh-broker-controller"
)

// The receivers of the Triggers all, without a filter, and even, of events with even numbers.
const (
	receiverOfAll  = "all-receiver"
	receiverOfEven = "even-receiver"
)

// TestBrokers plays Brokers of class EventMesh.
func TestBrokers(t *testing.T) {
	installBrokers(t)
	t.Run("come and go", testBrokerComesAndGoes)
	t.Run("are rolled", testBrokersAreRolled)
}

// installBrokers installs the class EventMesh for the time of the test.
func installBrokers(t *testing.T) {
	t.Helper()
	uninstallBrokers(t)
	run(t, nil, "kustomize build config/broker | ko apply -f -")
	for _, workload := range []string{"deployment/" + brokerController, "deployment/" + brokerIngress, "statefulset/" + brokerDispatcher} {
		run(t, nil, "kubectl -n "+knative+" rollout status "+workload+" --timeout=3m")
	}
}

// uninstallBrokers makes a volume for the class EventMesh, and removes the class with all that it has kept, now and at the end of the test.
func uninstallBrokers(t *testing.T) {
	t.Helper()
	volumes(t, 1)
	// The pods end before they lose their rights: a controller gives its lease away then, for which the next one would wait a minute.
	const command = "kubectl -n " + knative + " delete deployment,statefulset --selector=app.kubernetes.io/part-of=eventing-eventmesh --cascade=foreground && " +
		"kustomize build config/broker | kubectl delete --ignore-not-found -f - && kubectl -n " + knative + " delete persistentvolumeclaim spool-" + brokerDispatcher + "-0 --ignore-not-found"
	run(t, nil, command)
	t.Cleanup(func() {
		if t.Failed() {
			explain(context.WithoutCancel(t.Context()), t, knative)
		}
		shell := exec.Command("sh", "-c", command)
		shell.Dir = root
		if output, err := shell.CombinedOutput(); err != nil {
			t.Errorf("removing the class EventMesh: %v\n%s", err, output)
		}
	})
}

// playBroker makes all of test/e2e/broker in a namespace, with a ConfigMap that leads to its own EventMesh, and waits until it is ready.
func playBroker(t *testing.T, namespace, scheme string, port int) {
	t.Helper()
	configure(t, namespace, map[string]string{"eventmesh.url": eventMeshOf(namespace, scheme, port)})
	run(t, nil, "kustomize build test/e2e/broker | ko resolve -f - | kubectl -n "+namespace+" apply -f -")
	for _, program := range []string{receiverOfAll, receiverOfEven} {
		awaitReady(t, namespace, program, 1)
	}
	for _, o := range []object{{"Broker", namespace, "default"}, {"Trigger", namespace, "all"}, {"Trigger", namespace, "even"}} {
		o.awaitsReady(t)
	}
}

// eventMeshOf is where devmesh is that stands for the EventMesh of a namespace.
func eventMeshOf(namespace, scheme string, port int) string {
	return fmt.Sprintf("%s://eventmesh.%s.svc.cluster.local:%d", scheme, namespace, port)
}

// configure makes the ConfigMap that the Broker of a namespace names, or gives it another content; nil: it is deleted.
func configure(t *testing.T, namespace string, data map[string]string) {
	t.Helper()
	configs, config := cluster.CoreV1().ConfigMaps(namespace), &corev1.ConfigMap{ObjectMeta: metav1.ObjectMeta{Name: "eventmesh"}, Data: data}
	if data == nil {
		if err := configs.Delete(t.Context(), config.Name, metav1.DeleteOptions{}); err != nil {
			t.Fatal(err)
		}
		return
	}
	_, err := configs.Update(t.Context(), config, metav1.UpdateOptions{})
	if errors.IsNotFound(err) {
		_, err = configs.Create(t.Context(), config, metav1.CreateOptions{})
	}
	if err != nil {
		t.Fatal(err)
	}
}

// object is a Broker or a Trigger.
type object struct{ kind, namespace, name string }

// get returns it as it is now.
func (o object) get(ctx context.Context) (duckv1.KRShaped, error) {
	if o.kind == "Broker" {
		return eventing.EventingV1().Brokers(o.namespace).Get(ctx, o.name, metav1.GetOptions{})
	}
	return eventing.EventingV1().Triggers(o.namespace).Get(ctx, o.name, metav1.GetOptions{})
}

// awaits waits until a condition has a status and a reason, with a message that has a text in it.
func (o object) awaits(t *testing.T, condition apis.ConditionType, status corev1.ConditionStatus, reason, message string) {
	t.Helper()
	eventually(t, func() string {
		found, err := o.get(t.Context())
		if err != nil {
			return err.Error()
		}
		got := found.GetStatus().GetCondition(condition)
		if got == nil || found.GetStatus().ObservedGeneration != found.GetGeneration() || got.Status != status || got.Reason != reason || !strings.Contains(got.Message, message) {
			return fmt.Sprintf("%s %s/%s has %s %+v, want %s %s %s", o.kind, o.namespace, o.name, condition, got, status, reason, message)
		}
		return ""
	})
}

// awaitsReady waits until it is ready.
func (o object) awaitsReady(t *testing.T) {
	t.Helper()
	o.awaits(t, apis.ConditionReady, corev1.ConditionTrue, "", "")
}

// scale gives a Deployment so many replicas, and waits until there are no others.
func scale(t *testing.T, namespace, program string, replicas int) {
	t.Helper()
	before := pods(t, namespace, program)
	run(t, nil, fmt.Sprintf("kubectl -n %s scale deployment/%s --replicas=%d", namespace, program, replicas))
	awaitReady(t, namespace, program, replicas)
	if replicas == 0 {
		for _, pod := range before {
			awaitGone(t, namespace, pod.Name, pod.UID)
		}
	}
}
