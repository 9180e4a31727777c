//go:build linux

package main

import (
	"errors"
	"fmt"
	"os"
	"slices"
	"time"

	"github.com/eventing-eventmesh/eventing-eventmesh/test/bench/stats"
)

// subject is a process that is measured while it works.
type subject struct {
	*process
	name string
	// work makes the subject handle so many events, and returns when they are through.
	work func(events int) error
	// ages is the same at half of a rate, and returns how long each took; nil where that means nothing.
	ages func(events int, rate float64) ([]time.Duration, error)
	heap func() (Heap, error)
	// settle is how long the subject goes on with an event after it is through.
	settle time.Duration
	stop   func() error
}

// round is what one subject did in one round.
type round struct {
	rate float64 // events per second
	cpu  float64 // microseconds per event
	// drivers are the same of what feeds the subject and takes from it.
	mesh, drivers float64
}

func spread(rounds []round, of func(round) float64) stats.Spread {
	values := make([]float64, len(rounds))
	for i, r := range rounds {
		values[i] = of(r)
	}
	return stats.SpreadOf(values)
}

// Result is what was measured of one subject in one case.
type Result struct {
	Subject string `json:"subject"`
	// Rate in events per second, with the subject's core or what feeds it busy all the time.
	Rate stats.Spread `json:"eventsPerSecond"`
	// CPU in microseconds per event, which is also seconds per million events.
	CPU stats.Spread `json:"cpuMicrosecondsPerEvent"`
	// Mesh and Drivers are what the mesh, and the receiver or the load, spent meanwhile, in microseconds per event.
	Mesh    float64 `json:"meshMicrosecondsPerEvent"`
	Drivers float64 `json:"driverMicrosecondsPerEvent"`
	// Allocations and Bytes are allocated per event.
	Allocations float64 `json:"allocationsPerEvent"`
	Bytes       float64 `json:"bytesPerEvent"`
	// Peak is the most RAM, in bytes.
	Peak int64 `json:"peakBytes"`
	// Latency at half of the rate, in microseconds; nil where there is none.
	Latency *Latency `json:"latencyMicroseconds,omitempty"`
}

// Latency has percentiles, in microseconds.
type Latency struct {
	P50  float64 `json:"p50"`
	P99  float64 `json:"p99"`
	P999 float64 `json:"p999"`
}

func percentiles(ages []time.Duration) Latency {
	slices.Sort(ages)
	return Latency{P50: stats.Percentile(ages, 0.5), P99: stats.Percentile(ages, 0.99), P999: stats.Percentile(ages, 0.999)}
}

// bench is a run of measurements.
type bench struct {
	rounds   int
	duration time.Duration // of one subject's part of a round
	halfLoad time.Duration // of one subject's part of a round of latencies; 0 is without those
	began    time.Time
	dir      string   // of the programs and spools; gone afterwards
	on       launcher // the subjects' cores
	// feeder is the mesh, or what publishes to a real EventMesh.
	feeder    *role
	mesh      *process
	addresses Addresses
	real      bool     // it is not ours
	over      []string // the transports to measure; nil: all
	topics    int      // named so far
}

// compare measures subjects in turns.
func (b *bench) compare(subjects ...*subject) ([]Result, error) {
	events, before, rounds := make([]int, len(subjects)), make([]Heap, len(subjects)), make([][]round, len(subjects))
	for i, s := range subjects {
		var err error
		if events[i], err = b.calibrate(s); err != nil {
			return nil, fmt.Errorf("%s: %w", s.name, err)
		}
		if before[i], err = s.heap(); err != nil {
			return nil, err
		}
		if err := s.forgetPeak(); err != nil {
			return nil, err
		}
	}
	for range b.rounds {
		for i, s := range subjects {
			r, err := b.measure(s, events[i])
			if err != nil {
				return nil, fmt.Errorf("%s: %w", s.name, err)
			}
			rounds[i] = append(rounds[i], r)
		}
	}
	results := make([]Result, len(subjects))
	for i, s := range subjects {
		after, err := s.heap()
		if err != nil {
			return nil, err
		}
		memory, err := s.memory()
		if err != nil {
			return nil, err
		}
		all := float64(events[i] * b.rounds)
		r := Result{
			Subject: s.name, Peak: memory.peak,
			Rate: spread(rounds[i], func(r round) float64 { return r.rate }), CPU: spread(rounds[i], func(r round) float64 { return r.cpu }),
			Mesh:        spread(rounds[i], func(r round) float64 { return r.mesh }).Median,
			Drivers:     spread(rounds[i], func(r round) float64 { return r.drivers }).Median,
			Allocations: float64(after.Objects-before[i].Objects) / all, Bytes: float64(after.Bytes-before[i].Bytes) / all,
		}
		results[i] = r
	}
	return results, b.latencies(subjects, results)
}

// latencies measures subjects at half load, in turns too: a percentile is the median of those of the rounds, so that what else the
// machine did in one of them does not count.
func (b *bench) latencies(subjects []*subject, results []Result) error {
	if b.halfLoad == 0 {
		return nil
	}
	rounds := make([][]Latency, len(subjects))
	for range b.rounds {
		for i, s := range subjects {
			if s.ages == nil {
				continue
			}
			half := results[i].Rate.Median / 2
			ages, err := s.ages(max(int(half*b.halfLoad.Seconds()), 100), half)
			if err != nil {
				return fmt.Errorf("%s at half load: %w", s.name, err)
			}
			if len(ages) == 0 {
				return errors.New("no event carried the time of its sending")
			}
			rounds[i] = append(rounds[i], percentiles(ages))
		}
	}
	for i, all := range rounds {
		if len(all) == 0 {
			continue
		}
		of := func(percentile func(Latency) float64) float64 {
			values := make([]float64, len(all))
			for i, l := range all {
				values[i] = percentile(l)
			}
			return stats.SpreadOf(values).Median
		}
		results[i].Latency = &Latency{
			P50:  of(func(l Latency) float64 { return l.P50 }),
			P99:  of(func(l Latency) float64 { return l.P99 }),
			P999: of(func(l Latency) float64 { return l.P999 }),
		}
	}
	return nil
}

// calibrate warms the subject up, and returns how many events it handles in the duration of a round.
func (b *bench) calibrate(s *subject) (int, error) {
	const first = 300
	if err := s.work(first); err != nil {
		return 0, err
	}
	n := first
	for {
		r, err := b.measure(s, n)
		if err != nil {
			return 0, err
		}
		want := max(int(r.rate*b.duration.Seconds()), first)
		if want <= 3*n {
			return want, nil
		}
		n = min(want, 4*n)
	}
}

// measure lets the subject handle events once.
func (b *bench) measure(s *subject, events int) (round, error) {
	before, err := b.clocks(s)
	if err != nil {
		return round{}, err
	}
	began := time.Now()
	if err := s.work(events); err != nil {
		return round{}, err
	}
	elapsed := time.Since(began)
	time.Sleep(s.settle)
	after, err := b.clocks(s)
	if err != nil {
		return round{}, err
	}
	per := func(i int) float64 { return float64((after[i] - before[i]).Nanoseconds()) / 1000 / float64(events) }
	return round{rate: float64(events) / elapsed.Seconds(), cpu: per(0), mesh: per(1), drivers: per(2)}, nil
}

// clocks are the processor times of the subject, the mesh, and this process.
func (b *bench) clocks(s *subject) (times [3]time.Duration, err error) {
	for i, pid := range []int{s.command.Process.Pid, b.mesh.command.Process.Pid, os.Getpid()} {
		if times[i], err = cpuOf(pid); err != nil {
			return times, err
		}
	}
	return times, nil
}
