package dispatch

import (
	"context"
	"time"

	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/metric"

	"github.com/eventing-eventmesh/eventing-eventmesh/internal/telemetry"
)

// observe makes the instruments that show the state, and registers the one callback that asks for it.
func (t *Telemetry) observe(in *telemetry.Instruments) {
	prefix := t.options.Prefix
	events := in.Level(prefix+".buffer.events", "{event}", "Events in the buffer: received, and neither delivered nor given up.")
	bytes := in.Level(prefix+".buffer.bytes", "By", "Size of the events in the buffer.")
	maxEvents := in.Level(prefix+".buffer.limit.events", "{event}", "Events that the buffer may hold.")
	maxBytes := in.Level(prefix+".buffer.limit.bytes", "By", "Size of the events that the buffer may hold.")
	inFlight := in.Level(prefix+".in_flight", "{request}", "Requests to the sink that have no answer yet.")
	oldest := in.Age(prefix+".buffer.oldest.age", "Time since the oldest event in the buffer was received, 0 when the buffer is empty.")
	available := in.Flag(prefix+".sink.available", "{sink}", "Whether the sink answers, and not with 429, 502, 503 or 504: 1, or 0.")
	writable := in.Flag(prefix+".spool.writable", "{spool}", "Whether the spool can be written: 1, or 0. 1 without a spool.")
	unreadable := in.Level(prefix+".spool.unreadable", "{record}", "Records of the spool that cannot be read, and are set aside.")
	all := []metric.Observable{events, bytes, maxEvents, maxBytes, inFlight, oldest, available, writable, unreadable}
	var lanes laneGauges
	if t.options.Lane != nil {
		lanes = newLaneGauges(in, prefix)
		all = append(all, lanes.events, lanes.filled, lanes.oldest)
	}
	attributes := metric.WithAttributeSet(attribute.NewSet(t.options.Attributes...))
	t.gauges = in.Observe(func(_ context.Context, o metric.Observer) error {
		d := t.dispatcher.Load()
		if d == nil {
			return nil
		}
		s := d.Status()
		o.ObserveInt64(events, s.Events, attributes)
		o.ObserveInt64(bytes, s.Bytes, attributes)
		if d.options.MaxEvents > 0 {
			o.ObserveInt64(maxEvents, d.options.MaxEvents, attributes)
		}
		if d.options.MaxBytes > 0 {
			o.ObserveInt64(maxBytes, d.options.MaxBytes, attributes)
		}
		o.ObserveInt64(inFlight, s.InFlight, attributes)
		o.ObserveFloat64(oldest, age(s.Oldest), attributes)
		o.ObserveInt64(writable, telemetry.OK(s.Writing == nil), attributes)
		o.ObserveInt64(unreadable, s.Aside, attributes)
		if t.options.Lane == nil {
			o.ObserveInt64(available, telemetry.OK(d.Available()), attributes)
			return nil
		}
		for label, s := range t.bounded(d.states()) {
			of := t.lanes.Of(label).Observe
			o.ObserveInt64(available, telemetry.OK(!s.away), of...)
			lanes.observe(o, s, of)
		}
		return nil
	}, all...)
}

// Close ends what is observed.
func (t *Telemetry) Close() error { return t.gauges.Unregister() }

// laneGauges show the state of lanes, where these are told apart.
type laneGauges struct {
	events         metric.Int64ObservableUpDownCounter
	filled, oldest metric.Float64ObservableGauge
}

func newLaneGauges(in *telemetry.Instruments, prefix string) laneGauges {
	return laneGauges{
		events: in.Level(prefix+".destination.events", "{event}", "Events that are kept for one destination of several."),
		filled: in.Share(prefix+".destination.filled", "How much is kept for one destination of several, of what may be: 1 when more would have to wait."),
		oldest: in.Age(prefix+".destination.oldest.age", "Time since the oldest event was received that is kept for one destination of several, 0 when there is none."),
	}
}

func (g laneGauges) observe(o metric.Observer, s laneState, of []metric.ObserveOption) {
	o.ObserveInt64(g.events, s.events, of...)
	o.ObserveFloat64(g.filled, s.filled, of...)
	o.ObserveFloat64(g.oldest, age(s.oldest), of...)
}

// bounded returns states by the labels that metrics have: beyond the first of them all together have none.
func (t *Telemetry) bounded(states map[string]laneState) map[string]laneState {
	bounded := make(map[string]laneState, len(states))
	for label, s := range states {
		label, _ = t.gauged.Bound(label)
		bounded[label] = bounded[label].with(s)
	}
	return bounded
}

// age returns the time in seconds since an event was received, and 0 for the zero time. It is never negative: what an earlier process has
// kept was dated by a clock that may have been set back since.
func age(received time.Time) float64 {
	if received.IsZero() {
		return 0
	}
	return max(time.Since(received), 0).Seconds()
}
