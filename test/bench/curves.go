//go:build linux

package main

import (
	"fmt"
	"time"

	"github.com/eventing-eventmesh/eventing-eventmesh/test/bench/stats"
)

// Curve is what an event costs the source while one thing grows.
type Curve struct {
	Name   string  `json:"name"`
	Unit   string  `json:"unit"`
	Buffer string  `json:"buffer"`
	Points []Point `json:"points"`
}

// Point is one place of a curve.
type Point struct {
	X int `json:"x"`
	// CPU in microseconds per event.
	CPU stats.Spread `json:"cpuMicrosecondsPerEvent"`
	// Rate in events per second.
	Rate stats.Spread `json:"eventsPerSecond"`
	// Peak is the most RAM, in bytes; of a spool also the pages of its file.
	Peak int64 `json:"peakBytes"`
}

// curves measures the source over gRPC with 16 in flight.
func (b *bench) curves(backlogs []int) (all []Curve, err error) {
	for _, of := range []func() (Curve, error){
		b.overEvents, b.overTopics, b.overSizes, func() (Curve, error) { return b.overBacklog(backlogs) },
	} {
		c, err := of()
		if err != nil {
			return nil, fmt.Errorf("curve over %s: %w", c.Name, err)
		}
		all = append(all, c)
	}
	return all, nil
}

const curveInFlight = 16

func (b *bench) overEvents() (Curve, error) {
	c := Curve{Name: "events", Unit: "events at once", Buffer: "memory"}
	b.progress("cost over events")
	m, _, err := b.startSource(memorySource, grpcTransport, curveInFlight, []string{b.topic("events")}, 1024)
	if err != nil {
		return c, err
	}
	for _, n := range []int{2_000, 4_000, 8_000, 16_000, 32_000} {
		if err := b.point(&c, m, n, n); err != nil {
			return c, err
		}
	}
	return c, m.stop()
}

func (b *bench) overTopics() (Curve, error) {
	c := Curve{Name: "topics", Unit: "topics", Buffer: "memory"}
	for _, n := range []int{1, 10, 100} {
		b.progress("cost over topics: %d", n)
		topics := make([]string, n)
		for i := range topics {
			topics[i] = b.topic("topics")
		}
		m, _, err := b.startSource(memorySource, grpcTransport, curveInFlight, topics, 1024)
		if err != nil {
			return c, err
		}
		if err := b.point(&c, m, n, 5_000); err != nil {
			return c, err
		}
		if err := m.stop(); err != nil {
			return c, err
		}
	}
	return c, nil
}

func (b *bench) overSizes() (Curve, error) {
	c := Curve{Name: "size", Unit: "bytes", Buffer: "memory"}
	m, _, err := b.startSource(memorySource, grpcTransport, curveInFlight, []string{b.topic("sizes")}, 1024)
	if err != nil {
		return c, err
	}
	for _, size := range []int{100, 1 << 10, 4 << 10, 16 << 10, 64 << 10, 256 << 10, 1 << 20} {
		b.progress("cost over size: %d bytes", size)
		m.feeding.Size = size
		if err := b.point(&c, m, size, max(5_000>>(size>>14), 200)); err != nil {
			return c, err
		}
	}
	return c, m.stop()
}

// point measures one place of a curve.
func (b *bench) point(c *Curve, m *mover, x, events int) error {
	if err := m.work(min(events, 1000)); err != nil {
		return err
	}
	if err := m.forgetPeak(); err != nil {
		return err
	}
	var rounds []round
	for range b.rounds {
		r, err := b.measure(m.subject, events)
		if err != nil {
			return err
		}
		rounds = append(rounds, r)
	}
	memory, err := m.memory()
	if err != nil {
		return err
	}
	c.Points = append(c.Points, Point{
		X: x, Peak: memory.peak,
		CPU:  spread(rounds, func(r round) float64 { return r.cpu }),
		Rate: spread(rounds, func(r round) float64 { return r.rate }),
	})
	return nil
}

// overBacklog is what an event costs that finds so many others before it on disk: all of them are received while the receiver keeps
// back its answers, and then delivered. Without a backlog the same number of events passes through.
func (b *bench) overBacklog(backlogs []int) (Curve, error) {
	c := Curve{Name: "backlog", Unit: "events on disk", Buffer: "spool"}
	for _, n := range backlogs {
		b.progress("cost over the backlog on disk: %d events", n)
		m, err := b.startSpoolSource(grpcTransport, curveInFlight, []string{b.topic("backlog")}, 1024,
			"EVENTMESH_BUFFER_EVENTS=10000000", "EVENTMESH_BUFFER_BYTES=1099511627776", "K_SINK_TIMEOUT=3600")
		if err != nil {
			return c, err
		}
		if err := m.work(1000); err != nil {
			return c, err
		}
		if n == 0 {
			if err := b.point(&c, m, n, 20_000); err != nil {
				return c, err
			}
		} else if err := b.backlogPoint(&c, m, n); err != nil {
			return c, err
		}
		if err := m.stop(); err != nil {
			return c, err
		}
	}
	return c, nil
}

func (b *bench) backlogPoint(c *Curve, m *mover, n int) error {
	if err := m.forgetPeak(); err != nil {
		return err
	}
	held := *m.subject
	var drained time.Duration
	held.work = func(n int) error {
		release := m.receiver.hold()
		wait := m.receiver.expect(n)
		f := m.feeding
		f.Events = n
		if err := b.feeder.call("Feed", f, &Nothing{}); err != nil {
			return err
		}
		time.Sleep(time.Second) // for the last of them to reach the disk
		release()
		began := time.Now()
		err := wait()
		drained = time.Since(began)
		return err
	}
	r, err := b.measure(&held, n)
	if err != nil {
		return err
	}
	memory, err := m.memory()
	if err != nil {
		return err
	}
	one := func(v float64) stats.Spread { return stats.Spread{Median: v, Min: v, Max: v} }
	c.Points = append(c.Points, Point{X: n, CPU: one(r.cpu), Rate: one(float64(n) / drained.Seconds()), Peak: memory.peak})
	return nil
}
