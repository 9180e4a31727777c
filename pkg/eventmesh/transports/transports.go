// Package transports lists the transports that there are, for programs that leave the choice to an address.
package transports

import (
	"github.com/eventing-eventmesh/eventing-eventmesh/pkg/eventmesh"
	"github.com/eventing-eventmesh/eventing-eventmesh/pkg/eventmesh/grpc"
	"github.com/eventing-eventmesh/eventing-eventmesh/pkg/eventmesh/http"
	"github.com/eventing-eventmesh/eventing-eventmesh/pkg/eventmesh/tcp"
)

// All are every transport of EventMesh.
var All = []eventmesh.Transport{grpc.Transport{}, tcp.Transport{}, http.Transport{}}

// SubscribersOf returns the names of the transports whose subscribers can get what is published to an address.
func SubscribersOf(a eventmesh.Address) (names []string) {
	for _, publisher := range All {
		if publisher.Traits().Scheme != a.Transport() {
			continue
		}
		for _, subscriber := range All {
			if eventmesh.Reaches(publisher, subscriber) {
				names = append(names, subscriber.Traits().Scheme)
			}
		}
	}
	return names
}

// ValidateTopic returns an ErrInvalidTopic for a name that no storage of EventMesh accepts, or that the transport of an address does not carry.
func ValidateTopic(of eventmesh.Address, topic string) error {
	if err := eventmesh.ValidateTopic(topic); err != nil {
		return err
	}
	if validate := TraitsOf(of).ValidateTopic; validate != nil {
		return validate(topic)
	}
	return nil
}

// TraitsOf returns those of the transport of an address.
func TraitsOf(a eventmesh.Address) eventmesh.Traits {
	for _, t := range All {
		if traits := t.Traits(); traits.Scheme == a.Transport() {
			return traits
		}
	}
	return eventmesh.Traits{}
}
