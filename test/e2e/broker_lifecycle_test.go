//go:build e2e

package e2e

import (
	"encoding/json"
	"fmt"
	"maps"
	"net/http"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/equality"
	eventingv1 "knative.dev/eventing/pkg/apis/eventing/v1"
	"knative.dev/pkg/apis"
	duckv1 "knative.dev/pkg/apis/duck/v1"

	"github.com/eventing-eventmesh/eventing-eventmesh/pkg/broker/dataplane"
)

const lifecycle = "e2e-broker"

const configResolved apis.ConditionType = "ConfigResolved"

// The Broker of the namespace, its Trigger all, and what is of another class.
var (
	lifecycleBroker  = object{"Broker", lifecycle, "default"}
	lifecycleTrigger = object{"Trigger", lifecycle, "all"}
	lifecycleOthers  = []object{{"Broker", lifecycle, "others"}, {"Trigger", lifecycle, "others"}}
	lifecycleConfig  = map[string]string{"eventmesh.url": eventMeshOf(lifecycle, "tcp", 10000)}
)

// A Broker, its ConfigMap, its Triggers and its namespace come and go in any order: nothing hangs, and nothing comes from what was before.
func testBrokerComesAndGoes(t *testing.T) {
	namespace(t, lifecycle)
	_ = t.Run("all is there", func(t *testing.T) {
		playBroker(t, lifecycle, "tcp", 10000)
		kubectl(t, "apply -f test/e2e/broker/others.yaml")
		deliver(t, 1, receiverOfAll)
		deliver(t, 2, receiverOfAll, receiverOfEven)
	}) &&
		t.Run("ConfigMap", testConfigMapComesAndGoes) &&
		t.Run("Broker", testBrokerIsCreatedAnew) &&
		t.Run("Trigger", testTriggerIsCreatedAnew) &&
		t.Run("another class", testAnotherClass) &&
		t.Run("nothing has come from before", func(t *testing.T) {
			checkOnly(t, receiverOfAll, 19, 21, 25, 27) // its pod is a new one since 19
			checkOnly(t, receiverOfEven, 2, 20)
		}) &&
		t.Run("namespace", testNamespaceIsCreatedAnew)
}

// What has been served goes on without a ConfigMap, or with one that is wrong.
func testConfigMapComesAndGoes(t *testing.T) {
	_ = t.Run("deleted", func(t *testing.T) {
		configure(t, lifecycle, nil)
		lifecycleBroker.awaits(t, configResolved, corev1.ConditionFalse, "ConfigNotFound", "ConfigMap "+lifecycle+"/eventmesh")
		deliver(t, 3, receiverOfAll)
	}) && t.Run("with a wrong URL", func(t *testing.T) {
		configure(t, lifecycle, map[string]string{"eventmesh.url": "amqp://nowhere"})
		lifecycleBroker.awaits(t, configResolved, corev1.ConditionFalse, "ConfigInvalid", "eventmesh.url: ")
		deliver(t, 5, receiverOfAll)
	}) && t.Run("with a wrong key", func(t *testing.T) {
		configure(t, lifecycle, map[string]string{"eventmesh.uri": lifecycleConfig["eventmesh.url"]})
		lifecycleBroker.awaits(t, configResolved, corev1.ConditionFalse, "ConfigInvalid", "eventmesh.uri: ")
		deliver(t, 7, receiverOfAll)
	}) && t.Run("right again", func(t *testing.T) {
		configure(t, lifecycle, lifecycleConfig)
		lifecycleBroker.awaitsReady(t)
		lifecycleTrigger.awaitsReady(t)
		deliver(t, 9, receiverOfAll)
	})
}

// What waits for a Trigger goes with its Broker, and the Trigger, which stays, gets what comes to the next one.
func testBrokerIsCreatedAnew(t *testing.T) {
	_ = t.Run("deleted before its Triggers", func(t *testing.T) {
		scale(t, lifecycle, receiverOfAll, 0)
		send(t, brokerIngress, 11, http.StatusAccepted)
		awaitKept(t, 1)
		kubectl(t, "delete broker default --timeout=1m")
		lifecycleTrigger.awaits(t, apis.ConditionReady, corev1.ConditionFalse, "BrokerDoesNotExist", `"default"`)
		send(t, brokerIngress, 13, http.StatusNotFound)
		awaitKept(t, 0)
	}) && t.Run("created before its ConfigMap", func(t *testing.T) {
		configure(t, lifecycle, nil)
		kubectl(t, "apply -f test/e2e/broker/broker.yaml")
		lifecycleBroker.awaits(t, configResolved, corev1.ConditionFalse, "ConfigNotFound", "ConfigMap "+lifecycle+"/eventmesh")
		send(t, brokerIngress, 15, http.StatusServiceUnavailable)
	}) && t.Run("without EventMesh", func(t *testing.T) {
		configure(t, lifecycle, map[string]string{"eventmesh.url": "tcp://eventmesh.nowhere:10000"})
		for _, condition := range []apis.ConditionType{eventingv1.BrokerConditionIngress, apis.ConditionReady} {
			lifecycleBroker.awaits(t, condition, corev1.ConditionFalse, "NotConnected", "eventmesh.nowhere")
		}
		send(t, brokerIngress, 17, http.StatusServiceUnavailable)
	}) && t.Run("with EventMesh", func(t *testing.T) {
		configure(t, lifecycle, lifecycleConfig)
		lifecycleBroker.awaitsReady(t)
		lifecycleTrigger.awaitsReady(t)
		scale(t, lifecycle, receiverOfAll, 1)
		deliver(t, 19, receiverOfAll)
	})
}

// A Trigger gets what comes once it is ready.
func testTriggerIsCreatedAnew(t *testing.T) {
	kubectl(t, "delete trigger all --timeout=1m")
	deliver(t, 20, receiverOfEven)
	began := time.Now()
	kubectl(t, "apply -f test/e2e/broker/triggers.yaml")
	applied := time.Since(began)
	kubectl(t, "wait --for=condition=Ready trigger/all --timeout=3m")
	t.Logf("kubectl apply took %s, and the Trigger was ready %s after its start", applied, time.Since(began))
	deliver(t, 21, receiverOfAll)
}

// A Broker of another class that takes the name has the Triggers for itself, and one of this class has them back.
func testAnotherClass(t *testing.T) {
	kubectl(t, "delete broker default --timeout=1m")
	kubectl(t, "apply -f config/quickstart/200-broker.yaml")
	eventually(t, func() string { return traced(t, lifecycleTrigger) }) // or it may still be ready for the Broker before
	lifecycleBroker.awaitsReady(t)
	lifecycleTrigger.awaitsReady(t)
	send(t, brokerIngress, 23, http.StatusNotFound)
	eventually(t, func() string { // a channel in memory may pass over what comes first, though the Trigger is ready
		send(t, knativeIngress, 25, http.StatusAccepted)
		if got := received(t, lifecycle, receiverOfAll); got[25] == 0 {
			return fmt.Sprintf("the Trigger has got nothing of the other class, but %v", got)
		}
		return ""
	})
	kubectl(t, "delete broker default --timeout=1m")
	kubectl(t, "apply -f test/e2e/broker/broker.yaml")
	lifecycleBroker.awaitsReady(t)
	lifecycleTrigger.awaitsReady(t)
	deliver(t, 27, receiverOfAll)
	for _, o := range lifecycleOthers {
		found, err := o.get(t.Context())
		if err != nil || len(found.GetFinalizers()) > 0 || !equality.Semantic.DeepEqual(found.GetStatus(), &duckv1.Status{}) {
			t.Fatalf("got %v, %+v, want no status and no finalizers", err, found)
		}
		for _, fields := range found.GetManagedFields() {
			if fields.Manager == "broker-controller" {
				t.Errorf("%s %s was written by the controller: %s", o.kind, o.name, fields.FieldsV1)
			}
		}
	}
}

// A namespace ends with all that it has, and what is kept for its Triggers with it.
func testNamespaceIsCreatedAnew(t *testing.T) {
	_ = t.Run("deleted", func(t *testing.T) {
		scale(t, lifecycle, receiverOfAll, 0)
		send(t, brokerIngress, 29, http.StatusAccepted)
		awaitKept(t, 1)
		run(t, nil, "kubectl delete namespace "+lifecycle+" --timeout=2m")
		awaitForgotten(t)
		awaitKept(t, 0)
	}) && t.Run("created", func(t *testing.T) {
		namespace(t, lifecycle)
		playBroker(t, lifecycle, "tcp", 10000)
		deliver(t, 30, receiverOfAll, receiverOfEven)
		checkOnly(t, receiverOfAll, 30)
	})
}

func kubectl(t *testing.T, arguments string) {
	t.Helper()
	run(t, nil, "kubectl -n "+lifecycle+" "+arguments)
}

// send sends a numbered event to the Broker, until an ingress gives an answer.
func send(t *testing.T, ingress string, n, want int) {
	t.Helper()
	eventually(t, func() string {
		if status, err := post(t.Context(), ingress, lifecycle, evenOrOdd(n), n); status != want {
			return fmt.Sprintf("event %d: %d %v, want %d", n, status, err, want)
		}
		return ""
	})
}

// deliver sends a numbered event to the Broker, and waits until it is at these receivers.
func deliver(t *testing.T, n int, receivers ...string) {
	t.Helper()
	send(t, brokerIngress, n, http.StatusAccepted)
	for _, receiver := range receivers {
		awaitReceived(t, receiver, n)
	}
}

// awaitReceived waits until a numbered event is at a receiver.
func awaitReceived(t *testing.T, program string, n int) {
	t.Helper()
	eventually(t, func() string {
		if got := received(t, lifecycle, program); got[n] == 0 {
			return fmt.Sprintf("event %d has not come to %s, which has got %v", n, program, got)
		}
		return ""
	})
}

// traced says what the status of an object has of this class, if anything.
func traced(t *testing.T, o object) string {
	t.Helper()
	found, err := o.get(t.Context())
	if err != nil {
		return err.Error()
	}
	if text := fmt.Sprintf("%+v", found.GetStatus()); strings.Contains(text, "eventmesh.eventing.knative.dev") {
		return "there is a trace of this class: " + text
	}
	return ""
}

// checkOnly checks that these events have come to a receiver, and no others.
func checkOnly(t *testing.T, program string, want ...int) {
	t.Helper()
	if got := slices.Sorted(maps.Keys(received(t, lifecycle, program))); !slices.Equal(got, want) {
		t.Errorf("%s has got events %v, want %v", program, got, want)
	}
}

// awaitForgotten waits until the data plane serves no Broker any more that does not exist: others may have some.
func awaitForgotten(t *testing.T) {
	t.Helper()
	eventually(t, func() string {
		existing := run(t, nil, "kubectl get brokers.eventing.knative.dev --all-namespaces -o jsonpath={.items[*].metadata.uid}")
		for _, pod := range append(pods(t, knative, brokerIngress), pods(t, knative, brokerDispatcher)...) {
			text, err := cluster.CoreV1().RESTClient().Get().Namespace(knative).Resource("pods").Name(pod.Name + ":8081").SubResource("proxy").Suffix(dataplane.StatusPath).DoRaw(t.Context())
			if err != nil {
				return err.Error()
			}
			var status dataplane.Status
			if err := json.Unmarshal(text, &status); err != nil {
				t.Fatal(err)
			}
			for uid := range status.Brokers {
				if !strings.Contains(existing, uid) {
					return fmt.Sprintf("%s still serves Broker %s, which is gone", pod.Name, uid)
				}
			}
		}
		return ""
	})
}

var waitingPattern = regexp.MustCompile(`(?m)^eventmesh_broker_dispatcher_destination_events\{(.*)\} (\d+)$`)

// awaitKept waits until the dispatcher keeps so many events for the Triggers of the namespace.
func awaitKept(t *testing.T, want int) {
	t.Helper()
	eventually(t, func() string {
		text, err := cluster.CoreV1().RESTClient().Get().Namespace(knative).Resource("pods").Name(brokerDispatcher + "-0:9092").SubResource("proxy").Suffix("metrics").DoRaw(t.Context())
		if err != nil {
			return err.Error()
		}
		got := 0
		for _, match := range waitingPattern.FindAllStringSubmatch(string(text), -1) {
			if n, err := strconv.Atoi(match[2]); err == nil && strings.Contains(match[1], `kn_trigger_namespace="`+lifecycle+`"`) {
				got += n
			}
		}
		if got != want {
			return fmt.Sprintf("the dispatcher keeps %d events for namespace %s, want %d", got, lifecycle, want)
		}
		return ""
	})
}
