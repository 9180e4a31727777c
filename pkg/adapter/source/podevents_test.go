package source

import (
	"errors"
	"fmt"
	"os"
	"strings"
	"syscall"
	"testing"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/kubernetes/fake"

	"github.com/eventing-eventmesh/eventing-eventmesh/pkg/adapter/podevents"
	"github.com/eventing-eventmesh/eventing-eventmesh/pkg/dispatch"
	"github.com/eventing-eventmesh/eventing-eventmesh/pkg/eventmesh/eventmeshtest"
	"github.com/eventing-eventmesh/eventing-eventmesh/pkg/eventmesh/eventmeshtest/releases"
)

// TestEventOfThePod: a source whose password is wrong tells Kubernetes so, and not the password. It takes 10 seconds, since what is over
// sooner is not worth an Event.
func TestEventOfThePod(t *testing.T) {
	url := releases.New(t, releases.GRPC, eventmeshtest.Options{Credentials: map[string]string{"me": "another"}}).URL()
	client := fake.NewClientset()
	startWith(t, podevents.WithClient(t.Context(), client.CoreV1()), "EVENTMESH_URL="+url, "K_SINK=http://sink", "NAMESPACE=shop",
		"POD_NAME=eventmesh-source-0", "POD_UID=1234", "EVENTMESH_USERNAME=me", "EVENTMESH_PASSWORD="+secret)
	var found []corev1.Event
	eventually(t, func() string {
		list, err := client.CoreV1().Events("shop").List(t.Context(), metav1.ListOptions{})
		if err != nil {
			t.Fatal(err)
		}
		if found = list.Items; len(found) == 0 {
			return "no Event"
		}
		return ""
	})
	e := found[0]
	if e.Reason != string(podevents.CredentialsRefused) || e.InvolvedObject.Name != "eventmesh-source-0" || !strings.Contains(e.Message, url) {
		t.Errorf("got %s of %s: %s", e.Reason, e.InvolvedObject.Name, e.Message)
	}
	if strings.Contains(fmt.Sprint(e), secret) {
		t.Errorf("the password is in %+v", e)
	}
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
