//go:build e2e

package e2e

import (
	"fmt"
	"strings"
	"testing"

	batchv1 "k8s.io/api/batch/v1"
	corev1 "k8s.io/api/core/v1"
	discoveryv1 "k8s.io/api/discovery/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
)

const refused = "e2e-refused"

// A wrong password is told by the log in one sentence, and keeps pods from getting traffic; the right one, put into the same
// Secret, lets them go on without a restart.
func TestRefusedCredentials(t *testing.T) {
	t.Parallel()
	namespace(t, refused)
	secret := &corev1.Secret{
		ObjectMeta: metav1.ObjectMeta{Name: "eventmesh-credentials"},
		StringData: map[string]string{"username": "knative", "password": "wrong"},
	}
	if _, err := cluster.CoreV1().Secrets(refused).Create(t.Context(), secret, metav1.CreateOptions{}); err != nil {
		t.Fatal(err)
	}
	run(t, nil, "kustomize build test/e2e/refused | ko apply -f -")
	awaitReady(t, refused, "devmesh", 1)
	for program, replicas := range map[string]int{sink: 2, source: 1} {
		eventually(t, func() string { return toldRefused(t, program, replicas) })
	}
	if n := addresses(t); n != 0 {
		t.Errorf("%d addresses of the sink get traffic, want none", n)
	}

	secret.StringData["password"] = "right"
	if _, err := cluster.CoreV1().Secrets(refused).Update(t.Context(), secret, metav1.UpdateOptions{}); err != nil {
		t.Fatal(err)
	}
	awaitReady(t, refused, sink, 2)
	awaitReady(t, refused, source, 1)
	eventually(t, func() string {
		if n := addresses(t); n != 2 {
			return fmt.Sprintf("%d addresses of the sink get traffic, want 2", n)
		}
		return ""
	})
	for _, pod := range append(pods(t, refused, sink), pods(t, refused, source)...) {
		if n := pod.Status.ContainerStatuses[0].RestartCount; n != 0 {
			t.Errorf("%s has been restarted %d times", pod.Name, n)
		}
	}
	testPolicy(t)
}

// toldRefused checks that pods run, are not ready, and say why in one line that does not repeat the password.
func toldRefused(t *testing.T, program string, replicas int) string {
	t.Helper()
	all := pods(t, refused, program)
	if len(all) != replicas {
		return fmt.Sprintf("%s has %d pods, want %d", program, len(all), replicas)
	}
	for _, pod := range all {
		if pod.Status.Phase != corev1.PodRunning {
			return pod.Name + " does not run"
		}
		if ready(pod) {
			t.Errorf("%s is ready without being connected", pod.Name)
		}
		text, err := logs(t.Context(), refused, pod.Name, &corev1.PodLogOptions{})
		if err != nil {
			return err.Error()
		}
		told := 0
		for line := range strings.Lines(text) {
			if strings.Contains(line, `"message":"not connected to EventMesh"`) && strings.Contains(line, "security does not allow") {
				told++
				t.Log(line)
			}
		}
		if told != 1 {
			return fmt.Sprintf("%s tells %d times that EventMesh refuses it, want 1:\n%s", pod.Name, told, text)
		}
		if strings.Contains(text, "wrong") {
			t.Errorf("%s tells the password", pod.Name)
		}
	}
	return ""
}

// addresses counts those of the sink's Service that are ready.
func addresses(t *testing.T) int {
	t.Helper()
	slices, err := cluster.DiscoveryV1().EndpointSlices(refused).List(t.Context(), metav1.ListOptions{LabelSelector: discoveryv1.LabelServiceName + "=" + sink})
	if err != nil {
		t.Fatal(err)
	}
	n := 0
	for _, slice := range slices.Items {
		for _, endpoint := range slice.Endpoints {
			if endpoint.Conditions.Ready != nil && *endpoint.Conditions.Ready {
				n += len(endpoint.Addresses)
			}
		}
	}
	return n
}

// testPolicy checks that the sink takes nothing from a namespace other than Knative's, where the cluster enforces policies. The
// samples show that it takes what comes from a Broker.
func testPolicy(t *testing.T) {
	t.Helper()
	namespace(t, "e2e-policy")
	run(t, nil, "kustomize build test/e2e/policy | ko apply -f -")
	awaitReady(t, "e2e-policy", "receiver", 1)
	run(t, nil, "kustomize build test/e2e/policy/send | ko apply -f -")
	if sent(t, "send-to-receiver") {
		t.Log("NetworkPolicies are not tested: this cluster does not enforce them")
		return
	}
	if sent(t, "send-to-sink") {
		t.Error("the sink takes an event from a namespace that is not Knative's")
	}
}

// sent tells whether a Job got its event to where it should not.
func sent(t *testing.T, job string) bool {
	t.Helper()
	through := false
	eventually(t, func() string {
		j, err := cluster.BatchV1().Jobs("e2e-policy").Get(t.Context(), job, metav1.GetOptions{})
		if err != nil {
			return err.Error()
		}
		for _, condition := range j.Status.Conditions {
			if condition.Status == corev1.ConditionTrue && (condition.Type == batchv1.JobComplete || condition.Type == batchv1.JobFailed) {
				through = condition.Type == batchv1.JobComplete
				return ""
			}
		}
		return "Job " + job + " has not ended"
	})
	return through
}
