//go:build linux

package main

import (
	"encoding/json"
	"fmt"
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
	// EventMesh tells what the subjects were connected to.
	EventMesh  string       `json:"eventMesh"`
	Rounds     int          `json:"rounds"`
	Seconds    float64      `json:"seconds"`
	Source     []SourceCase `json:"source,omitempty"`
	Sink       []SinkCase   `json:"sink,omitempty"`
	Footprints []Footprint  `json:"footprints,omitempty"`
	Curves     []Curve      `json:"curves,omitempty"`
}

func newReport(b *bench) Report {
	r := Report{
		Date: time.Now().UTC().Format(time.DateOnly), Go: runtime.Version(), Processor: stats.Processor(), Cores: runtime.NumCPU(),
		EventMesh: "the mesh of this bench", Rounds: b.rounds,
	}
	if b.real {
		r.EventMesh = "a real one"
	}
	return r
}

// The report, in a folder.
const (
	reportJSON     = "report.json"
	reportMarkdown = "report.md"
)

func (r Report) write(folder string) error {
	content, err := json.MarshalIndent(r, "", "\t")
	if err != nil {
		return err
	}
	if err := os.WriteFile(filepath.Join(folder, reportJSON), append(content, '\n'), 0o644); err != nil { //nolint:gosec // for everybody to read
		return err
	}
	return os.WriteFile(filepath.Join(folder, reportMarkdown), []byte(r.markdown()), 0o644) //nolint:gosec // the same
}

func readReport(path string) (r Report, err error) {
	content, err := os.ReadFile(path) //nolint:gosec // the path that was asked for
	if err == nil {
		err = json.Unmarshal(content, &r)
	}
	return r, err
}

// markdown renders the report.
func (r Report) markdown() string {
	var out strings.Builder
	fmt.Fprintf(&out, "# Report\n\nWritten by `make bench`; [performance.md](../performance.md) tells how to read it.\n\nMeasured on %s in %.0f s: %s, %d cores, %s, EventMesh: %s, medians of %d rounds.\n",
		r.Date, r.Seconds, r.Processor, r.Cores, r.Go, r.EventMesh, r.Rounds)
	r.targets(&out)
	for _, c := range r.Source {
		title := fmt.Sprintf("Source over %s, %s, %d in flight%s", c.Transport, bytesText(c.Size), c.InFlight, onDate(c.Date))
		table(&out, title, c.Results, c.floors(), forwardFloor)
	}
	for _, c := range r.Sink {
		title := fmt.Sprintf("Sink over %s, %s, %s, %d connections%s", c.Transport, c.Mode, bytesText(c.Size), c.Connections, onDate(c.Date))
		table(&out, title, c.Results, c.floors(), relayFloor)
	}
	r.footprints(&out)
	r.curves(&out)
	return out.String()
}

// onDate ends a title.
func onDate(date string) string {
	if date == "" {
		return ""
	}
	return ", on " + date
}

// with returns the report with what was measured later in the place of the same, or behind it.
func (r Report) with(later Report) Report {
	for _, c := range later.Source {
		c.Date = later.Date
		r.Source = replace(r.Source, c, func(o SourceCase) bool {
			return o.Transport == c.Transport && o.Size == c.Size && o.InFlight == c.InFlight
		})
	}
	for _, c := range later.Sink {
		c.Date = later.Date
		r.Sink = replace(r.Sink, c, func(o SinkCase) bool {
			return o.Transport == c.Transport && o.Mode == c.Mode && o.Size == c.Size && o.Connections == c.Connections
		})
	}
	if len(later.Footprints) > 0 {
		r.Footprints = later.Footprints
	}
	if len(later.Curves) > 0 {
		r.Curves = later.Curves
	}
	return r
}

// replace puts an item in the place of the same one, or at the end.
func replace[T any](items []T, item T, same func(T) bool) []T {
	items = slices.Clone(items)
	if i := slices.IndexFunc(items, same); i >= 0 {
		items[i] = item
		return items
	}
	return append(items, item)
}

// floors are the two bare halves of a whole way.
type floors struct {
	// rate is that of the slower one, in events per second, and cpu the sum of both, in microseconds per event.
	rate, cpu float64
}

func floorsOf(a, b Result) floors {
	return floors{rate: min(a.Rate.Median, b.Rate.Median), cpu: a.CPU.Median + b.CPU.Median}
}

func (c SourceCase) floors() floors { return floorsOf(c.result(readFloor), c.result(postFloor)) }
func (c SinkCase) floors() floors   { return floorsOf(c.result(answerFloor), c.result(publishFloor)) }

func (c SourceCase) result(subject string) Result { return find(c.Results, subject) }
func (c SinkCase) result(subject string) Result   { return find(c.Results, subject) }

func find(results []Result, subject string) Result {
	for _, r := range results {
		if r.Subject == subject {
			return r
		}
	}
	return Result{}
}

// table writes what was compared. Ratios are to the slower floor, and to the sum of what both floors cost.
func table(out *strings.Builder, title string, results []Result, f floors, whole string) {
	fmt.Fprintf(out, "\n## %s\n\n", title)
	out.WriteString("| | events/s | of the slower floor | CPU µs/event | of the floors' sum | allocations | bytes | peak RSS MiB | p50 / p99 / p99.9 at half load, ms | feeding and taking, µs/event |\n")
	out.WriteString("|---|---|---|---|---|---|---|---|---|---|\n")
	for _, r := range results {
		rate, cpu := "", ""
		if !strings.HasPrefix(r.Subject, "floor") || r.Subject == whole {
			rate, cpu = percent(r.Rate.Median/f.rate), fmt.Sprintf("%.2f", r.CPU.Median/f.cpu)
		}
		latency := ""
		if l := r.Latency; l != nil {
			latency = fmt.Sprintf("%.2f / %.2f / %.2f", l.P50/1000, l.P99/1000, l.P999/1000)
		}
		fmt.Fprintf(out, "| %s | %.0f (%.0f–%.0f) | %s | %.1f (%.1f–%.1f) | %s | %.0f | %.0f | %.0f | %s | %.1f + %.1f |\n",
			r.Subject, r.Rate.Median, r.Rate.Min, r.Rate.Max, rate, r.CPU.Median, r.CPU.Min, r.CPU.Max, cpu,
			r.Allocations, r.Bytes, mib(r.Peak), latency, r.Mesh, r.Drivers)
	}
}

func (r Report) footprints(out *strings.Builder) {
	if len(r.Footprints) == 0 {
		return
	}
	out.WriteString("\n## Footprint\n\n| | start to ready, ms | idle RSS MiB, of it own | RSS MiB with 100,000 events of 1 KB | program MB | compressed MB | connections for 128 at once | goroutines per connection |\n|---|---|---|---|---|---|---|---|\n")
	for _, f := range r.Footprints {
		buffered := ""
		if f.Buffered > 0 {
			buffered = fmt.Sprintf("%.0f", mib(f.Buffered))
		}
		fmt.Fprintf(out, "| %s | %.0f (%.0f–%.0f) | %.0f, %.0f | %s | %.1f | %.1f | %d | %.2f |\n",
			f.Program, f.Ready.Median, f.Ready.Min, f.Ready.Max, mib(f.Idle), mib(f.IdleOwn), buffered,
			float64(f.Binary)/1e6, float64(f.Compressed)/1e6, f.Connections, f.Goroutines)
	}
}

func (r Report) curves(out *strings.Builder) {
	for _, c := range r.Curves {
		fmt.Fprintf(out, "\n## Source over gRPC, %s, 16 in flight: cost over %s\n\n| %s | CPU µs/event | events/s | peak RSS MiB |\n|---|---|---|---|\n", c.Buffer, c.Name, c.Unit)
		for _, p := range c.Points {
			fmt.Fprintf(out, "| %d | %.1f (%.1f–%.1f) | %.0f | %.0f |\n", p.X, p.CPU.Median, p.CPU.Min, p.CPU.Max, p.Rate.Median, mib(p.Peak))
		}
	}
}

func mib(bytes int64) float64      { return float64(bytes) / (1 << 20) }
func percent(share float64) string { return fmt.Sprintf("%.0f %%", 100*share) }
func bytesText(size int) string {
	if size >= 1<<10 {
		return fmt.Sprintf("%d KiB", size>>10)
	}
	return fmt.Sprintf("%d B", size)
}
