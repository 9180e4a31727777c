package sink

import (
	"net/http"
	"strings"
)

const (
	healthPath    = "/health"
	readinessPath = "/readiness"
	// kubeletAgent starts the User-Agent of the kubelet's probes.
	kubeletAgent = "kube-probe/"
)

// isProbe tells probes from requests. The kubelet's are probes whatever their path.
func isProbe(r *http.Request) bool {
	return r.URL.Path == healthPath || r.URL.Path == readinessPath ||
		strings.HasPrefix(r.UserAgent(), kubeletAgent) && isRead(r)
}

func (h *handler) probe(w http.ResponseWriter, r *http.Request) {
	if !isRead(r) {
		w.Header().Set("Allow", "GET, HEAD")
		http.Error(w, "a probe is a GET", http.StatusMethodNotAllowed)
		return
	}
	if r.URL.Path != healthPath {
		readiness := *r.URL
		readiness.Path = readinessPath
		r = r.WithContext(r.Context())
		r.URL = &readiness
	}
	h.probes.ServeHTTP(w, r)
}

func isRead(r *http.Request) bool { return r.Method == http.MethodGet || r.Method == http.MethodHead }
