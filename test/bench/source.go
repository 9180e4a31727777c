//go:build linux

package main

import (
	"fmt"
	"os"
	"strconv"
	"strings"
	"time"
)

// The subjects of the source's part.
const (
	memorySource = "source, memory"
	spoolSource  = "source, spool"
	readFloor    = "floor: bare transport"
	postFloor    = "floor: bare HTTP post"
	forwardFloor = "floor: SDK forwarder"
)

// mover is a subject that gets events from the mesh and posts them to a receiver.
type mover struct {
	*subject
	receiver *receiver
	feeding  Feeding
	feeder   *role
}

// newMover completes a subject whose process has been started.
func newMover(name string, p *process, r *receiver, feeder *role, f Feeding) *mover {
	m := &mover{subject: &subject{process: p, name: name}, receiver: r, feeding: f, feeder: feeder}
	m.work = func(n int) error { return m.move(n, 0) }
	m.ages = func(n int, rate float64) ([]time.Duration, error) {
		return m.receiver.ages(func() error { return m.move(n, rate) })
	}
	return m
}

// move feeds events, and waits until the receiver has them.
func (m *mover) move(n int, rate float64) error {
	wait := m.receiver.expect(n)
	f := m.feeding
	f.Events, f.Rate = n, rate
	if err := m.feeder.call("Feed", f, &Nothing{}); err != nil {
		return err
	}
	if err := wait(); err != nil {
		return fmt.Errorf("%w\n%s", err, m.log.String())
	}
	return nil
}

// startSource starts a source that posts to a receiver of its own.
func (b *bench) startSource(name, transport string, inFlight int, topics []string, size int, environment ...string) (*mover, *adapterProcess, error) {
	r, err := newReceiver(0)
	if err != nil {
		return nil, nil, err
	}
	group := strings.ReplaceAll(fmt.Sprintf("%s-%s", name, topics[0]), ", ", "-")
	a, err := startAdapter(b.on, b.path("source"), append([]string{
		"EVENTMESH_URL=" + b.addresses[transport], "EVENTMESH_TOPICS=" + strings.Join(topics, ","), "EVENTMESH_GROUP=" + group,
		"EVENTMESH_CLIENT_ID=" + group, "EVENTMESH_MAX_IN_FLIGHT=" + strconv.Itoa(inFlight), "K_SINK=" + r.url(),
	}, environment...)...)
	if err != nil {
		return nil, nil, fmt.Errorf("starting %s: %w", name, err)
	}
	f := Feeding{Transport: transport, Topics: topics, Size: size}
	if err := b.feeder.call("Subscribed", f, &Nothing{}); err != nil {
		return nil, nil, err
	}
	m := newMover(name, a.process, r, b.feeder, f)
	m.heap = a.heap
	m.stop = func() error {
		r.close()
		return a.stop()
	}
	return m, a, nil
}

// startSpoolSource starts one that keeps its events on disk.
func (b *bench) startSpoolSource(transport string, inFlight int, topics []string, size int, environment ...string) (*mover, error) {
	dir, err := os.MkdirTemp(b.dir, "spool")
	if err != nil {
		return nil, err
	}
	m, _, err := b.startSource(spoolSource, transport, inFlight, topics, size, append(environment, "EVENTMESH_SPOOL_DIR="+dir)...)
	if err != nil {
		return nil, err
	}
	m.settle = 150 * time.Millisecond // delivered events leave the disk together, within 100 ms
	return m, nil
}

// startForwarder starts the bare SDK clients.
func (b *bench) startForwarder(transport string, inFlight int, topic string, size int) (*mover, error) {
	r, err := newReceiver(0)
	if err != nil {
		return nil, err
	}
	p, err := startRole(b.on, "forward", b.addresses[transport], topic, r.url(), strconv.Itoa(inFlight))
	if err != nil {
		return nil, err
	}
	f := Feeding{Transport: transport, Topics: []string{topic}, Size: size}
	if err := b.feeder.call("Subscribed", f, &Nothing{}); err != nil {
		return nil, err
	}
	m := newMover(forwardFloor, p.process, r, b.feeder, f)
	m.heap, m.stop = p.heap, p.stop
	return m, nil
}

// startReader starts the bare transport.
func (b *bench) startReader(transport, topic string, size int) (*mover, error) {
	p, err := startRole(b.on, "read", b.addresses[transport], topic)
	if err != nil {
		return nil, err
	}
	f := Feeding{Transport: transport, Topics: []string{topic}, Size: size}
	if err := b.feeder.call("Subscribed", f, &Nothing{}); err != nil {
		return nil, err
	}
	m := &mover{subject: &subject{process: p.process, name: readFloor, heap: p.heap, stop: p.stop}, feeder: b.feeder, feeding: f}
	m.work = func(n int) error {
		reading := p.client.Go("Role.Work", n, &Nothing{}, nil)
		f := m.feeding
		f.Events = n
		if err := m.feeder.call("Feed", f, &Nothing{}); err != nil {
			return err
		}
		return (<-reading.Done).Error
	}
	return m, nil
}

// startPoster starts the bare HTTP client.
func (b *bench) startPoster(size, inFlight int) (*subject, error) {
	r, err := newReceiver(0)
	if err != nil {
		return nil, err
	}
	p, err := startRole(b.on, "post", r.url(), strconv.Itoa(size), strconv.Itoa(inFlight))
	if err != nil {
		return nil, err
	}
	s := &subject{process: p.process, name: postFloor, heap: p.heap, stop: p.stop}
	s.work = func(n int) error { return p.call("Work", n, &Nothing{}) }
	return s, nil
}

// SourceCase is what is compared at the source.
type SourceCase struct {
	Transport string   `json:"transport"`
	Date      string   `json:"date,omitempty"` // of the measurement, where that is another one than the report's
	Size      int      `json:"bytes"`
	InFlight  int      `json:"inFlight"`
	Results   []Result `json:"results"`
}

// source measures every transport, size and number in flight.
func (b *bench) source(transports []string, sizes, inFlights []int) (cases []SourceCase, err error) {
	for _, transport := range transports {
		for _, inFlight := range inFlights {
			of, err := b.sourceWith(transport, inFlight, sizes)
			if err != nil {
				return nil, fmt.Errorf("source over %s with %d in flight: %w", transport, inFlight, err)
			}
			cases = append(cases, of...)
		}
	}
	return cases, nil
}

func (b *bench) sourceWith(transport string, inFlight int, sizes []int) (cases []SourceCase, err error) {
	memory, _, err := b.startSource(memorySource, transport, inFlight, []string{b.topic("memory")}, 0)
	if err != nil {
		return nil, err
	}
	spool, err := b.startSpoolSource(transport, inFlight, []string{b.topic("spool")}, 0)
	if err != nil {
		return nil, err
	}
	forward, err := b.startForwarder(transport, inFlight, b.topic("forward"), 0)
	if err != nil {
		return nil, err
	}
	read, err := b.startReader(transport, b.topic("read"), 0)
	if err != nil {
		return nil, err
	}
	movers := []*mover{memory, spool, forward, read}
	for _, size := range sizes {
		b.progress("source over %s, %d bytes, %d in flight", transport, size, inFlight)
		post, err := b.startPoster(size, inFlight)
		if err != nil {
			return nil, err
		}
		subjects := []*subject{post}
		for _, m := range movers {
			m.feeding.Size = size
			subjects = append(subjects, m.subject)
		}
		results, err := b.compare(subjects...)
		if err != nil {
			return nil, err
		}
		cases = append(cases, SourceCase{Transport: transport, Size: size, InFlight: inFlight, Results: results})
		if err := post.stop(); err != nil {
			return nil, err
		}
	}
	for _, m := range movers {
		if err := m.stop(); err != nil {
			return nil, err
		}
	}
	return cases, nil
}
