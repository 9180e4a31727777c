//go:build linux

package main

import (
	"fmt"
	"strings"
)

// target is a bound that the adapters are held to.
type target struct {
	what     string
	got      float64
	unit     string
	atMost   float64
	atLeast  float64
	comments string
}

func (t target) reached() bool {
	return (t.atMost == 0 || t.got <= t.atMost) && (t.atLeast == 0 || t.got >= t.atLeast)
}

// bufferMiB is the default of EVENTMESH_BUFFER_BYTES.
const bufferMiB = 64

// goals are the targets, as far as the report has what they are about.
func (r Report) goals() (all []target) {
	for _, c := range r.Source {
		if c.Size != 1<<10 || c.InFlight != 16 {
			continue
		}
		f, memory, spool := c.floors(), c.result(memorySource), c.result(spoolSource)
		in := fmt.Sprintf("source over %s, 1 KiB, 16 in flight: ", c.Transport)
		// Subject and floors have one core each time: a program that did nothing but its floors' work would reach that share.
		ideal := 1e6 / f.cpu / f.rate
		all = append(all,
			target{what: in + "events/s of the slower floor", got: 100 * memory.Rate.Median / f.rate, unit: "%", atLeast: 85,
				comments: fmt.Sprintf("both floors' work on one core would be %.0f %%", min(100*ideal, 100))},
			target{what: in + "CPU of the floors' sum", got: memory.CPU.Median / f.cpu, unit: "×", atMost: 1.25},
			target{what: in + "spool, events/s of memory mode", got: 100 * spool.Rate.Median / memory.Rate.Median, unit: "%", atLeast: 70},
		)
	}
	for _, c := range r.Sink {
		if c.Size != 1<<10 || c.Connections != 64 || c.Mode != binaryMode {
			continue
		}
		f, sink := c.floors(), c.result(theSink)
		in := fmt.Sprintf("sink over %s, 1 KiB, 64 connections: ", c.Transport)
		ideal := 1e6 / f.cpu / f.rate
		all = append(all,
			target{what: in + "events/s of the slower floor", got: 100 * sink.Rate.Median / f.rate, unit: "%", atLeast: 85,
				comments: fmt.Sprintf("both floors' work on one core would be %.0f %%", min(100*ideal, 100))},
			target{what: in + "CPU of the floors' sum", got: sink.CPU.Median / f.cpu, unit: "×", atMost: 1.25,
				comments: fmt.Sprintf("the bare relay is %.2f ×", c.result(relayFloor).CPU.Median/f.cpu)},
		)
		if bare := c.result(publishFloor); sink.Latency != nil && bare.Latency != nil {
			all = append(all, target{what: in + "p99 at half load above that of the bare publisher", got: (sink.Latency.P99 - bare.Latency.P99) / 1000, unit: "ms", atMost: 1,
				comments: fmt.Sprintf("the bare relay is %.4g ms above", (c.result(relayFloor).Latency.P99-bare.Latency.P99)/1000)})
		}
	}
	for _, f := range r.Footprints {
		all = append(all,
			target{what: f.program() + "connections for 128 at once", got: float64(f.Connections), atMost: 128},
			target{what: f.program() + "idle RSS", got: mib(f.Idle), unit: "MiB", atMost: 40,
				comments: fmt.Sprintf("%.0f MiB are its own, the others pages of the program's file", mib(f.IdleOwn))},
			target{what: f.program() + "start to ready", got: f.Ready.Median, unit: "ms", atMost: 300},
		)
	}
	for _, f := range r.Footprints {
		if f.Full > 0 {
			all = append(all, target{what: f.program() + "peak RSS with a full buffer", got: mib(f.Full), unit: "MiB", atMost: 64 + bufferMiB,
				comments: fmt.Sprintf("64 MiB and the buffer of %d MiB", bufferMiB)})
		}
	}
	if peak := r.peak(); peak > 0 {
		all = append(all, target{what: "source, memory, and sink, binary, 1 KiB: peak RSS under load", got: mib(peak), unit: "MiB", atMost: 64 + bufferMiB,
			comments: fmt.Sprintf("64 MiB and the buffer of %d MiB", bufferMiB)})
	}
	for _, c := range r.Curves {
		if c.Name == "backlog" && len(c.Points) > 1 {
			first, last := c.Points[0], c.Points[len(c.Points)-1]
			all = append(all, target{what: fmt.Sprintf("source, spool: CPU per event with a backlog of %d of that without", last.X), got: last.CPU.Median / first.CPU.Median, unit: "×", atMost: 1.2})
		}
	}
	return all
}

func (f Footprint) program() string { return f.Program + ": " }

// peak is the most RAM of an adapter at events of 1 KiB and up to 128 at once.
func (r Report) peak() (peak int64) {
	for _, c := range r.Source {
		if c.Size == 1<<10 {
			peak = max(peak, c.result(memorySource).Peak)
		}
	}
	for _, c := range r.Sink {
		if c.Size == 1<<10 && c.Connections == 64 && c.Mode == binaryMode {
			peak = max(peak, c.result(theSink).Peak)
		}
	}
	return peak
}

// targets writes which bounds are kept.
func (r Report) targets(out *strings.Builder) {
	all := r.goals()
	if len(all) == 0 {
		return
	}
	out.WriteString("\n## Targets\n\n| | measured | wanted | |\n|---|---|---|---|\n")
	for _, t := range all {
		wanted, bound := "at most", t.atMost
		if t.atLeast > 0 {
			wanted, bound = "at least", t.atLeast
		}
		verdict := "reached"
		if !t.reached() {
			verdict = "missed"
		}
		if t.comments != "" {
			verdict += "; " + t.comments
		}
		fmt.Fprintf(out, "| %s | %.4g %s | %s %g %s | %s |\n", t.what, t.got, t.unit, wanted, bound, t.unit, verdict)
	}
}
