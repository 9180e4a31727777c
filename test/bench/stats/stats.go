// Package stats has what the reports of benches have in common.
package stats

import (
	"os"
	"slices"
	"strings"
	"time"
)

// Spread is the median of some rounds, and the least and most of them.
type Spread struct {
	Median float64 `json:"median"`
	Min    float64 `json:"min"`
	Max    float64 `json:"max"`
}

// SpreadOf sorts the values of the rounds, of which there has to be one at least.
func SpreadOf(values []float64) Spread {
	slices.Sort(values)
	n := len(values)
	return Spread{Median: (values[(n-1)/2] + values[n/2]) / 2, Min: values[0], Max: values[n-1]}
}

// Percentile returns the one below which a share, 0 to 1, of sorted durations is, in microseconds; there has to be one at least.
func Percentile(sorted []time.Duration, share float64) float64 {
	return float64(sorted[min(int(share*float64(len(sorted))), len(sorted)-1)].Nanoseconds()) / 1000
}

// Processor is the name of this machine's, or "unknown".
func Processor() string {
	content, err := os.ReadFile("/proc/cpuinfo")
	if err != nil {
		return "unknown"
	}
	for line := range strings.Lines(string(content)) {
		if name, value, ok := strings.Cut(line, ":"); ok && strings.TrimSpace(name) == "model name" {
			return strings.TrimSpace(value)
		}
	}
	return "unknown"
}
