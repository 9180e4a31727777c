//go:build linux

package main

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/eventing-eventmesh/eventing-eventmesh/test/bench/stats"
)

// TestMain lets the test's own program play the roles.
func TestMain(m *testing.M) {
	if len(os.Args) > 1 && roles[os.Args[1]] != nil {
		if err := run(os.Args[1:]); err != nil {
			fmt.Fprintln(os.Stderr, err)
			os.Exit(1)
		}
		os.Exit(0)
	}
	os.Exit(m.Run())
}

// TestBench measures little, and looks whether every figure is there. It says nothing of their values.
func TestBench(t *testing.T) {
	b, err := newBench(1, time.Millisecond)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := b.close(); err != nil {
			t.Error(err)
		}
	})
	b.halfLoad = 50 * time.Millisecond
	var r Report
	if r.Source, err = b.source(transports, []int{1 << 10}, []int{16}); err != nil {
		t.Fatal(err)
	}
	for transport, modes := range map[string][]string{grpcTransport: {binaryMode, structuredMode, batchMode}, tcpTransport: {binaryMode}, httpTransport: {binaryMode}} {
		cases, err := b.sink(transport, modes, []int{1 << 10}, []int{64})
		if err != nil {
			t.Fatal(err)
		}
		r.Sink = append(r.Sink, cases...)
	}
	var results []Result
	for _, c := range r.Source {
		results = append(results, c.Results...)
	}
	for _, c := range r.Sink {
		results = append(results, c.Results...)
	}
	if want := 3*5 + 5*4; len(results) != want {
		t.Errorf("got %d results, want %d", len(results), want)
	}
	for _, r := range results {
		if r.Rate.Median <= 0 || r.CPU.Median <= 0 || r.Allocations <= 0 || r.Bytes <= 0 || r.Peak <= 0 || r.Mesh+r.Drivers <= 0 {
			t.Errorf("%s: a figure is missing: %+v", r.Subject, r)
		}
		if (r.Subject == memorySource || r.Subject == theSink) && (r.Latency == nil || r.Latency.P50 <= 0 || r.Latency.P99 < r.Latency.P50) {
			t.Errorf("%s: got latency %+v", r.Subject, r.Latency)
		}
	}
	if goals := r.goals(); len(goals) < 10 {
		t.Errorf("got %d targets: %+v", len(goals), goals)
	}
}

// TestReport keeps the two forms of the committed report alike.
func TestReport(t *testing.T) {
	const folder = "../../docs/performance"
	r, err := readReport(filepath.Join(folder, reportJSON))
	if err != nil {
		t.Fatal(err)
	}
	want, err := os.ReadFile(filepath.Join(folder, reportMarkdown))
	if err != nil {
		t.Fatal(err)
	}
	if r.markdown() != string(want) {
		t.Errorf("%s is not what %s says: run make bench", reportMarkdown, reportJSON)
	}
	for of, figures := range r.figures() {
		if !(figures.rate > 0 && figures.cpu > 0 && figures.allocations > 0) { // NaN is not, either
			t.Errorf("%s: %+v is nothing to compare with", of, figures)
		}
	}
}

func TestReportKeepsWhatIsNotMeasuredAgain(t *testing.T) {
	of := func(transport string, size int, rate float64) SourceCase {
		return SourceCase{Transport: transport, Size: size, Results: []Result{{Subject: memorySource, Rate: stats.Spread{Median: rate}}}}
	}
	before := Report{Date: "2026-01-01", Source: []SourceCase{of(grpcTransport, 1, 10), of(httpTransport, 1, 20)}, Curves: []Curve{{Name: "size"}}}
	now := before.with(Report{Date: "2026-01-02", Source: []SourceCase{of(httpTransport, 1, 21), of(httpTransport, 2, 30)}})
	var got []string
	for _, c := range now.Source {
		got = append(got, fmt.Sprintf("%s %d %s %v", c.Transport, c.Size, c.Date, c.Results[0].Rate.Median))
	}
	want := []string{"grpc 1  10", "http 1 2026-01-02 21", "http 2 2026-01-02 30"}
	if fmt.Sprint(got) != fmt.Sprint(want) || now.Date != before.Date || len(now.Curves) != 1 || before.Source[1].Date != "" {
		t.Errorf("got %q, want %q, and what was before", got, want)
	}
	if said := now.markdown(); !strings.Contains(said, "Source over http, 2 B, 0 in flight, on 2026-01-02") {
		t.Errorf("the tables do not tell when: %s", said)
	}
}

func TestRegressions(t *testing.T) {
	report := func(rate, cpu, allocations float64) Report {
		one := func(v float64) stats.Spread { return stats.Spread{Median: v, Min: v, Max: v} }
		return Report{Source: []SourceCase{{Transport: grpcTransport, Size: 1 << 10, InFlight: 16, Results: []Result{
			{Subject: memorySource, Rate: one(rate), CPU: one(cpu), Allocations: allocations},
			{Subject: spoolSource, Rate: one(50), CPU: one(50), Allocations: 100},
			{Subject: readFloor, Rate: one(100), CPU: one(10)},
			{Subject: postFloor, Rate: one(200), CPU: one(20)},
		}}}}
	}
	for name, test := range map[string]struct {
		now   Report
		worse int
	}{
		"the same":            {report(60, 30, 100), 0},
		"better":              {report(90, 20, 50), 0},
		"a little worse":      {report(51, 35, 109), 0},
		"slower":              {report(49, 30, 100), 1},
		"dearer":              {report(60, 37, 100), 1},
		"more allocations":    {report(60, 30, 111), 1},
		"everything is worse": {report(40, 40, 140), 3},
	} {
		worse, err := regressions(report(60, 30, 100).figures(), test.now.figures())
		if err != nil || len(worse) != test.worse {
			t.Errorf("%s: got %v, %v, want %d regressions", name, worse, err, test.worse)
		}
	}
	if _, err := regressions(Report{}.figures(), report(60, 30, 100).figures()); err == nil {
		t.Error("figures that were never committed can be compared")
	}
	best := report(60, 30, 121).figures()
	for of, got := range report(40, 40, 100).figures() {
		best[of] = got.best(best[of])
	}
	if worse, err := regressions(report(60, 30, 100).figures(), best); err != nil || len(worse) > 0 {
		t.Errorf("the best of two runs: got %v, %v, want no regressions", worse, err)
	}
}
