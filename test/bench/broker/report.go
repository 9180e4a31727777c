package main

import (
	"encoding/json"
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"time"

	"github.com/eventing-eventmesh/eventing-eventmesh/test/bench/stats"
)

// Report is all that a run has measured.
type Report struct {
	Date      string `json:"date"`
	Go        string `json:"go"`
	Processor string `json:"processor"`
	Cores     int    `json:"cores"`
	// Load is the machine's load average when the run began.
	Load    string  `json:"loadAverage"`
	Rounds  int     `json:"rounds"`
	Window  int     `json:"underWay"`
	Size    int     `json:"bytes"`
	Seconds float64 `json:"seconds"`
	// AtRest is the CPU that programs use without events, in thousandths of a core, which the CPU per event does not have.
	AtRest map[string]float64 `json:"atRestMillicores"`
	// Restarts are of programs that were replaced meanwhile.
	Restarts map[string]int `json:"restarts,omitempty"`
	Cases    []Case         `json:"cases"`
}

// Case is what was measured with a number of Triggers, of which some match.
type Case struct {
	Triggers int `json:"triggers"`
	Matching int `json:"matching"`
	// Rate is that of the events of both Brokers while CPU, memory and latencies were measured, in events per second.
	Rate    float64  `json:"eventsPerSecond"`
	Brokers []Result `json:"brokers"`
}

// Result is what was measured of a Broker.
type Result struct {
	Class string `json:"class"`
	// Rate is how many events it can take, in events per second.
	Rate stats.Spread `json:"eventsPerSecond"`
	// CPU is what the programs on an event's way cost together, Programs what each of them does, and EventMesh what that costs; all in
	// microseconds per event.
	CPU       stats.Spread            `json:"cpuMicrosecondsPerEvent"`
	Programs  map[string]stats.Spread `json:"programsMicrosecondsPerEvent"`
	EventMesh stats.Spread            `json:"eventMeshMicrosecondsPerEvent"`
	// P50 and P99 are of the time until a Trigger has delivered an event, AnsweredP50 and AnsweredP99 of that until the Broker has accepted
	// it; in milliseconds.
	P50         stats.Spread `json:"p50Milliseconds"`
	P99         stats.Spread `json:"p99Milliseconds"`
	AnsweredP50 stats.Spread `json:"answeredP50Milliseconds"`
	AnsweredP99 stats.Spread `json:"answeredP99Milliseconds"`
	// Phases are how long parts of the way took on average, by what the programs have counted, in milliseconds.
	Phases map[string]stats.Spread `json:"phasesMilliseconds,omitempty"`
	// Resident is the memory of the programs on the way together that is no file's, WorkingSet that with files in memory, and Controllers
	// the former of the controllers; in MiB.
	Resident    stats.Spread `json:"residentMiB"`
	WorkingSet  stats.Spread `json:"workingSetMiB"`
	Controllers stats.Spread `json:"controllersMiB"`
	// Refused, Lost and Repeated are events; see package load.
	Refused  int `json:"refused"`
	Lost     int `json:"lost"`
	Repeated int `json:"repeated"`
}

func newReport(b *bench) Report {
	average, err := os.ReadFile("/proc/loadavg")
	if err != nil {
		average = []byte("unknown")
	}
	return Report{
		Date: time.Now().UTC().Format(time.DateOnly), Go: runtime.Version(), Processor: stats.Processor(), Cores: runtime.NumCPU(),
		Load: strings.Join(strings.Fields(string(average))[:1], " "), Rounds: b.rounds, Window: b.window, Size: b.size,
	}
}

func (r Report) write(folder string) error {
	content, err := json.MarshalIndent(r, "", "\t")
	if err != nil {
		return err
	}
	if err := os.WriteFile(filepath.Join(folder, "broker.json"), append(content, '\n'), 0o644); err != nil { //nolint:gosec // for everybody to read
		return err
	}
	return os.WriteFile(filepath.Join(folder, "broker.md"), []byte(r.markdown()), 0o644) //nolint:gosec // the same
}

// markdown renders the report.
func (r Report) markdown() string {
	var out strings.Builder
	fmt.Fprintf(&out, "# Report on Brokers\n\nWritten by `make bench-broker`; [performance.md](../performance.md#brokers) tells how to read it.\n\n"+
		"Measured on %s in %.0f s: %s, %d cores, load average %s before, %s, events with %d bytes of data, medians of %d rounds with the least and the most.\n",
		r.Date, r.Seconds, r.Processor, r.Cores, r.Load, r.Go, r.Size, r.Rounds)
	fmt.Fprintf(&out, "\n| Triggers, matching | class | events/s, %d under way | CPU µs/event | of EventMesh | at events/s | p50, ms | p99, ms | p50 until 202 | p99 until 202 | memory MiB | with files | of controllers |\n|---|---|---|---|---|---|---|---|---|---|---|---|---|\n", r.Window)
	for _, c := range r.Cases {
		for _, b := range c.Brokers {
			fmt.Fprintf(&out, "| %d, %d | %s | %s | %s | %s | %.0f | %s | %s | %s | %s | %s | %s | %s |\n", c.Triggers, c.Matching, b.Class,
				text(b.Rate, 0), text(b.CPU, 0), text(b.EventMesh, 0), c.Rate, text(b.P50, 1), text(b.P99, 1),
				text(b.AnsweredP50, 1), text(b.AnsweredP99, 1), text(b.Resident, 0), text(b.WorkingSet, 0), text(b.Controllers, 0))
		}
	}
	out.WriteString("\n| Triggers, matching | program | CPU µs/event |\n|---|---|---|\n")
	for _, c := range r.Cases {
		for _, b := range c.Brokers {
			for _, name := range slices.Sorted(maps.Keys(b.Programs)) {
				fmt.Fprintf(&out, "| %d, %d | %s | %s |\n", c.Triggers, c.Matching, name, text(b.Programs[name], 0))
			}
		}
	}
	out.WriteString("\n| Triggers, matching | phase | mean, ms |\n|---|---|---|\n")
	for _, c := range r.Cases {
		for _, b := range c.Brokers {
			for _, name := range slices.Sorted(maps.Keys(b.Phases)) {
				fmt.Fprintf(&out, "| %d, %d | %s | %s |\n", c.Triggers, c.Matching, name, text(b.Phases[name], 2))
			}
		}
	}
	out.WriteString("\n| program | thousandths of a core at rest |\n|---|---|\n")
	for _, name := range slices.Sorted(maps.Keys(r.AtRest)) {
		fmt.Fprintf(&out, "| %s | %.1f |\n", name, r.AtRest[name])
	}
	for _, name := range slices.Sorted(maps.Keys(r.Restarts)) {
		fmt.Fprintf(&out, "\n%s was restarted %d times, so that what was measured then means nothing.\n", name, r.Restarts[name])
	}
	for _, c := range r.Cases {
		for _, b := range c.Brokers {
			if b.Refused+b.Lost+b.Repeated > 0 {
				fmt.Fprintf(&out, "\nOf the events of %s with %d Triggers, %d matching, %d were refused, %d lost and %d repeated.\n",
					b.Class, c.Triggers, c.Matching, b.Refused, b.Lost, b.Repeated)
			}
		}
	}
	return out.String()
}

func text(s stats.Spread, digits int) string {
	return fmt.Sprintf("%.*f (%.*f–%.*f)", digits, s.Median, digits, s.Min, digits, s.Max)
}
