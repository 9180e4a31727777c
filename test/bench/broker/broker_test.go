package main

import (
	"encoding/json"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/eventing-eventmesh/eventing-eventmesh/test/bench/broker/load"
	"github.com/eventing-eventmesh/eventing-eventmesh/test/bench/stats"
)

var start = time.Date(2026, 1, 2, 3, 4, 0, 0, time.UTC)

func after(seconds int) time.Time { return start.Add(time.Duration(seconds) * time.Second) }

// looked is what a kubelet says when it has looked at pods with such names after so many seconds, of which each program has used half.
func looked(t *testing.T, seconds int, pods ...string) []podSummary {
	t.Helper()
	var all []podSummary
	for _, name := range pods {
		text := fmt.Sprintf(`{"podRef": {"name": %q, "namespace": "a"}, "containers": [{"name": "c",
			"cpu": {"time": %q, "usageNanoCores": 1, "usageCoreNanoSeconds": %d}, "memory": {"workingSetBytes": %d, "rssBytes": %d}}]}`,
			name, after(seconds).Format(time.RFC3339), seconds*5e8, (200-seconds)<<20, (100-seconds)<<20)
		var s podSummary
		if err := json.Unmarshal([]byte(text), &s); err != nil {
			t.Fatal(err)
		}
		all = append(all, s)
	}
	return all
}

func TestMeter(t *testing.T) {
	m := newMeter()
	m.note(looked(t, 0, "x-1", "x-gone", "xy-1"))
	for _, seconds := range []int{10, 10, 20, 40, 60} {
		m.note(looked(t, seconds, "x-1", "x-2", "xy-1"))
	}
	x := program{"a", "x"}
	if got := len(m.of(x)); got != 2 {
		t.Fatalf("got %d pods, want those of the program that are there", got)
	}
	for name, test := range map[string]struct {
		from, to time.Time
		want     use // the zero value is an error
	}{
		"two pods":                         {after(21), after(40), use{20 * time.Second, 20 * time.Second, 160 << 20, 360 << 20}},
		"a look that may have been after":  {after(20), after(40), use{30 * time.Second, 30 * time.Second, 180 << 20, 380 << 20}},
		"a look that may have been before": {after(21), after(40).Add(1), use{40 * time.Second, 40 * time.Second, 160 << 20, 360 << 20}},
		"nothing before":                   {after(5), after(40), use{}},
		"nothing after":                    {after(21), after(61), use{}},
	} {
		t.Run(name, func(t *testing.T) {
			got, err := m.between(x, test.from, test.to)
			if got != test.want || (err != nil) != (test.want == use{}) {
				t.Errorf("got %+v, %v, want %+v", got, err, test.want)
			}
		})
	}
	if _, err := m.between(program{"a", "z"}, after(21), after(40)); err == nil {
		t.Error("got no error of a program without pods")
	}
	if err := m.settle(t.Context(), []program{x}, after(60)); err != nil {
		t.Error(err)
	}
	restarted := looked(t, 70, "x-1", "x-2")
	restarted[0].Containers[0].CPU.UsageCoreNanoSeconds = 1
	m.note(restarted)
	if got := m.restartsOf([]class{{programs: []program{x, {"a", "z"}}}}); len(got) != 1 || got["x"] != 1 {
		t.Errorf("got restarts %v, want that of a pod of x", got)
	}
}

func TestSum(t *testing.T) {
	c := &class{name: "X", programs: []program{{"a", "x"}}, apart: []program{{"a", "y"}}, controllers: []program{{"a", "z"}}}
	m := newMeter()
	for _, seconds := range []int{0, 20, 40} {
		m.note(looked(t, seconds, "x-1", "y-1", "z-1"))
	}
	s := &stage{bench: &bench{meter: m, idle: map[program]float64{{"a", "x"}: 0.25}}}
	r := Result{Class: "X"}
	b := block{after(21), after(35), load.Result{Events: 100, Lost: 1, Delivered: load.Latency{P50: 1, P99: 2}}, map[string]float64{"x works": 3}}
	if err := s.sum(&r, c, []block{b, b}); err != nil {
		t.Fatal(err)
	}
	one := func(v float64) stats.Spread { return stats.Spread{Median: v, Min: v, Max: v} }
	for name, test := range map[string]struct{ got, want stats.Spread }{
		"CPU": {r.CPU, one(50_000)}, "of the program": {r.Programs["x"], one(50_000)}, "apart": {r.EventMesh, one(100_000)},
		"p50": {r.P50, one(1)}, "p99": {r.P99, one(2)}, "phase": {r.Phases["x works"], one(3)},
		"memory": {r.Resident, one(80)}, "with files": {r.WorkingSet, one(180)}, "of controllers": {r.Controllers, one(80)},
	} {
		if test.got != test.want {
			t.Errorf("%s: got %v, want %v", name, test.got, test.want)
		}
	}
	report := Report{Rounds: 2, Restarts: map[string]int{"y": 3}, AtRest: map[string]float64{"x": 250}, Cases: []Case{{Triggers: 10, Matching: 1, Rate: 100, Brokers: []Result{r}}}}
	if err := report.write(t.TempDir()); err != nil {
		t.Error(err)
	}
	for _, want := range []string{"| 10, 1 | X |", "50000 (50000–50000)", "| x | 250.0 |", "| 10, 1 | x works | 3.00 (3.00–3.00) |", "2 lost", "y was restarted 3 times"} {
		if text := report.markdown(); !strings.Contains(text, want) {
			t.Errorf("the report lacks %q:\n%s", want, text)
		}
	}
}

func TestTotal(t *testing.T) {
	text := `# TYPE x_seconds histogram
x_seconds_bucket{a="1",le="+Inf"} 4
x_seconds_sum{a="1"} 0.5
x_seconds_count{a="1"} 4
x_seconds_sum{a="2"} 0.25
x_seconds_count{a="2"} 1
x_seconds_more_sum{a="2"} 7
`
	got := totalOf(text, "x_seconds")
	if want := (total{0.75, 5}); got != want {
		t.Errorf("got %v, want %v", got, want)
	}
	if mean := got.since(total{0.25, 1}); mean != 125 {
		t.Errorf("got %v ms, want 125", mean)
	}
	if mean := got.since(got); mean != 0 {
		t.Errorf("got %v ms of nothing", mean)
	}
}
