package ingress

import (
	"context"
	"net/http"
	"strings"
	"time"

	"github.com/cloudevents/sdk-go/v2/event"
	"github.com/cloudevents/sdk-go/v2/types"
	"knative.dev/eventing/pkg/apis/feature"
	knative "knative.dev/eventing/pkg/broker"

	"github.com/eventing-eventmesh/eventing-eventmesh/pkg/broker"
	"github.com/eventing-eventmesh/eventing-eventmesh/pkg/broker/dataplane"
	"github.com/eventing-eventmesh/eventing-eventmesh/pkg/broker/table"
	"github.com/eventing-eventmesh/eventing-eventmesh/pkg/ingress"
)

// routes are the Brokers of a table, by namespace and name.
type routes map[[2]string]route

// route is where the events of a Broker go: to its mesh, or nowhere for now.
type route struct {
	*table.Broker
	mesh  *mesh
	err   error
	types *eventTypes
}

// route finds the Broker of a request, in the order in which Knative's own ingress looks at it.
func (s *server) route(r *http.Request) (to ingress.Destination, err error) {
	r.Pattern = "/{namespace}/{broker}" // the route in metrics
	if r.Method != http.MethodPost && r.Method != http.MethodOptions {
		return to, ingress.Refusef(http.StatusMethodNotAllowed, "events are sent with POST")
	}
	switch features := *s.features.Load(); {
	case r.TLS == nil && features.IsStrictTransportEncryption(), r.TLS != nil && features.IsDisabledTransportEncryption():
		return to, ingress.Refusef(http.StatusNotFound, "Knative's feature %s is %s, and the request has come by %s", feature.TransportEncryption, features[feature.TransportEncryption], schemeOf(r))
	}
	path := strings.TrimPrefix(r.URL.Path, "/")
	namespace, name, two := strings.Cut(path, "/")
	switch {
	case path == "":
		return to, ingress.Refusef(http.StatusNotFound, "no Broker: events go to /{namespace}/{broker}")
	case !two || namespace == "" || name == "" || strings.Contains(name, "/"):
		return to, ingress.Refusef(http.StatusBadRequest, "no path of a Broker: events go to /{namespace}/{broker}")
	}
	found, ok := (*s.routes.Load())[[2]string{namespace, name}]
	if !ok {
		return to, ingress.Refusef(http.StatusNotFound, "there is no Broker %s of class %s in namespace %s", name, table.Class, namespace)
	}
	to.Topic = found.Topic
	to.Deliver = found.deliver
	if found.Access.Audience == "" || r.Method == http.MethodOptions {
		return to, nil
	}
	subject, err := s.senders.identify(r, found.Broker)
	to.Deliver = func(ctx context.Context, e event.Event) (*event.Event, error) {
		if !found.Access.Allows(subject, e) {
			return nil, ingress.Refusef(http.StatusForbidden, "subject %q may not send this event to Broker %s/%s: the filters of the event policies that name it do not let it pass", subject, namespace, name)
		}
		return found.deliver(ctx, e)
	}
	return to, err
}

func schemeOf(r *http.Request) string {
	if r.TLS == nil {
		return "HTTP"
	}
	return "HTTPS"
}

// deliver publishes an event that comes to a Broker.
func (r route) deliver(ctx context.Context, e event.Event) (*event.Event, error) {
	if r.err != nil {
		return nil, r.err
	}
	if err := broker.Arrive(e.Context); err != nil {
		return nil, ingress.Refusef(http.StatusBadRequest, "%w", err)
	}
	e.SetExtension(knative.EventArrivalTime, types.Timestamp{Time: time.Now()})
	reply, err := r.mesh.publish(ctx, r.Topic, e)
	if err == nil {
		r.types.note(r.Broker, &e)
	}
	return reply, err
}

// apply serves the Brokers of a table.
func (s *server) apply(t *table.Table) {
	s.senders.set(t.Features)
	s.features.Store(&t.Features)
	s.types.on.Store(t.Features.IsEnabled(feature.EvenTypeAutoCreate))
	next, needed := routes{}, map[table.Mesh]bool{}
	for _, b := range t.Brokers {
		r := route{Broker: b, types: s.types}
		if b.Mesh.URL == "" {
			r.err = ingress.Refusef(http.StatusServiceUnavailable, "Broker %s/%s cannot be served: %s", b.Namespace, b.Name, b.Problem.Message)
		} else if r.mesh, r.err = s.meshes.get(b.Mesh); r.err == nil {
			needed[b.Mesh] = true
			r.mesh.guard.Expect(b.Topic)
		}
		next[[2]string{b.Namespace, b.Name}] = r
	}
	s.routes.Store(&next)
	s.meshes.keep(needed)
	s.known.Store(true)
}

// status tells what is served.
func (s *server) status() dataplane.Status {
	status := dataplane.Status{Brokers: map[string]dataplane.BrokerStatus{}, HTTPS: s.secure}
	if s.config.TLSCAFile != "" {
		status.CACerts, _ = s.ca.Get() // the last that there was
	}
	for _, r := range *s.routes.Load() {
		status.Brokers[r.UID] = dataplane.BrokerStatus{Generation: r.Generation, Topic: r.Topic, Problem: s.problem(r)}
	}
	return status
}

// problem says why events do not get through, if so.
func (s *server) problem(r route) *table.Problem {
	if r.Problem != nil {
		return r.Problem
	}
	if r.Access.Audience != "" {
		if err := s.senders.ready(); err != nil {
			return &table.Problem{Reason: dataplane.ReasonIssuer, Message: err.Error()}
		}
	}
	err := r.err
	if err == nil {
		err = r.mesh.guard.Ready()
	}
	if err != nil {
		return &table.Problem{Reason: dataplane.ReasonNotConnected, Message: err.Error()}
	}
	return nil
}
