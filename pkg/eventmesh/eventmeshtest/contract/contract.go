// Package contract is what every transport of EventMesh has to do, as tests: against the in-memory EventMesh of package
// eventmeshtest, and against any real one. It uses topics and groups that nobody else has used, and asks for nothing that a
// real server does not do.
package contract

import (
	"fmt"
	"math/rand/v2"
	"strings"
	"testing"
	"time"

	"github.com/eventing-eventmesh/eventing-eventmesh/pkg/eventmesh"
)

// Target is an EventMesh to run against.
type Target struct {
	// Addresses of the server; the scheme says which transport is tested.
	Addresses []eventmesh.Address
	// Transport is the one under test.
	Transport eventmesh.Transport
	// Other is the same server by its other transport; nil leaves out the tests of both.
	Other *Other
	// Storage tells what the server's storage can do.
	Storage Storage
	// Credentials, if the server wants some.
	Credentials func() (eventmesh.Credentials, error)
}

// Other is another way to the server of a target.
type Other struct {
	Addresses []eventmesh.Address
	Transport eventmesh.Transport
}

// Storage is what storages of EventMesh do differently.
type Storage struct {
	// HoldsEvents for a group whose members are absent, instead of refusing them. Such a storage, as RocketMQ, makes a topic with
	// its first event, and a new group misses what is published before the storage's own client has found the topic.
	HoldsEvents bool
	// Requests are answered with a subscriber's reply, instead of refused.
	Requests bool
}

// timeout bounds each wait of a test; a cold server takes seconds.
const timeout = time.Minute

// Run runs the suite as subtests of t.
func Run(t *testing.T, target Target) {
	t.Helper()
	for name, test := range map[string]func(*testing.T, Target){
		"every event arrives unchanged":                 events,
		"any event arrives unchanged":                   anyEvent,
		"a subscription of several topics":              severalTopics,
		"concurrent publishes all arrive":               concurrentPublishes,
		"none of many in flight is published again":     manyInFlight,
		"a group shares events":                         clustering,
		"broadcasting reaches every member":             broadcasting,
		"who stays gets everything after one left":      leaving,
		"who comes back without having left":            returning,
		"a new topic is made by its subscriber":         makingTopics,
		"unacknowledged events go to another member":    redelivery,
		"many deliveries are acknowledged at once":      acknowledgement,
		"a large event arrives, a too large is refused": tooLarge,
		"what cannot be carried is refused":             refused,
		"a topic without subscribers":                   noSubscriber,
		"a request gets its reply":                      request,
		"EventMesh's own messages become events":        messages,
		"a request that is a message gets its reply":    messageRequest,
		"events for subscribers of the other transport": crossing,
		"requests to subscribers of the other one":      crossingRequest,
		"JSON is JSON to other clients over TCP":        jsonForOthers,
		"a server that is not there":                    away,
	} {
		t.Run(name, func(t *testing.T) { test(t, target) })
	}
}

func (target Target) tcp() bool { return strings.HasPrefix(target.Addresses[0].Scheme, "tcp") }

func (target Target) http() bool { return strings.HasPrefix(target.Addresses[0].Scheme, "http") }

// acknowledged tells whether EventMesh waits for acknowledgements.
func (target Target) acknowledged() bool { return target.tcp() || target.http() }

// unique returns a name that no other run uses.
func unique(what string) string { return fmt.Sprintf("contract-%s-%x", what, rand.Uint64()) }
