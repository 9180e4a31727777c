package ingress

import (
	"net/http"
	"strings"
	"testing"

	"github.com/eventing-eventmesh/eventing-eventmesh/internal/ingresstest"
)

func TestProbes(t *testing.T) {
	kubelet := http.Header{"User-Agent": {"kube-probe/1.34"}}
	away := func() error { return errAway }
	for _, c := range []struct {
		name, path string
		header     http.Header
		ready      func() error
		leaving    bool
		status     int
		says       string
	}{
		{name: "healthy", path: "/health", status: 200},
		{name: "healthy without EventMesh", path: "/health", ready: away, status: 200},
		{name: "healthy while shutting down", path: "/health", leaving: true, status: 200},
		{name: "healthy for the kubelet", path: "/health", header: kubelet, ready: away, status: 200},
		{name: "ready", path: "/readiness", status: 200},
		{name: "not ready", path: "/readiness", ready: away, status: 503, says: "destination is away"},
		{name: "not ready while shutting down", path: "/readiness", leaving: true, status: 503, says: "shutting down"},
		{name: "kubelet at the root", path: "/", header: kubelet, status: 200, says: "ready"},
		{name: "kubelet anywhere", path: "/topics/orders", header: kubelet, ready: away, status: 503, says: "destination is away"},
	} {
		t.Run(c.name, func(t *testing.T) {
			server, _ := serve(t, &fake{}, func(o *Options) { o.Ready = c.ready })
			if c.leaving {
				server.leaving.Store(true)
			}
			got := ingresstest.Send(t, server.Client(), http.MethodGet, server.URL+c.path, c.header, nil)
			if got.Status != c.status || !strings.Contains(got.Body, c.says) {
				t.Errorf("got %d %q, want %d %q", got.Status, got.Body, c.status, c.says)
			}
			if got.Last != c.leaving { // else its sender goes on to use a connection that is about to be closed
				t.Errorf("got that this is the connection's last answer: %t, want %t", got.Last, c.leaving)
			}
		})
	}
}
