package main

import (
	"errors"
	"fmt"
	"strings"

	"github.com/eventing-eventmesh/eventing-eventmesh/pkg/eventmesh"
)

const checkCredentials = "credentials"

// patient is a server that the doctor looks at.
type patient struct {
	eventmesh.Findings
	cfg         eventmesh.Config
	scheme      string
	credentials bool // that were given
}

func (p *patient) release() string {
	switch p.Release {
	case eventmesh.NextRelease:
		return "the EventMesh of the release after 1.12, by its HTTP API"
	case eventmesh.Bridge:
		return "the EventMesh of the release after 1.12, by its bridge for gRPC clients of 1.x"
	default:
		return "EventMesh 1.12, or an earlier 1.x"
	}
}

// overHTTP tells the release after 1.12, which has other properties.
func (p *patient) overHTTP() bool { return p.Release != eventmesh.Release1 }

func (p *patient) credentialsCheck(r *report) {
	const name = checkCredentials
	switch {
	case p.Release == eventmesh.Bridge:
	case errors.Is(p.Refuses, eventmesh.ErrRateLimited):
		r.fail("rate limit", p.Refuses, p.advise(p.Refuses))
	case p.Refuses != nil:
		r.fail(name, p.Refuses, p.advise(p.Refuses))
	case !p.credentials:
		r.ok(name, "EventMesh asks for none")
	case p.Anonymous:
		r.ok(name, "accepted, though EventMesh asks for none")
	default:
		r.ok(name, "accepted, and needed")
	}
}

func (p *patient) storageCheck(r *report) {
	switch p.Storage {
	case eventmesh.Standalone:
		r.note("storage", "standalone: in memory, without subscribers it takes no events, and it delivers a topic to the first group only",
			"use it for trying things out, and eventMesh.storage.plugin.type=rocketmq for the rest")
	case eventmesh.RocketMQ:
		r.ok("storage", "RocketMQ: it holds events for absent subscribers")
	}
}

func (p *patient) sizeCheck(r *report) {
	const name = "event size"
	switch {
	case p.Release == eventmesh.Bridge:
	case p.TooLarge == nil:
		r.ok(name, "data of 1 MiB is accepted, which is what the sink takes by default")
	case p.MaxData > 0:
		r.note(name, fmt.Sprintf("EventMesh refuses data of more than %d characters, where text counts with quotes and escapes, and binary data as base64", p.MaxData),
			"set eventMesh.server.maxEventSize in eventmesh.properties to twice the bytes of your largest event, such as 2097152 for 1 MiB, or use gRPC")
	default:
		r.note(name, fmt.Sprintf("EventMesh, or what is before it, refuses 1 MiB: %s", p.TooLarge), "raise the limit of a proxy, if there is one")
	}
}

// untold says once what cannot be found out, and what was not asked.
func (p *patient) untold(asked bool) (says, advice string) {
	var things []string
	if p.Release == eventmesh.Release1 {
		things = append(things, "which release of 1.x it is")
	}
	if p.Storage == "" {
		things = append(things, "which storage it has")
	}
	if p.Release == eventmesh.Bridge {
		things = append(things, "whether it checks credentials", "how large events may be")
	}
	things = append(things, "how many events a second it takes", "who subscribes, and over which protocol")
	if !asked {
		advice = "whether events come through tells --topic, which publishes one"
	}
	return "EventMesh does not say " + strings.Join(things, "; "), advice
}
