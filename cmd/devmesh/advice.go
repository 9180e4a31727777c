package main

import (
	"context"
	"errors"
	"net/http"
	"strconv"

	"github.com/eventing-eventmesh/eventing-eventmesh/pkg/eventmesh"
)

// adviseOnConnecting says what to change where there is no session.
func (p *patient) adviseOnConnecting(err error) string {
	const whereabouts = "check host and port, and that scheme and port belong together: EventMesh 1.12 has grpc://…:10205 and tcp://…:10000, the release after it http://…:10105; "
	var refusal *eventmesh.RefusalError
	switch errors.As(err, &refusal); {
	case errors.Is(err, eventmesh.ErrNotConnected):
		return whereabouts + "in a cluster also the Service and the NetworkPolicies"
	case errors.Is(err, eventmesh.ErrUnconfirmed), errors.Is(err, context.DeadlineExceeded): // a server of another protocol may wait for more
		return whereabouts + "where they are right, look into EventMesh's log"
	case p.scheme == "tcp" && errors.Is(err, eventmesh.ErrRefused):
		return "where eventMesh.server.security.enabled is true EventMesh 1.12 takes no session over TCP whose group, here " + doctorGroup +
			", its meta storage does not know, whatever the password: use gRPC there; else " + p.adviseOnCredentials() + "; or this is the port of another protocol, or EventMesh is starting or stopping: ask again then"
	case refusal != nil && refusal.Code == strconv.Itoa(http.StatusNotFound), errors.Is(err, eventmesh.ErrUnsupported):
		return "this is not the HTTP API of the release after 1.12: EventMesh 1.12 takes grpc://…:10205 and tcp://…:10000"
	default:
		return p.advise(err)
	}
}

// advise says what to change where EventMesh, or the way to it, has refused something. It is empty where the error says all.
func (p *patient) advise(err error) string {
	switch {
	case errors.Is(err, eventmesh.ErrUnauthorized):
		return p.adviseOnCredentials()
	case errors.Is(err, eventmesh.ErrRateLimited):
		return p.adviseOnRate()
	case errors.Is(err, eventmesh.ErrMissingTopic):
		return "a source that subscribes to it waits until then, and goes on by itself"
	case errors.Is(err, eventmesh.ErrNoSubscriber):
		return "start the subscriber before the publisher, over the same protocol; where one has been and left, restart EventMesh: with standalone storage its topic is dead until then"
	case errors.Is(err, eventmesh.ErrUnconfirmed):
		return "EventMesh is there, and does not answer in time: look into its log, and at its storage"
	case errors.Is(err, eventmesh.ErrNotConnected):
		return "EventMesh was there a moment ago: look into its log, and ask again"
	default:
		return "look into EventMesh's log"
	}
}

func (p *patient) adviseOnCredentials() string {
	if p.scheme == "http" {
		return "check the token: --token-file here, EVENTMESH_TOKEN_FILE of the programs"
	}
	return "check user name and password: --username and --password-file here, EVENTMESH_USERNAME and EVENTMESH_PASSWORD_FILE of the programs"
}

func (p *patient) adviseOnRate() string {
	switch {
	case p.overHTTP():
		return "raise the topic's limit, by PUT /admin/ratelimit at EventMesh's admin port, or publish less"
	case p.scheme == "tcp":
		return "raise eventMesh.server.tcp.msgReqnumPerSecond in eventmesh.properties, or publish less"
	default:
		return "raise eventMesh.server.http.msgReqnumPerSecond in eventmesh.properties, which is gRPC's as well, or publish less"
	}
}
