// Package telemetry is what the metrics of the programs have in common: instruments that are made in one go, and attributes that are
// made once, since every event needs them.
package telemetry

import (
	"context"
	"fmt"
	"runtime"
	"sync"

	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/metric"

	"github.com/eventing-eventmesh/eventing-eventmesh/internal/version"
)

// MaxNames is how many names, such as those of topics, metrics tell apart.
const MaxNames = 1000

// Instruments makes instruments of a meter, and keeps the first error of doing so: ask for it after the last one.
type Instruments struct {
	Meter metric.Meter

	err error
}

// Err returns the first error, which names the instrument.
func (in *Instruments) Err() error { return in.err }

func (in *Instruments) check(name string, err error) {
	if err != nil && in.err == nil {
		in.err = fmt.Errorf("creating metric %s: %w", name, err)
	}
}

// Counter is a number that only grows.
func (in *Instruments) Counter(name, unit, description string) metric.Int64Counter {
	c, err := in.Meter.Int64Counter(name, metric.WithUnit(unit), metric.WithDescription(description))
	in.check(name, err)
	return c
}

// Histogram is for whole numbers.
func (in *Instruments) Histogram(name, unit, description string, bounds ...float64) metric.Int64Histogram {
	h, err := in.Meter.Int64Histogram(name, metric.WithUnit(unit), metric.WithDescription(description), metric.WithExplicitBucketBoundaries(bounds...))
	in.check(name, err)
	return h
}

// Seconds is a histogram of durations.
func (in *Instruments) Seconds(name, description string, bounds ...float64) metric.Float64Histogram {
	h, err := in.Meter.Float64Histogram(name, metric.WithUnit("s"), metric.WithDescription(description), metric.WithExplicitBucketBoundaries(bounds...))
	in.check(name, err)
	return h
}

// Level is an amount that adds up over replicas.
func (in *Instruments) Level(name, unit, description string) metric.Int64ObservableUpDownCounter {
	c, err := in.Meter.Int64ObservableUpDownCounter(name, metric.WithUnit(unit), metric.WithDescription(description))
	in.check(name, err)
	return c
}

// Flag is a gauge that is 1 for yes and 0 for no: see [OK]. Its unit is what there is one or none of.
func (in *Instruments) Flag(name, unit, description string) metric.Int64ObservableGauge {
	g, err := in.Meter.Int64ObservableGauge(name, metric.WithUnit(unit), metric.WithDescription(description))
	in.check(name, err)
	return g
}

// Share is a gauge of how much of something there is, from 0 to 1.
func (in *Instruments) Share(name, description string) metric.Float64ObservableGauge {
	return in.float(name, "1", description)
}

// Age is a gauge of seconds.
func (in *Instruments) Age(name, description string) metric.Float64ObservableGauge {
	return in.float(name, "s", description)
}

func (in *Instruments) float(name, unit, description string) metric.Float64ObservableGauge {
	g, err := in.Meter.Float64ObservableGauge(name, metric.WithUnit(unit), metric.WithDescription(description))
	in.check(name, err)
	return g
}

// BuildInfo makes a gauge that is always 1, whose labels are the version of the program and of Go, besides attributes. The prefix begins its name.
func (in *Instruments) BuildInfo(prefix string, attributes ...attribute.KeyValue) {
	name := prefix + ".build_info"
	of := metric.WithAttributes(append(attributes, attribute.String("version", version.Of()), attribute.String("goversion", runtime.Version()))...)
	_, err := in.Meter.Int64ObservableGauge(name, metric.WithUnit("{build}"), metric.WithDescription("What the program was built from: always 1."),
		metric.WithInt64Callback(func(_ context.Context, o metric.Int64Observer) error {
			o.Observe(1, of)
			return nil
		}))
	in.check(name, err)
}

// Observe registers a callback for instruments that are observed. Where one of them could not be made it does nothing and returns nil.
func (in *Instruments) Observe(callback metric.Callback, observed ...metric.Observable) metric.Registration {
	if in.err != nil {
		return nil
	}
	registration, err := in.Meter.RegisterCallback(callback, observed...)
	in.check("the callback", err)
	return registration
}

// OK is 1 for yes and 0 for no.
func OK(ok bool) int64 {
	if ok {
		return 1
	}
	return 0
}

// Options are the attributes of one time series, for counters and for histograms.
type Options struct {
	Add     []metric.AddOption
	Record  []metric.RecordOption
	Observe []metric.ObserveOption
}

// Series has the attributes of time series, each made once. Of may be called by many goroutines, and allocates nothing for a key that
// it knows.
type Series[K comparable] struct {
	attributes func(K) []attribute.KeyValue

	mu   sync.RWMutex
	made map[K]*Options
}

// NewSeries returns series of which none is made yet. attributes says what a key stands for; it is called by one goroutine at a time.
// Nothing bounds how many keys there are: see [Names].
func NewSeries[K comparable](attributes func(K) []attribute.KeyValue) *Series[K] {
	return &Series[K]{attributes: attributes, made: map[K]*Options{}}
}

// Of returns the attributes of a time series.
func (s *Series[K]) Of(key K) *Options {
	s.mu.RLock()
	found := s.made[key]
	s.mu.RUnlock()
	if found != nil {
		return found
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.made[key] == nil {
		set := metric.WithAttributeSet(attribute.NewSet(s.attributes(key)...))
		s.made[key] = &Options{Add: []metric.AddOption{set}, Record: []metric.RecordOption{set}, Observe: []metric.ObserveOption{set}}
	}
	return s.made[key]
}

// Names bounds the values of an attribute that others choose. The zero value knows no name yet. Bound may be called by many goroutines.
type Names struct {
	mu    sync.RWMutex
	known map[string]bool
}

// Bound returns the name, or none past MaxNames of them, and whether it is the first call that returns this one: of a counter that does
// not start at 0 Prometheus sees no increase.
func (n *Names) Bound(name string) (bounded string, first bool) {
	n.mu.RLock()
	known := n.known[name]
	n.mu.RUnlock()
	if known {
		return name, false
	}
	n.mu.Lock()
	defer n.mu.Unlock()
	if len(n.known) >= MaxNames && !n.known[name] {
		name = ""
	}
	if n.known[name] {
		return name, false
	}
	if n.known == nil {
		n.known = map[string]bool{}
	}
	n.known[name] = true
	return name, true
}
