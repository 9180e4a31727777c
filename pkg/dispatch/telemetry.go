package dispatch

import (
	"context"
	"net/http"
	"strconv"
	"sync/atomic"
	"time"

	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/metric"
	semconv "go.opentelemetry.io/otel/semconv/v1.41.0"

	"github.com/eventing-eventmesh/eventing-eventmesh/internal/telemetry"
)

var (
	// dispatchBounds in seconds are those of kn.eventing.dispatch.duration in Knative's broker and channels.
	dispatchBounds = []float64{0.005, 0.01, 0.025, 0.05, 0.075, 0.1, 0.25, 0.5, 0.75, 1, 2.5, 5, 7.5, 10}
	// commitBounds in seconds span what an fsync takes, from fast disks to those that are stuck.
	commitBounds = []float64{0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10}
	groupBounds  = []float64{1, 2, 5, 10, 20, 50, 100, 200, 500, 1000}

	// errorNoAnswer is a request that got no answer: refused, cut, or out of time.
	errorNoAnswer = semconv.ErrorTypeKey.String("no_answer")
	// reasonKey is for why an event was given up.
	reasonKey = attribute.Key("eventmesh.reason")
)

// TelemetryOptions say how a dispatcher is measured.
type TelemetryOptions struct {
	// Provider is where metrics go.
	Provider metric.MeterProvider
	// Scope names the program to OpenTelemetry, in metrics and traces.
	Scope string
	// Prefix starts the names of the metrics that no convention names, such as eventmesh.source.
	Prefix string
	// System is the attribute messaging.system of traces.
	System attribute.KeyValue
	// Attributes are those of all metrics.
	Attributes []attribute.KeyValue
	// Lane makes the attributes of what is measured of a lane, by its Label; nil: lanes are not told apart.
	Lane func(label string) []attribute.KeyValue
	// Topics are those of which counters start at 0. Of a counter that starts at 1 Prometheus sees no increase.
	Topics []string
}

// Telemetry counts and measures what a dispatcher does, and traces it. Its methods may be called by several goroutines. They allocate
// nothing once a topic or a status has been seen.
type Telemetry struct {
	options    TelemetryOptions
	dispatcher atomic.Pointer[Dispatcher]

	deliveries, repeats, deadLetters, drops metric.Int64Counter
	dispatch, commit                        metric.Float64Histogram
	commitEvents                            metric.Int64Histogram
	gauges                                  metric.Registration

	reasons  []string // for giving up, whose counters start at 0
	topics   telemetry.Names
	labels   telemetry.Names // of lanes that have been counted
	gauged   telemetry.Names // of those whose state has been shown
	lanes    *telemetry.Series[string]
	events   *telemetry.Series[givenUpKey]
	statuses *telemetry.Series[int]
	commits  *telemetry.Series[bool]
}

// givenUpKey tells the time series of events apart. The reason is that of those that were given up.
type givenUpKey struct{ label, topic, reason string }

// NewTelemetry creates the instruments. It is for one dispatcher, which may come later.
func NewTelemetry(o TelemetryOptions) (*Telemetry, error) {
	t := &Telemetry{options: o, reasons: []string{reasonRejected, reasonRetries, ReasonUndecodable}}
	if o.Lane != nil {
		t.reasons = append(t.reasons, reasonFull)
	}
	with := func(more ...attribute.KeyValue) []attribute.KeyValue {
		return append(append([]attribute.KeyValue{}, o.Attributes...), more...)
	}
	t.events = telemetry.NewSeries(func(key givenUpKey) []attribute.KeyValue {
		of := with(append(t.ofLane(key.label), semconv.MessagingDestinationName(key.topic))...)
		if key.reason != "" {
			of = append(of, reasonKey.String(key.reason))
		}
		return of
	})
	t.lanes = telemetry.NewSeries(func(label string) []attribute.KeyValue { return with(t.ofLane(label)...) })
	t.statuses = telemetry.NewSeries(func(status int) []attribute.KeyValue {
		switch {
		case status == 0:
			return with(errorNoAnswer)
		case status < http.StatusOK || status >= http.StatusMultipleChoices:
			return with(semconv.HTTPResponseStatusCode(status), semconv.ErrorTypeKey.String(strconv.Itoa(status)))
		default:
			return with(semconv.HTTPResponseStatusCode(status))
		}
	})
	t.commits = telemetry.NewSeries(func(ok bool) []attribute.KeyValue {
		if !ok {
			return with(semconv.ErrorTypeOther)
		}
		return with()
	})
	in := &telemetry.Instruments{Meter: o.Provider.Meter(o.Scope)}
	t.deliveries = in.Counter(o.Prefix+".delivered", "{event}", "Events that the sink has accepted.")
	t.repeats = in.Counter(o.Prefix+".redelivered", "{request}", "Requests to the sink that repeat an event.")
	t.deadLetters = in.Counter(o.Prefix+".dead_lettered", "{event}", "Events given up that the place for dead letters has accepted.")
	t.drops = in.Counter(o.Prefix+".dropped", "{event}", "Events given up that are lost.")
	t.dispatch = in.Seconds("kn.eventing.dispatch.duration", "The duration to dispatch the event", dispatchBounds...)
	t.commit = in.Seconds(o.Prefix+".spool.commit.duration", "Duration of a commit of the spool, for a group of events.", commitBounds...)
	t.commitEvents = in.Histogram(o.Prefix+".spool.commit.events", "{event}", "Events in a commit of the spool.", groupBounds...)
	t.observe(in)
	if in.Err() != nil {
		return nil, in.Err()
	}
	for _, topic := range append([]string{""}, o.Topics...) {
		t.of("", topic, "")
	}
	return t, nil
}

// ofLane returns the attributes of a lane.
func (t *Telemetry) ofLane(label string) []attribute.KeyValue {
	if t.options.Lane == nil {
		return nil
	}
	return t.options.Lane(label)
}

// requested measures one request. status is that of its answer, or 0 where there was none.
func (t *Telemetry) requested(status int, took time.Duration) {
	if status < 100 || status > 599 { // HTTP has no classes for others
		status = 0
	}
	t.dispatch.Record(context.Background(), took.Seconds(), t.statuses.Of(status).Record...)
}

// redelivered counts a request that repeats an event: after a failure, or one that an earlier process left.
func (t *Telemetry) redelivered(it *item) { t.add(t.repeats, it, "") }

// delivered counts an event that its destination has accepted.
func (t *Telemetry) delivered(it *item) { t.add(t.deliveries, it, "") }

// deadLettered counts an event that was given up, and that the place for dead letters has accepted.
func (t *Telemetry) deadLettered(it *item, reason string) { t.add(t.deadLetters, it, reason) }

// dropped counts an event that was given up and is lost.
func (t *Telemetry) dropped(it *item, reason string) { t.add(t.drops, it, reason) }

// Expect starts the counters of a topic's events in a lane, by its label, at 0. Of a counter that starts at 1 Prometheus sees no increase.
func (t *Telemetry) Expect(label, topic string) { t.of(label, topic, "") }

// Dropped counts an event that is lost and was no lane's. The reason is "rejected", "retries" or "undecodable".
func (t *Telemetry) Dropped(topic, reason string) {
	t.drops.Add(context.Background(), 1, t.of("", topic, reason).Add...)
}

func (t *Telemetry) add(counter metric.Int64Counter, it *item, reason string) {
	label := ""
	if t.options.Lane != nil {
		label = it.lane.options().Label
	}
	counter.Add(context.Background(), 1, t.of(label, it.topic, reason).Add...)
}

// committed measures one commit to the disk. Where it failed nothing was committed, and events does not count.
func (t *Telemetry) committed(events int, took time.Duration, err error) {
	t.commit.Record(context.Background(), took.Seconds(), t.commits.Of(err == nil).Record...)
	if err == nil {
		t.commitEvents.Record(context.Background(), int64(events), t.commits.Of(true).Record...)
	}
}

// of returns the attributes of a topic's events in a lane, and starts the counters of a new topic or lane at 0.
func (t *Telemetry) of(label, topic, reason string) *telemetry.Options {
	topic, newTopic := t.topics.Bound(topic)
	label, newLabel := t.labels.Bound(label)
	if newTopic || newLabel {
		ctx, events := context.Background(), t.events.Of(givenUpKey{label: label, topic: topic})
		t.deliveries.Add(ctx, 0, events.Add...)
		t.repeats.Add(ctx, 0, events.Add...)
		for _, reason := range t.reasons {
			givenUp := t.events.Of(givenUpKey{label: label, topic: topic, reason: reason})
			t.deadLetters.Add(ctx, 0, givenUp.Add...)
			t.drops.Add(ctx, 0, givenUp.Add...)
		}
	}
	return t.events.Of(givenUpKey{label: label, topic: topic, reason: reason})
}
