package sink

import (
	"context"
	"net/http"
	"strings"

	"github.com/cloudevents/sdk-go/v2/event"

	"github.com/eventing-eventmesh/eventing-eventmesh/pkg/adapter/guard"
	"github.com/eventing-eventmesh/eventing-eventmesh/pkg/adapter/podevents"
	"github.com/eventing-eventmesh/eventing-eventmesh/pkg/eventmesh"
	"github.com/eventing-eventmesh/eventing-eventmesh/pkg/ingress"
)

const (
	topicsPath   = "/topics/"
	requestsPath = "/requests/"
)

// router knows what the paths of requests stand for.
type router struct {
	*Config
	guard  *guard.Guard
	events *podevents.Recorder
}

// route finds the destination. It redirects nothing, unlike http.ServeMux: to Knative's senders that is an error.
func (o router) route(r *http.Request) (to ingress.Destination, err error) {
	path := r.URL.Path
	root := path == "/" || path == ""
	switch { // the pattern becomes the route in metrics, which a path must not
	case root:
		r.Pattern = "/"
		to.Topic = o.Topic
	case strings.HasPrefix(path, topicsPath):
		r.Pattern = topicsPath + "{topic}"
		to.Topic = strings.TrimPrefix(path, topicsPath)
	case strings.HasPrefix(path, requestsPath):
		r.Pattern = requestsPath + "{topic}"
		to.Topic, to.Single = strings.TrimPrefix(path, requestsPath), true
	default:
		return to, ingress.Refusef(http.StatusNotFound, "no such path: events go to %s{topic}, %s{topic} or /", topicsPath, requestsPath)
	}
	if r.Method != http.MethodPost && r.Method != http.MethodOptions {
		return to, ingress.Refusef(http.StatusMethodNotAllowed, "events are sent with POST")
	}
	if root && to.Topic == "" {
		return to, o.notOpen(r, "no topic for /: send to "+topicsPath+"{topic}, or set EVENTMESH_TOPIC at the sink")
	}
	if err := eventmesh.ValidateTopic(to.Topic); err != nil {
		return to, ingress.Refusef(http.StatusBadRequest, "%w", err)
	}
	if !o.open(to.Topic) {
		return to, o.notOpen(r, "topic "+to.Topic+" is not open: it has to be in EVENTMESH_TOPICS at the sink")
	}
	topic := to.Topic
	if to.Timeout = o.PublishTimeout; to.Single {
		to.Timeout = o.RequestTimeout
		to.Deliver = func(ctx context.Context, e event.Event) (*event.Event, error) { return o.guard.Request(ctx, topic, e) }
	} else {
		to.Deliver = func(ctx context.Context, e event.Event) (*event.Event, error) { return o.guard.Publish(ctx, topic, e) }
	}
	return to, nil
}

// notOpen refuses a request for a topic, and notes that if it should have brought events: any client may ask by OPTIONS, even without a token.
func (o router) notOpen(r *http.Request, message string) error {
	if r.Method == http.MethodPost {
		o.events.Note(podevents.TopicNotOpen, message)
	}
	return ingress.Refusef(http.StatusForbidden, "%s", message)
}
