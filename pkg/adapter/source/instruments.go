package source

import (
	"context"
	"fmt"
	"time"

	"go.opentelemetry.io/otel/metric"
)

// instruments creates instruments, and keeps the first error of doing so.
type instruments struct {
	meter metric.Meter
	err   error
}

func (in *instruments) counter(name, unit, description string) metric.Int64Counter {
	c, err := in.meter.Int64Counter(name, metric.WithUnit(unit), metric.WithDescription(description))
	in.check(name, err)
	return c
}

func (in *instruments) seconds(name, description string, bounds []float64) metric.Float64Histogram {
	h, err := in.meter.Float64Histogram(name, metric.WithUnit("s"), metric.WithDescription(description),
		metric.WithExplicitBucketBoundaries(bounds...))
	in.check(name, err)
	return h
}

func (in *instruments) histogram(name, unit, description string, bounds []float64) metric.Int64Histogram {
	h, err := in.meter.Int64Histogram(name, metric.WithUnit(unit), metric.WithDescription(description),
		metric.WithExplicitBucketBoundaries(bounds...))
	in.check(name, err)
	return h
}

// level is an amount that adds up over replicas.
func (in *instruments) level(name, unit, description string) metric.Int64ObservableUpDownCounter {
	c, err := in.meter.Int64ObservableUpDownCounter(name, metric.WithUnit(unit), metric.WithDescription(description))
	in.check(name, err)
	return c
}

// flag is a gauge that is 1 for yes and 0 for no. Its unit is what there is one or none of.
func (in *instruments) flag(name, unit, description string) metric.Int64ObservableGauge {
	g, err := in.meter.Int64ObservableGauge(name, metric.WithUnit(unit), metric.WithDescription(description))
	in.check(name, err)
	return g
}

// observe creates the instruments that show the state, and registers the one callback that asks for it.
func (in *instruments) observe(current func() state, attributes metric.ObserveOption) metric.Registration {
	events := in.level("eventmesh.source.buffer.events", "{event}", "Events in the buffer: received, and neither delivered nor given up.")
	bytes := in.level("eventmesh.source.buffer.bytes", "By", "Size of the events in the buffer.")
	maxEvents := in.level("eventmesh.source.buffer.limit.events", "{event}", "Events that the buffer may hold.")
	maxBytes := in.level("eventmesh.source.buffer.limit.bytes", "By", "Size of the events that the buffer may hold.")
	inFlight := in.level("eventmesh.source.in_flight", "{request}", "Requests to the sink that have no answer yet.")
	age, err := in.meter.Float64ObservableGauge("eventmesh.source.buffer.oldest.age", metric.WithUnit("s"),
		metric.WithDescription("Time since the oldest event in the buffer was received, 0 when the buffer is empty."))
	in.check("eventmesh.source.buffer.oldest.age", err)
	connected := in.flag("eventmesh.source.connected", "{session}", "Whether the source is subscribed at EventMesh: 1, or 0.")
	available := in.flag("eventmesh.source.sink.available", "{sink}", "Whether the sink answers, and not with 429, 502, 503 or 504: 1, or 0.")
	writable := in.flag("eventmesh.source.spool.writable", "{spool}", "Whether the spool can be written: 1, or 0. 1 without a spool.")
	unreadable := in.level("eventmesh.source.spool.unreadable", "{record}", "Records of the spool that cannot be read, and are set aside.")
	if in.err != nil {
		return nil
	}
	registration, err := in.meter.RegisterCallback(func(_ context.Context, o metric.Observer) error {
		s := current()
		o.ObserveInt64(events, s.events, attributes)
		o.ObserveInt64(bytes, s.bytes, attributes)
		o.ObserveInt64(maxEvents, s.maxEvents, attributes)
		o.ObserveInt64(maxBytes, s.maxBytes, attributes)
		o.ObserveInt64(inFlight, s.inFlight, attributes)
		o.ObserveFloat64(age, s.age().Seconds(), attributes)
		o.ObserveInt64(connected, int64(okIndex(s.connected)), attributes)
		o.ObserveInt64(available, int64(okIndex(s.sinkAvailable)), attributes)
		o.ObserveInt64(writable, int64(okIndex(s.spoolWritable)), attributes)
		o.ObserveInt64(unreadable, s.unreadable, attributes)
		return nil
	}, events, bytes, maxEvents, maxBytes, inFlight, age, connected, available, writable, unreadable)
	in.check("the callback", err)
	return registration
}

// age is that of the oldest event. It is never negative: what an earlier process has kept was dated by a clock that may have
// been set back since.
func (s state) age() time.Duration {
	if s.oldest.IsZero() {
		return 0
	}
	return max(time.Since(s.oldest), 0)
}

func (in *instruments) check(name string, err error) {
	if err != nil && in.err == nil {
		in.err = fmt.Errorf("creating metric %s: %w", name, err)
	}
}
