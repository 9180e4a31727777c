//go:build linux

package main

import (
	"errors"
	"fmt"
	"os"
)

const (
	// tolerated is how much worse than the committed report a figure may be, and toleratedAllocations how many more allocations, which are the
	// same on each machine.
	tolerated, toleratedAllocations = 1.2, 1.1
	// attempts is how often is measured while a figure is worse: what else a machine does makes them so, and no faulty program better ones.
	// It has done that for more than a minute.
	attempts = 10
)

// check fails when the adapters cost more than in a committed report. It compares what does not depend on the machine.
func (b *bench) check(path string) error {
	committed, err := readReport(path)
	if err != nil {
		return err
	}
	b.halfLoad = 0
	var worse []error
	best := map[string]figures{}
	for attempt := range attempts {
		if attempt > 0 {
			b.progress("measuring again: %v", errors.Join(worse...))
		}
		now, err := b.few()
		if err != nil {
			return err
		}
		for of, got := range now.figures() {
			best[of] = got.best(best[of])
		}
		if worse, err = regressions(committed.figures(), best); err != nil || len(worse) == 0 {
			return err
		}
	}
	return errors.Join(worse...)
}

// few measures the cases that the targets are about.
func (b *bench) few() (r Report, err error) {
	if r.Source, err = b.source(b.transports(), []int{1 << 10}, []int{16}); err != nil {
		return r, err
	}
	for _, transport := range b.transports() {
		cases, err := b.sink(transport, []string{binaryMode}, []int{1 << 10}, []int{64})
		if err != nil {
			return r, err
		}
		r.Sink = append(r.Sink, cases...)
	}
	return r, nil
}

// figures are those of one adapter that a machine's speed cancels out of.
type figures struct {
	rate, cpu   float64 // of the floors
	allocations float64
}

// best returns the better ones of two, of which the other may not have been measured.
func (f figures) best(other figures) figures {
	if other == (figures{}) {
		return f
	}
	return figures{rate: max(f.rate, other.rate), cpu: min(f.cpu, other.cpu), allocations: min(f.allocations, other.allocations)}
}

// figures returns them by what they are of.
func (r Report) figures() map[string]figures {
	all := map[string]figures{}
	add := func(of string, r Result, f floors) {
		all[of] = figures{rate: r.Rate.Median / f.rate, cpu: r.CPU.Median / f.cpu, allocations: r.Allocations}
	}
	for _, c := range r.Source {
		for _, subject := range []string{memorySource, spoolSource} {
			add(fmt.Sprintf("%s, over %s, %s, %d in flight", subject, c.Transport, bytesText(c.Size), c.InFlight), c.result(subject), c.floors())
		}
	}
	for _, c := range r.Sink {
		add(fmt.Sprintf("%s, over %s, %s, %s, %d connections", theSink, c.Transport, c.Mode, bytesText(c.Size), c.Connections), c.result(theSink), c.floors())
	}
	return all
}

// regressions compares what both reports have, and prints it.
func regressions(before, now map[string]figures) (worse []error, err error) {
	for of, got := range now {
		was, ok := before[of]
		if !ok {
			return nil, fmt.Errorf("the committed report has no figures of: %s", of)
		}
		fmt.Fprintf(os.Stderr, "%s: events/s %s of the slower floor (was %s), CPU %.2f of the floors' sum (%.2f), %.0f allocations per event (%.0f)\n",
			of, percent(got.rate), percent(was.rate), got.cpu, was.cpu, got.allocations, was.allocations)
		if got.rate < was.rate/tolerated {
			worse = append(worse, fmt.Errorf("%s: events per second are %s of the slower floor, and were %s", of, percent(got.rate), percent(was.rate)))
		}
		if got.cpu > was.cpu*tolerated {
			worse = append(worse, fmt.Errorf("%s: CPU per event is %.2f of the floors' sum, and was %.2f", of, got.cpu, was.cpu))
		}
		if got.allocations > was.allocations*toleratedAllocations {
			worse = append(worse, fmt.Errorf("%s: %.0f allocations per event, and there were %.0f", of, got.allocations, was.allocations))
		}
	}
	return worse, nil
}
