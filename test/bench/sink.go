//go:build linux

package main

import (
	"errors"
	"fmt"
	"math"
	"net/http"
	"strconv"
	"time"
)

// The subjects of the sink's part.
const (
	theSink      = "sink"
	answerFloor  = "floor: bare handler"
	publishFloor = "floor: bare publisher"
	relayFloor   = "floor: bare relay"
)

// SinkCase is what is compared at the sink.
type SinkCase struct {
	Transport   string   `json:"transport"`
	Date        string   `json:"date,omitempty"` // of the measurement, where that is another one than the report's
	Mode        string   `json:"mode"`
	Size        int      `json:"bytes"`
	Connections int      `json:"connections"`
	Results     []Result `json:"results"`
}

// startSink starts a sink that takes whatever the load has.
func (b *bench) startSink(transport, topic string) (*adapterProcess, error) {
	return startAdapter(b.on, b.path("sink"),
		"EVENTMESH_URL="+b.addresses[transport], "EVENTMESH_TOPICS="+topic, "EVENTMESH_CLIENT_ID=bench-sink",
		"EVENTMESH_MAX_IN_FLIGHT=10000", "EVENTMESH_MAX_CONNECTIONS=20000", "EVENTMESH_BUFFER_BYTES=1073741824")
}

// sink measures every mode, size and number of connections over a transport.
func (b *bench) sink(transport string, modes []string, sizes, connections []int) (cases []SinkCase, err error) {
	topic := b.topic("sink")
	if b.real { // on standalone storage a topic exists while somebody reads it
		reader, err := startRole(b.on, "read", b.addresses[transport], topic)
		if err != nil {
			return nil, err
		}
		reader.client.Go("Role.Work", math.MaxInt32, &Nothing{}, nil)
		defer func() { err = errors.Join(err, reader.stop()) }()
	}
	sink, err := b.startSink(transport, topic)
	if err != nil {
		return nil, err
	}
	answer, err := b.startServer("answer")
	if err != nil {
		return nil, err
	}
	for _, size := range sizes {
		for _, n := range connections {
			publish, err := startRole(b.on, "publish", b.addresses[transport], topic, strconv.Itoa(size), strconv.Itoa(n))
			if err != nil {
				return nil, err
			}
			for _, mode := range modes {
				b.progress("sink over %s, %s, %d bytes, %d connections", transport, mode, size, n)
				c := SinkCase{Transport: transport, Mode: mode, Size: size, Connections: n}
				if c.Results, err = b.sinkWith(c, topic, sink, answer, publish); err != nil {
					return nil, fmt.Errorf("sink over %s, %s, %d bytes, %d connections: %w\n%s", transport, mode, size, n, err, sink.log.String())
				}
				cases = append(cases, c)
			}
			if err := publish.stop(); err != nil {
				return nil, err
			}
		}
	}
	if err := answer.stop(); err != nil {
		return nil, err
	}
	return cases, sink.stop()
}

// server is a role that answers requests.
type server struct {
	*role
	url string
}

func (b *bench) startServer(name string, arguments ...string) (s server, err error) {
	if s.role, err = startRole(b.on, name, arguments...); err != nil {
		return s, err
	}
	return s, s.call("URL", Nothing{}, &s.url)
}

func (b *bench) sinkWith(c SinkCase, topic string, sink *adapterProcess, answer server, publish *role) ([]Result, error) {
	relay, err := b.startServer("relay", b.addresses[c.Transport], topic, strconv.Itoa(c.Size), strconv.Itoa(eventsOf(c.Mode)))
	if err != nil {
		return nil, err
	}
	subjects := []*subject{
		{process: sink.process, name: theSink, heap: sink.heap},
		{process: relay.process, name: relayFloor, heap: relay.heap},
		{process: answer.process, name: answerFloor, heap: answer.heap},
	}
	for i, url := range []string{sink.http + "/topics/" + topic, relay.url, answer.url} {
		l, err := newLoad(url, c.Mode, c.Size, c.Connections, http.StatusAccepted)
		if err != nil {
			return nil, err
		}
		defer l.close()
		per := eventsOf(c.Mode)
		subjects[i].work = func(n int) error { return l.post((n + per - 1) / per) }
		subjects[i].ages = func(n int, rate float64) ([]time.Duration, error) {
			return l.ages(Paced{Events: (n + per - 1) / per, Rate: rate / float64(per)})
		}
	}
	subjects = append(subjects, &subject{
		process: publish.process, name: publishFloor, heap: publish.heap,
		work: func(n int) error { return publish.call("Work", n, &Nothing{}) },
		ages: func(n int, rate float64) (ages []time.Duration, err error) {
			err = publish.call("Ages", Paced{Events: n, Rate: rate}, &ages)
			return ages, err
		},
	})
	results, err := b.compare(subjects...)
	if err != nil {
		return nil, err
	}
	return results, relay.stop()
}
