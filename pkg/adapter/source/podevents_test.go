package source

import (
	"errors"
	"fmt"
	"net/http"
	"os"
	"strings"
	"syscall"
	"testing"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/kubernetes/fake"

	"github.com/eventing-eventmesh/eventing-eventmesh/pkg/adapter/podevents"
	"github.com/eventing-eventmesh/eventing-eventmesh/pkg/dispatch"
	"github.com/eventing-eventmesh/eventing-eventmesh/pkg/eventmesh"
	"github.com/eventing-eventmesh/eventing-eventmesh/pkg/eventmesh/eventmeshtest"
	"github.com/eventing-eventmesh/eventing-eventmesh/pkg/eventmesh/eventmeshtest/releases"
)

// TestEventsOfPods: a source whose password is wrong tells Kubernetes so, and not the password; and one whose sink accepts nothing that its
// buffer is full. It takes 10 seconds, since what is over sooner is not worth an Event.
func TestEventsOfPods(t *testing.T) {
	refuses := releases.New(t, releases.GRPC, eventmeshtest.Options{Credentials: map[string]string{"me": "another"}}).URL()
	url := releases.New(t, releases.GRPC, eventmeshtest.Options{}).URL()
	sink := newSink(t)
	sink.answers(always(http.StatusServiceUnavailable))
	refused := startInPod(t, "EVENTMESH_URL="+refuses, "K_SINK="+sink.url, "EVENTMESH_USERNAME=me", "EVENTMESH_PASSWORD="+secret)
	full := startInPod(t, "EVENTMESH_URL="+url, "K_SINK="+sink.url, "EVENTMESH_BUFFER_EVENTS=1", "EVENTMESH_DRAIN_TIMEOUT=100ms")
	p := connect(t, url, eventmesh.Credentials{})
	for _, id := range []string{"1", "2", "3"} {
		eventually(t, func() string { // the source may not have subscribed yet
			if err := p.Publish(t.Context(), "orders", sample(id)); err != nil {
				return err.Error()
			}
			return ""
		})
	}
	if e := firstEvent(t, full); e.Reason != string(podevents.BufferFull) || !strings.Contains(e.Message, "the buffer is full") {
		t.Errorf("got %s: %s, want that the buffer is full", e.Reason, e.Message)
	}
	e := firstEvent(t, refused)
	if e.Reason != string(podevents.CredentialsRefused) || e.InvolvedObject.Name != "eventmesh-source-0" || !strings.Contains(e.Message, refuses) {
		t.Errorf("got %s of %s: %s", e.Reason, e.InvolvedObject.Name, e.Message)
	}
	if strings.Contains(fmt.Sprint(e), secret) {
		t.Errorf("the password is in %+v", e)
	}
}

// startInPod starts a source that knows its pod, and returns the client that it has for Kubernetes.
func startInPod(t *testing.T, environment ...string) kubernetes.Interface {
	t.Helper()
	client := fake.NewClientset()
	startWith(t, podevents.WithClient(t.Context(), client.CoreV1()),
		append(environment, "NAMESPACE=shop", "POD_NAME=eventmesh-source-0", "POD_UID=1234")...)
	return client
}

func firstEvent(t *testing.T, client kubernetes.Interface) (first corev1.Event) {
	t.Helper()
	eventually(t, func() string {
		list, err := client.CoreV1().Events("shop").List(t.Context(), metav1.ListOptions{})
		if err != nil {
			t.Fatal(err)
		}
		if len(list.Items) == 0 {
			return "no Event"
		}
		first = list.Items[0]
		return ""
	})
	return first
}

func TestReasonsOfTheSpool(t *testing.T) {
	for _, test := range []struct {
		err  error
		want podevents.Reason
	}{
		{&os.PathError{Op: "write", Path: "log", Err: syscall.ENOSPC}, podevents.SpoolFull},
		{fmt.Errorf("writing: %w", syscall.EDQUOT), podevents.SpoolFull},
		{syscall.EROFS, podevents.SpoolFailed},
		{dispatch.ErrMoved, podevents.SpoolFailed},
		{errors.New("the disk hangs"), podevents.SpoolFailed},
	} {
		if err := ofSpool(test.err); podevents.ReasonOf(err) != test.want || err.Error() != test.err.Error() {
			t.Errorf("got %s: %v, want %s", podevents.ReasonOf(err), err, test.want)
		}
	}
}
