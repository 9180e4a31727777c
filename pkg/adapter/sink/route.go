package sink

import (
	"net/http"
	"strings"

	"github.com/eventing-eventmesh/eventing-eventmesh/pkg/eventmesh"
)

const (
	topicsPath   = "/topics/"
	requestsPath = "/requests/"
)

// destination is what the path of a request stands for.
type destination struct {
	topic   string
	request bool // rather than an event that nobody answers
}

// route finds the destination. It redirects nothing, unlike http.ServeMux: to Knative's senders that is an error.
func (h *handler) route(r *http.Request) (to destination, err error) {
	path := r.URL.Path
	root := path == "/" || path == ""
	switch { // the pattern becomes the route in metrics, which a path must not
	case root:
		r.Pattern = "/"
		to.topic = h.config.Topic
	case strings.HasPrefix(path, topicsPath):
		r.Pattern = topicsPath + "{topic}"
		to.topic = strings.TrimPrefix(path, topicsPath)
	case strings.HasPrefix(path, requestsPath):
		r.Pattern = requestsPath + "{topic}"
		to = destination{topic: strings.TrimPrefix(path, requestsPath), request: true}
	default:
		return to, refusef(http.StatusNotFound, "no such path: events go to %s{topic}, %s{topic} or /", topicsPath, requestsPath)
	}
	if r.Method != http.MethodPost && r.Method != http.MethodOptions {
		return to, refusef(http.StatusMethodNotAllowed, "events are sent with POST")
	}
	if root && to.topic == "" {
		return to, refusef(http.StatusForbidden, "no topic for /: send to %s{topic}, or set EVENTMESH_TOPIC at the sink", topicsPath)
	}
	if err := eventmesh.ValidateTopic(to.topic); err != nil {
		return to, err
	}
	if !h.config.open(to.topic) {
		return to, refusef(http.StatusForbidden, "topic %s is not open: it has to be in EVENTMESH_TOPICS at the sink", to.topic)
	}
	return to, nil
}
