package main

import (
	"context"
	"crypto/rand"
	"errors"
	"flag"
	"fmt"
	"os"
	"strings"
	"time"
)

// transports are what the scenarios are played over, by the names that devmesh serve prints.
var transports = []string{"gRPC", "TCP", "HTTP"}

const (
	standalone = "standalone"
	rocketMQ   = "rocketmq"
)

// mesh is an EventMesh that is there already, and to be played with. Without URLs there is none, and the demo starts one in memory.
type mesh struct {
	urls    map[string]string // by transport; an empty one leaves the transport out
	storage string
}

// declareMesh declares the flags of a mesh, which have the variables of make contract as defaults.
func declareMesh(flags *flag.FlagSet) *mesh {
	m := &mesh{urls: map[string]string{}}
	for _, transport := range transports {
		variable := "EVENTMESH_" + strings.ToUpper(transport) + "_URL"
		m.urls[transport] = os.Getenv(variable)
		flags.Func(strings.ToLower(transport), "`URL` of an EventMesh to play with over "+transport+", instead of one in memory (default $"+variable+")", func(url string) error {
			m.urls[transport] = url
			return nil
		})
	}
	m.storage = os.Getenv("EVENTMESH_STORAGE")
	flags.Func("storage", "`plugin` of that EventMesh: standalone, or rocketmq, which needs topics to be made, and new groups to be waited for (default $EVENTMESH_STORAGE, or standalone)", func(storage string) error {
		m.storage = storage
		return nil
	})
	return m
}

func (m *mesh) validate() error {
	switch m.storage {
	case "", standalone, rocketMQ:
		return nil
	}
	return fmt.Errorf("--storage %q: want %s or %s", m.storage, standalone, rocketMQ)
}

// given tells whether there is an EventMesh.
func (m *mesh) given() bool {
	for _, url := range m.urls {
		if url != "" {
			return true
		}
	}
	return false
}

// rocketMQ tells whether there is an EventMesh that has a topic only from its first event on, and whose new groups may miss the first events.
func (m *mesh) rocketMQ() bool { return m.given() && m.storage == rocketMQ }

// transports are those that are played.
func (m *mesh) transports() []string {
	if !m.given() {
		return transports
	}
	var played []string
	for _, transport := range transports {
		if m.urls[transport] != "" {
			played = append(played, transport)
		}
	}
	return played
}

// name makes a name of a topic, a group or a client. An EventMesh that is there may know those of others, and of a demo before: it gets new ones.
func (m *mesh) name(name string) string {
	if !m.given() {
		return name
	}
	return strings.ToLower(rand.Text()[:8]) + "-" + name
}

// timeout is how long the whole demo may take, if nobody says otherwise. RocketMQ takes up to a minute for each new topic.
func (m *mesh) timeout() time.Duration {
	if m.rocketMQ() {
		return 15 * time.Minute
	}
	return time.Minute
}

// route is a way to EventMesh.
type route struct{ transport, url string }

// routes are the ways to EventMesh, which is started if none is given.
func (s *stage) routes(ctx context.Context) (routes []route, err error) {
	if s.mesh.given() {
		s.out.printf("— Starting a Knative sink; EventMesh is there\n")
		for _, transport := range s.mesh.transports() {
			routes = append(routes, route{transport, s.mesh.urls[transport]})
		}
		return routes, nil
	}
	s.out.printf("— Starting EventMesh and a Knative sink\n")
	started, err := s.start(ctx, "eventmesh", nil, "devmesh", "serve", "--grpc", "127.0.0.1:0", "--tcp", "127.0.0.1:0", "--http", "127.0.0.1:0")
	if err != nil {
		return nil, err
	}
	for _, transport := range transports {
		url, err := addressAfter(ctx, started, transport)
		if err != nil {
			return nil, err
		}
		routes = append(routes, route{transport, url})
	}
	return routes, nil
}

// makeTopic makes a topic by an event of its own, where the storage has none without.
func (s *stage) makeTopic(ctx context.Context, meshURL, topic string) error {
	if !s.mesh.rocketMQ() {
		return nil
	}
	return s.run(ctx, "topic", "devmesh", "publish", "--url", meshURL, "--topic", topic, "--type", "org.example.topic", "This makes the topic.")
}

// againAfter is how long an event may take to a new group of RocketMQ. It may take longer, or have missed the group.
const againAfter = 5 * time.Second

var errLate = fmt.Errorf("not arrived within %s", againAfter)

// deliver lets devmesh send an event, and expects that it arrives. To a new group of RocketMQ it is sent again until it does.
func (s *stage) deliver(ctx context.Context, sender string, arguments []string, at *process, direction string, event demoEvent) error {
	for {
		if err := s.run(ctx, sender, "devmesh", append(arguments, event.flags()...)...); err != nil {
			return err
		}
		if !s.mesh.rocketMQ() {
			return s.arrive(ctx, at, direction, event)
		}
		attempt, cancel := context.WithTimeoutCause(ctx, againAfter, errLate)
		err := s.arrive(attempt, at, direction, event)
		cancel()
		if !errors.Is(err, errLate) {
			return err
		}
	}
}
