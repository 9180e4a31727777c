package sink

import (
	"fmt"
	"net/http"
	"slices"
	"strings"
	"testing"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	kubernetes "k8s.io/client-go/kubernetes/fake"

	"github.com/eventing-eventmesh/eventing-eventmesh/internal/ingresstest"
	"github.com/eventing-eventmesh/eventing-eventmesh/pkg/adapter/podevents"
	"github.com/eventing-eventmesh/eventing-eventmesh/pkg/eventmesh/eventmeshtest"
	"github.com/eventing-eventmesh/eventing-eventmesh/pkg/eventmesh/eventmeshtest/releases"
)

// TestEventOfThePod: Kubernetes is told which topic is not open, before the sink ends.
func TestEventOfThePod(t *testing.T) {
	for name, test := range map[string]struct {
		path, method string
		want         []string
	}{
		"topic":     {"/topics/audit", http.MethodPost, []string{"TopicNotOpen: topic audit is not open: it has to be in EVENTMESH_TOPICS at the sink"}},
		"no topic":  {"/", http.MethodPost, []string{"TopicNotOpen: no topic for /: send to /topics/{topic}, or set EVENTMESH_TOPIC at the sink"}},
		"handshake": {"/topics/audit", http.MethodOptions, nil},
		"open":      {"/topics/orders", http.MethodPost, nil},
	} {
		t.Run(name, func(t *testing.T) {
			_, url := eventMesh(t, releases.GRPC, eventmeshtest.Options{})
			client := kubernetes.NewClientset()
			s := startWith(t, podevents.WithClient(t.Context(), client.CoreV1()), "EVENTMESH_URL="+url, "EVENTMESH_TOPICS=orders", "NAMESPACE=shop",
				"POD_NAME=eventmesh-sink-0", "POD_UID=1234")
			ingresstest.Send(t, http.DefaultClient, test.method, s.url+test.path, ingresstest.Structured(), strings.NewReader(ingresstest.JSONEvent("1")))
			s.stop()
			if err := <-s.ended; err != nil {
				t.Error(err)
			}
			list, err := client.CoreV1().Events("shop").List(t.Context(), metav1.ListOptions{})
			if err != nil {
				t.Fatal(err)
			}
			var got []string
			for _, e := range list.Items {
				got = append(got, fmt.Sprintf("%s: %s", e.Reason, e.Message))
			}
			if !slices.Equal(got, test.want) {
				t.Errorf("got %q, want %q", got, test.want)
			}
		})
	}
}
