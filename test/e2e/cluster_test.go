//go:build e2e

package e2e

import (
	"context"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
)

const (
	poll    = 500 * time.Millisecond
	patient = 3 * time.Minute
)

// run runs a command in the root of the repository, and returns what it printed on its standard output.
func run(t *testing.T, environment []string, command string) string {
	t.Helper()
	output, err := attempt(t, environment, command)
	if err != nil {
		t.Fatal(err)
	}
	return output
}

func attempt(t *testing.T, environment []string, command string) (string, error) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 5*time.Minute)
	defer cancel()
	shell := exec.CommandContext(ctx, "sh", "-c", command)
	shell.Dir = root
	shell.Env = append(os.Environ(), environment...)
	var complaints strings.Builder
	shell.Stderr = &complaints
	output, err := shell.Output()
	if err != nil {
		return "", fmt.Errorf("%s: %w\n%s%s", command, err, output, complaints.String())
	}
	return string(output), nil
}

// eventually waits until the condition says nothing more.
func eventually(t *testing.T, condition func() (complaint string)) {
	t.Helper()
	deadline := time.After(patient)
	ticks := time.NewTicker(poll)
	defer ticks.Stop()
	for {
		complaint := condition()
		if complaint == "" {
			return
		}
		select {
		case <-deadline:
			t.Fatalf("after %s: %s", patient, complaint)
		case <-t.Context().Done():
			t.Fatal(complaint)
		case <-ticks.C:
		}
	}
}

// namespace makes a namespace that is deleted at the end, after telling what was in it if the test has failed.
func namespace(t *testing.T, name string) {
	t.Helper()
	forget(t, name)
	_, err := cluster.CoreV1().Namespaces().Create(t.Context(), &corev1.Namespace{ObjectMeta: metav1.ObjectMeta{
		Name: name, Labels: map[string]string{"pod-security.kubernetes.io/enforce": "restricted"},
	}}, metav1.CreateOptions{})
	if err != nil {
		t.Fatal(err)
	}
}

// forget deletes what an earlier run has left of a namespace, and at the end of the test what this one leaves.
func forget(t *testing.T, name string) {
	t.Helper()
	remove := func(ctx context.Context) error {
		err := cluster.CoreV1().Namespaces().Delete(ctx, name, metav1.DeleteOptions{})
		if errors.IsNotFound(err) {
			return nil
		}
		return err
	}
	if err := remove(t.Context()); err != nil {
		t.Fatal(err)
	}
	eventually(t, func() string {
		if _, err := cluster.CoreV1().Namespaces().Get(t.Context(), name, metav1.GetOptions{}); !errors.IsNotFound(err) {
			return "namespace " + name + " is still there"
		}
		return ""
	})
	t.Cleanup(func() {
		ctx, cancel := context.WithTimeout(context.Background(), patient)
		defer cancel()
		if t.Failed() {
			explain(ctx, t, name)
		}
		if err := remove(ctx); err != nil {
			t.Error(err)
		}
	})
}

// explain prints the state, events and logs of a namespace's pods.
func explain(ctx context.Context, t *testing.T, namespace string) {
	t.Helper()
	pods, err := cluster.CoreV1().Pods(namespace).List(ctx, metav1.ListOptions{})
	if err != nil {
		t.Log(err)
		return
	}
	for _, pod := range pods.Items {
		t.Logf("== %s/%s: %s, ready %t", namespace, pod.Name, pod.Status.Phase, ready(pod))
		for _, status := range pod.Status.ContainerStatuses {
			t.Logf("   %s: %d restarts, %+v", status.Name, status.RestartCount, status.State)
			for _, previous := range []bool{true, false} {
				if previous && status.RestartCount == 0 {
					continue
				}
				text, err := logs(ctx, namespace, pod.Name, &corev1.PodLogOptions{Previous: previous, TailLines: new(int64(60))})
				t.Logf("   log, previous %t, %v:\n%s", previous, err, text)
			}
		}
	}
	events, err := cluster.CoreV1().Events(namespace).List(ctx, metav1.ListOptions{})
	if err != nil {
		t.Log(err)
		return
	}
	for _, event := range events.Items {
		if event.Type != corev1.EventTypeNormal {
			t.Logf("== %s %s/%s: %s", event.Reason, event.InvolvedObject.Kind, event.InvolvedObject.Name, event.Message)
		}
	}
}

func logs(ctx context.Context, namespace, pod string, options *corev1.PodLogOptions) (string, error) {
	stream, err := cluster.CoreV1().Pods(namespace).GetLogs(pod, options).Stream(ctx)
	if err != nil {
		return "", err
	}
	defer stream.Close()
	text, err := io.ReadAll(stream)
	return string(text), err
}

// pods returns those of a program, by the label that manifests give them, that are not being deleted.
func pods(t *testing.T, namespace, program string) []corev1.Pod {
	t.Helper()
	list, err := cluster.CoreV1().Pods(namespace).List(t.Context(), metav1.ListOptions{LabelSelector: "app.kubernetes.io/name=" + program})
	if err != nil {
		t.Fatal(err)
	}
	return slices.DeleteFunc(list.Items, func(p corev1.Pod) bool { return p.DeletionTimestamp != nil })
}

func ready(pod corev1.Pod) bool {
	return slices.ContainsFunc(pod.Status.Conditions, func(c corev1.PodCondition) bool {
		return c.Type == corev1.PodReady && c.Status == corev1.ConditionTrue
	})
}

// awaitReady waits until a program has so many pods, and all are ready.
func awaitReady(t *testing.T, namespace, program string, want int) {
	t.Helper()
	eventually(t, func() string {
		all := pods(t, namespace, program)
		n := 0
		for _, pod := range all {
			if ready(pod) {
				n++
			}
		}
		if n != want || len(all) != want {
			return fmt.Sprintf("%s has %d pods, %d of them ready, want %d", program, len(all), n, want)
		}
		return ""
	})
}

// volumes lets claims be bound where the cluster makes no volumes by itself: by folders of this machine, which is the node
// where CLUSTER_NODE_IP says that the two share their files.
func volumes(t *testing.T, count int) {
	t.Helper()
	classes, err := cluster.StorageV1().StorageClasses().List(t.Context(), metav1.ListOptions{})
	if err != nil {
		t.Fatal(err)
	}
	for _, class := range classes.Items {
		if class.Annotations["storageclass.kubernetes.io/is-default-class"] == "true" {
			return
		}
	}
	if os.Getenv("CLUSTER_NODE_IP") == "" {
		t.Fatal("the cluster has no default StorageClass")
	}
	for i := range count {
		path := filepath.Join(t.TempDir(), fmt.Sprint(i))
		if err := os.MkdirAll(path, 0o777); err != nil {
			t.Fatal(err)
		}
		volume, err := cluster.CoreV1().PersistentVolumes().Create(t.Context(), localVolume(path), metav1.CreateOptions{})
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() {
			if err := cluster.CoreV1().PersistentVolumes().Delete(context.Background(), volume.Name, metav1.DeleteOptions{}); err != nil {
				t.Error(err)
			}
		})
	}
}
