package source

import (
	"context"
	"fmt"
	"maps"
	"net/http"
	"strconv"
	"sync"
	"sync/atomic"
	"time"

	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/metric"
	semconv "go.opentelemetry.io/otel/semconv/v1.41.0"
	"go.opentelemetry.io/otel/semconv/v1.41.0/messagingconv"
)

const (
	// telemetryScope names this package to OpenTelemetry.
	telemetryScope = "github.com/eventing-eventmesh/eventing-eventmesh/pkg/adapter/source"

	// maxTopics bounds the values of messaging.destination.name. Topics are those of the subscription; but it is EventMesh that
	// says which one an event came from.
	maxTopics = 1000

	// lowestStatus and highestStatus are those that HTTP has classes for.
	lowestStatus, highestStatus = 100, 599
)

var (
	// dispatchBounds in seconds are those of kn.eventing.dispatch.duration in Knative's broker and channels.
	dispatchBounds = []float64{0.005, 0.01, 0.025, 0.05, 0.075, 0.1, 0.25, 0.5, 0.75, 1, 2.5, 5, 7.5, 10}
	// commitBounds in seconds span what an fsync takes, from fast disks to those that are stuck.
	commitBounds = []float64{0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10}
	groupBounds  = []float64{1, 2, 5, 10, 20, 50, 100, 200, 500, 1000}

	systemEventMesh = semconv.MessagingSystemKey.String("eventmesh")
	// errorOther is the value that the conventions have where nothing more exact is known.
	errorOther = semconv.ErrorTypeOther
	// errorNoAnswer is a request to the sink that got no answer: refused, cut, or out of time.
	errorNoAnswer = semconv.ErrorTypeKey.String("no_answer")

	// reasonKey is for why an event was given up.
	reasonKey = attribute.Key("eventmesh.reason")
	// givenUpReasons are all its values.
	givenUpReasons = [...]string{reasonRejected, reasonRetries, reasonUndecodable}
)

// state is what the gauges show.
type state struct {
	// events and bytes are what the buffer holds, of at most maxEvents and maxBytes.
	events, bytes, maxEvents, maxBytes int64
	// oldest is when the oldest event in the buffer was received; zero when the buffer is empty.
	oldest time.Time
	// inFlight counts requests to the sink that have no answer yet.
	inFlight int64
	// connected tells whether events arrive from EventMesh, sinkAvailable whether the sink is there: see verdict.
	connected, sinkAvailable bool
	// spoolWritable tells whether events can be kept; it is true, too, where there is no spool.
	spoolWritable bool
	// unreadable counts records of the spool that cannot be read, and that were set aside.
	unreadable int64
}

// metrics counts and measures what the source does. Its methods may be called by several goroutines. They allocate nothing
// once a topic or a status has been seen.
type metrics struct {
	consumed     metric.Int64Counter
	undecodables metric.Int64Counter
	deliveries   metric.Int64Counter
	repeats      metric.Int64Counter
	deadLetters  metric.Int64Counter
	drops        metric.Int64Counter
	sent         metric.Int64Counter

	dispatch     metric.Float64Histogram
	commit       metric.Float64Histogram
	commitEvents metric.Int64Histogram

	gauges metric.Registration

	group       attribute.KeyValue
	replies     [2][]metric.AddOption // failed and succeeded
	commits     [2][]metric.RecordOption
	statuses    [highestStatus + 1]atomic.Pointer[[]metric.RecordOption]
	otherStatus []metric.RecordOption

	mu     sync.Mutex // of those who add a topic
	topics atomic.Pointer[map[string]*topicOptions]
}

// topicOptions are the attributes of one topic.
type topicOptions struct {
	consumed []metric.AddOption
	events   []metric.AddOption
	givenUp  [len(givenUpReasons)][]metric.AddOption
}

// newMetrics creates the instruments. state is called whenever the metrics are collected.
func newMetrics(provider metric.MeterProvider, group string, state func() state) (*metrics, error) {
	m := &metrics{group: semconv.MessagingConsumerGroupName(group)}
	in := instruments{meter: provider.Meter(telemetryScope)}
	m.consumed = in.counter(messagingconv.ClientConsumedMessages{}.Name(), messagingconv.ClientConsumedMessages{}.Unit(),
		"Events received from EventMesh.")
	m.sent = in.counter(messagingconv.ClientSentMessages{}.Name(), messagingconv.ClientSentMessages{}.Unit(),
		"Replies sent to EventMesh, those that it did not take included.")
	m.undecodables = in.counter("eventmesh.source.undecodable", "{message}", "Messages received from EventMesh that are no event.")
	m.deliveries = in.counter("eventmesh.source.delivered", "{event}", "Events that the sink has taken.")
	m.repeats = in.counter("eventmesh.source.redelivered", "{request}", "Requests to the sink that repeat an event.")
	m.deadLetters = in.counter("eventmesh.source.dead_lettered", "{event}", "Events given up that a dead letter place has taken.")
	m.drops = in.counter("eventmesh.source.dropped", "{event}", "Events given up that are lost.")
	m.dispatch = in.seconds("kn.eventing.dispatch.duration", "The duration to dispatch the event", dispatchBounds)
	m.commit = in.seconds("eventmesh.source.spool.commit.duration", "Duration of a commit of the spool, for a group of events.", commitBounds)
	m.commitEvents = in.histogram("eventmesh.source.spool.commit.events", "{event}", "Events in a commit of the spool.", groupBounds)
	m.gauges = in.observe(state, metric.WithAttributeSet(attribute.NewSet(m.group)))
	if in.err != nil {
		return nil, in.err
	}

	reply := []attribute.KeyValue{systemEventMesh, semconv.MessagingOperationName("reply"), m.group}
	m.replies = [2][]metric.AddOption{adding(append(reply, errorOther)...), adding(reply...)}
	m.commits = [2][]metric.RecordOption{recording(m.group, errorOther), recording(m.group)}
	m.otherStatus = recording(m.group, errorNoAnswer)
	m.topics.Store(&map[string]*topicOptions{})
	m.expect("")
	m.sent.Add(context.Background(), 0, m.replies[0]...)
	m.sent.Add(context.Background(), 0, m.replies[1]...)
	return m, nil
}

// close unregisters what newMetrics has registered.
func (m *metrics) close() error {
	if err := m.gauges.Unregister(); err != nil {
		return fmt.Errorf("unregistering metrics: %w", err)
	}
	return nil
}

// expect starts the counters of the topics at 0: of a counter that starts at 1 Prometheus sees no increase.
func (m *metrics) expect(topics ...string) {
	for _, topic := range topics {
		m.of(topic)
	}
}

// received counts an event taken from EventMesh.
func (m *metrics) received(topic string) {
	m.consumed.Add(context.Background(), 1, m.of(topic).consumed...)
}

// undecodable counts a message that is no event; it is not one that was received.
func (m *metrics) undecodable(topic string) {
	m.undecodables.Add(context.Background(), 1, m.of(topic).events...)
}

// requested measures one request to the sink. code is the status of its answer, or 0 where there was none.
func (m *metrics) requested(code int, took time.Duration) {
	m.dispatch.Record(context.Background(), took.Seconds(), m.status(code)...)
}

// redelivered counts a request that repeats an event: after a failure, or one that an earlier process left.
func (m *metrics) redelivered(topic string) {
	m.repeats.Add(context.Background(), 1, m.of(topic).events...)
}

// delivered counts an event that the sink has taken.
func (m *metrics) delivered(topic string) {
	m.deliveries.Add(context.Background(), 1, m.of(topic).events...)
}

// deadLettered counts an event that was given up, and that a dead letter place has taken. The reason is "rejected",
// "retries" or "undecodable".
func (m *metrics) deadLettered(topic, reason string) {
	m.deadLetters.Add(context.Background(), 1, m.givenUp(topic, reason)...)
}

// dropped counts an event that was given up and is lost, for the same reasons.
func (m *metrics) dropped(topic, reason string) {
	m.drops.Add(context.Background(), 1, m.givenUp(topic, reason)...)
}

// replied counts a reply to a request of a sync subscription, and whether EventMesh took it.
func (m *metrics) replied(ok bool) {
	m.sent.Add(context.Background(), 1, m.replies[okIndex(ok)]...)
}

// committed measures one commit of the spool. Where it failed nothing was committed, and events does not count.
func (m *metrics) committed(events int, took time.Duration, err error) {
	m.commit.Record(context.Background(), took.Seconds(), m.commits[okIndex(err == nil)]...)
	if err == nil {
		m.commitEvents.Record(context.Background(), int64(events), m.commits[1]...)
	}
}

// of returns the attributes of a topic. The map is replaced when it grows, so that reading it takes neither lock nor allocation.
func (m *metrics) of(topic string) *topicOptions {
	if found := (*m.topics.Load())[topic]; found != nil {
		return found
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	known := *m.topics.Load()
	switch {
	case known[topic] != nil:
		return known[topic]
	case len(known) >= maxTopics:
		return known[""]
	}
	added := m.begin(topic)
	grown := make(map[string]*topicOptions, len(known)+1)
	maps.Copy(grown, known)
	grown[topic] = added
	m.topics.Store(&grown)
	return added
}

// begin makes the attributes of a topic, and starts its counters at 0.
func (m *metrics) begin(topic string) *topicOptions {
	destination := semconv.MessagingDestinationName(topic)
	o := &topicOptions{
		consumed: adding(systemEventMesh, semconv.MessagingOperationName("receive"), destination, m.group),
		events:   adding(destination, m.group),
	}
	ctx := context.Background()
	m.consumed.Add(ctx, 0, o.consumed...)
	for _, counter := range []metric.Int64Counter{m.undecodables, m.deliveries, m.repeats} {
		counter.Add(ctx, 0, o.events...)
	}
	for i, reason := range givenUpReasons {
		o.givenUp[i] = adding(destination, m.group, reasonKey.String(reason))
		m.deadLetters.Add(ctx, 0, o.givenUp[i]...)
		m.drops.Add(ctx, 0, o.givenUp[i]...)
	}
	return o
}

func (m *metrics) givenUp(topic, reason string) []metric.AddOption {
	o := m.of(topic)
	for i, known := range givenUpReasons {
		if reason == known {
			return o.givenUp[i]
		}
	}
	return o.events // counted all the same
}

func (m *metrics) status(code int) []metric.RecordOption {
	if code < lowestStatus || code > highestStatus {
		return m.otherStatus
	}
	if found := m.statuses[code].Load(); found != nil {
		return *found
	}
	attributes := []attribute.KeyValue{m.group, semconv.HTTPResponseStatusCode(code)}
	if code < http.StatusOK || code >= http.StatusMultipleChoices {
		attributes = append(attributes, semconv.ErrorTypeKey.String(strconv.Itoa(code)))
	}
	options := recording(attributes...)
	m.statuses[code].Store(&options)
	return options
}

func adding(attributes ...attribute.KeyValue) []metric.AddOption {
	return []metric.AddOption{metric.WithAttributeSet(attribute.NewSet(attributes...))}
}

func recording(attributes ...attribute.KeyValue) []metric.RecordOption {
	return []metric.RecordOption{metric.WithAttributeSet(attribute.NewSet(attributes...))}
}

func okIndex(ok bool) int {
	if ok {
		return 1
	}
	return 0
}
