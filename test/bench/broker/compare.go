package main

import (
	"context"
	"math"
	"slices"
	"time"

	"github.com/eventing-eventmesh/eventing-eventmesh/test/bench/broker/load"
	"github.com/eventing-eventmesh/eventing-eventmesh/test/bench/stats"
)

// block is a time in which the Broker of one class had events at a rate.
type block struct {
	from, to time.Time
	load.Result
	phases map[string]float64 // how long each took, in milliseconds
}

// compare measures the Brokers of a stage in turns.
func (s *stage) compare(ctx context.Context) (c Case, err error) {
	c = Case{Triggers: s.triggers, Matching: s.matching}
	if err := s.warm(ctx); err != nil {
		return c, err
	}
	rates := make([][]float64, len(classes))
	for i := range classes {
		c.Brokers = append(c.Brokers, Result{Class: classes[i].name})
	}
	for range s.rounds {
		for i := range classes {
			r, err := s.post(ctx, &classes[i], load.Order{Window: s.window, Duration: s.burst})
			if err != nil {
				return c, err
			}
			rates[i] = append(rates[i], float64(r.Events)/r.Elapsed.Seconds())
			c.Brokers[i].count(r)
			s.progress("%s: %.0f events/s, %+v", classes[i].name, rates[i][len(rates[i])-1], r)
		}
	}
	slowest := math.Inf(1)
	for i := range classes {
		c.Brokers[i].Rate = stats.SpreadOf(rates[i])
		slowest = min(slowest, c.Brokers[i].Rate.Median)
	}
	c.Rate = math.Ceil(min(slowest/2, s.rate))
	blocks, err := s.blocks(ctx, c.Rate)
	if err != nil {
		return c, err
	}
	for i := range classes {
		if err := s.sum(&c.Brokers[i], &classes[i], blocks[i]); err != nil {
			return c, err
		}
	}
	return c, nil
}

// warm lets both Brokers work, and the first time measures after that what the programs use at rest.
func (s *stage) warm(ctx context.Context) error {
	for i := range classes {
		if _, err := s.post(ctx, &classes[i], load.Order{Window: s.window, Duration: s.burst}); err != nil {
			return err
		}
	}
	if len(s.idle) > 0 {
		return nil
	}
	var all []program
	for i := range classes {
		all = slices.Concat(all, classes[i].measured(), classes[i].controllers)
	}
	s.progress("at rest")
	if err := s.meter.settle(ctx, all, time.Now()); err != nil {
		return err
	}
	if err := sleep(ctx, time.Second); err != nil { // by which the time of a sample may be off
		return err
	}
	from := time.Now()
	if err := sleep(ctx, s.rest); err != nil {
		return err
	}
	to := time.Now()
	if err := s.meter.settle(ctx, all, to); err != nil {
		return err
	}
	for _, p := range all {
		u, err := s.meter.between(p, from, to)
		if err != nil {
			return err
		}
		s.idle[p] = u.cpu.Seconds() / u.window.Seconds()
	}
	return nil
}

// blocks gives both Brokers events at a rate, in turns. A block begins once the kubelet has looked at what the one before has cost.
func (s *stage) blocks(ctx context.Context, rate float64) ([][]block, error) {
	blocks, worked := make([][]block, len(classes)), time.Now()
	ends := []time.Time{worked, worked}
	for range s.rounds {
		for i := range classes {
			c := &classes[i]
			if err := s.meter.settle(ctx, c.measured(), ends[i]); err != nil {
				return nil, err
			}
			if err := sleep(ctx, time.Second); err != nil { // as above
				return nil, err
			}
			b, err := s.block(ctx, c, rate)
			if err != nil {
				return nil, err
			}
			ends[i] = b.to
			blocks[i] = append(blocks[i], b)
			s.progress("%s: %+v", c.name, b.Result)
		}
	}
	for i := range classes {
		if err := s.meter.settle(ctx, slices.Concat(classes[i].measured(), classes[i].controllers), ends[i]); err != nil {
			return nil, err
		}
	}
	return blocks, nil
}

// block gives the Broker of a class events at a rate.
func (s *stage) block(ctx context.Context, c *class, rate float64) (b block, err error) {
	before, err := s.phases(ctx, c)
	if err != nil {
		return b, err
	}
	b.from = time.Now()
	if b.Result, err = s.post(ctx, c, load.Order{Rate: rate, Duration: s.length}); err != nil {
		return b, err
	}
	b.to = time.Now()
	after, err := s.phases(ctx, c)
	b.phases = map[string]float64{}
	for name, t := range after {
		b.phases[name] = t.since(before[name])
	}
	return b, err
}

// measured are the programs whose CPU is counted.
func (c *class) measured() []program { return slices.Concat(c.programs, c.apart) }

// sum adds to a result what blocks of its class have cost.
func (s *stage) sum(r *Result, c *class, blocks []block) error {
	var cpu, apart, p50, p99, answered50, answered99, resident, workingSet, controllers []float64
	programs, phases := map[string][]float64{}, map[string][]float64{}
	for _, b := range blocks {
		r.count(b.Result)
		p50, p99 = append(p50, b.Delivered.P50), append(p99, b.Delivered.P99)
		answered50, answered99 = append(answered50, b.Answered.P50), append(answered99, b.Answered.P99)
		own, err := s.spent(c.programs, b, programs)
		if err != nil {
			return err
		}
		cpu, resident, workingSet = append(cpu, own.cost), append(resident, own.resident), append(workingSet, own.workingSet)
		others, err := s.spent(c.apart, b, nil)
		if err != nil {
			return err
		}
		apart = append(apart, others.cost)
		idle, err := s.spent(c.controllers, b, nil)
		if err != nil {
			return err
		}
		controllers = append(controllers, idle.resident)
		for name, mean := range b.phases {
			phases[name] = append(phases[name], mean)
		}
	}
	r.CPU, r.EventMesh = stats.SpreadOf(cpu), stats.SpreadOf(apart)
	r.P50, r.P99 = stats.SpreadOf(p50), stats.SpreadOf(p99)
	r.AnsweredP50, r.AnsweredP99 = stats.SpreadOf(answered50), stats.SpreadOf(answered99)
	r.Resident, r.WorkingSet, r.Controllers = stats.SpreadOf(resident), stats.SpreadOf(workingSet), stats.SpreadOf(controllers)
	r.Programs, r.Phases = spreads(programs), spreads(phases)
	return nil
}

// count adds what should not have been.
func (r *Result) count(of load.Result) {
	r.Refused, r.Lost, r.Repeated = r.Refused+of.Refused, r.Lost+of.Lost, r.Repeated+of.Repeated
}

func spreads(of map[string][]float64) map[string]stats.Spread {
	all := map[string]stats.Spread{}
	for name, values := range of {
		all[name] = stats.SpreadOf(values)
	}
	return all
}

// spent is what programs have used in a block together: CPU in microseconds per event, without that at rest, and memory in MiB.
type spent struct{ cost, resident, workingSet float64 }

// spent adds the cost of each program to the list that it has in costs, if that is not nil.
func (s *stage) spent(programs []program, b block, costs map[string][]float64) (all spent, err error) {
	for _, p := range programs {
		u, err := s.meter.between(p, b.from, b.to)
		if err != nil {
			return all, err
		}
		cost := (u.cpu.Seconds() - s.idle[p]*u.window.Seconds()) * 1e6 / float64(b.Events)
		if costs != nil {
			costs[p.name] = append(costs[p.name], cost)
		}
		all.cost, all.resident, all.workingSet = all.cost+cost, all.resident+mib(u.resident), all.workingSet+mib(u.workingSet)
	}
	return all, nil
}

func mib(bytes int64) float64 { return float64(bytes) / (1 << 20) }

// sleep waits, since there is nothing to be seen at the end of what is measured.
func sleep(ctx context.Context, d time.Duration) error {
	select {
	case <-time.After(d):
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}
