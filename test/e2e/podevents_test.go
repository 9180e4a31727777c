//go:build e2e

package e2e

import (
	"fmt"
	"strings"
	"testing"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/fields"
)

// TestPodEvents: what keeps a source from working is an Event of its pod, where kubectl describe looks for it, if the program has the
// right to record it; and without, its log says so once.
func TestPodEvents(t *testing.T) {
	t.Parallel()
	const within = "e2e-pod-events"
	namespace(t, within)
	run(t, nil, "kustomize build test/e2e/podevents | ko apply -f -")
	eventually(t, func() string {
		for _, pod := range pods(t, within, source) {
			for _, e := range eventsOf(t, &pod) {
				if e.Reason != "NotConnected" {
					continue
				}
				if e.Type != corev1.EventTypeWarning || !strings.Contains(e.Message, "grpc://127.0.0.1:1") {
					t.Errorf("got %s %s: %s", e.Type, e.Reason, e.Message)
				}
				description := run(t, nil, fmt.Sprintf("kubectl --namespace=%s describe pod %s", within, pod.Name))
				if !strings.Contains(description, e.Message) {
					t.Errorf("kubectl does not show the Event:\n%s", description)
				}
				return ""
			}
		}
		return "no Event says that the source is not connected"
	})

	run(t, nil, "kubectl --namespace="+within+" delete rolebinding eventmesh-source-events")
	run(t, nil, "kubectl --namespace="+within+" delete pod --selector=app.kubernetes.io/name="+source)
	eventually(t, func() string {
		for _, pod := range pods(t, within, source) {
			text, _ := logs(t.Context(), within, pod.Name, &corev1.PodLogOptions{}) // a pod that starts has none
			switch strings.Count(text, "no Events of the pod are recorded: apply the Role of config/pod-events") {
			case 0: // a pod that has no K_SINK yet ends before
			case 1:
				return ""
			default:
				t.Fatalf("%s says more than once that it has no rights:\n%s", pod.Name, text)
			}
		}
		return "no pod says that it has no rights"
	})
}

// eventsOf returns what Kubernetes knows of one pod, as kubectl describe looks for it.
func eventsOf(t *testing.T, pod *corev1.Pod) []corev1.Event {
	t.Helper()
	list, err := cluster.CoreV1().Events(pod.Namespace).List(t.Context(), metav1.ListOptions{FieldSelector: fields.Set{
		"involvedObject.kind": "Pod", "involvedObject.name": pod.Name, "involvedObject.uid": string(pod.UID),
	}.String()})
	if err != nil {
		t.Fatal(err)
	}
	return list.Items
}
