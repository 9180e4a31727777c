package monitoring

import (
	"context"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/prometheus/common/model"
	"github.com/prometheus/prometheus/model/histogram"
	"github.com/prometheus/prometheus/model/labels"
	"github.com/prometheus/prometheus/model/rulefmt"
	"github.com/prometheus/prometheus/promql"
	"github.com/prometheus/prometheus/promql/parser"
	"github.com/prometheus/prometheus/storage"
	"github.com/prometheus/prometheus/tsdb/chunkenc"
	"github.com/prometheus/prometheus/tsdb/chunks"
	"github.com/prometheus/prometheus/util/annotations"
)

const (
	// minutes are how many an alert is looked at.
	minutes = 30
	// never is when an alert fires that does not.
	never = -1
)

// alertTest is what Prometheus has seen, each minute, in the way of promtool, and when an alert fires for the first time.
type alertTest struct {
	first int
	seen  string
}

const (
	sinkAnswers    = `http_server_request_duration_seconds_count{server_address="eventmesh-sink", http_response_status_code=`
	ingressAnswers = `http_server_request_duration_seconds_count{server_address="eventmesh-broker-ingress", http_response_status_code=`
	unauthorized   = `messaging_client_sent_messages_total{error_type="unauthorized", messaging_operation_name="publish"`
	trigger        = `{kn_trigger_namespace="shop", kn_trigger_name="orders"}`
	otherTrigger   = `{kn_trigger_namespace="shop", kn_trigger_name="payments"}`
	spooled        = `eventmesh_source_buffer_events{namespace="shop", pod="eventmesh-source-1", messaging_consumer_group_name="g"}`
	writable       = `eventmesh_source_spool_writable{namespace="shop", pod="eventmesh-source-1", messaging_consumer_group_name="g"}`
	inNamespace    = `{namespace="knative-eventing", pod="a"}`
)

// alertTests show of each alert when it fires, and when it does not.
var alertTests = map[string][]alertTest{
	"EventMeshSourceNotConnected":    {{2, `eventmesh_source_connected 0x30`}, {never, `eventmesh_source_connected 0 0 1 0 0 1x25`}},
	"EventMeshSourceSinkUnavailable": {{5, `eventmesh_source_sink_available 0x30`}, {never, `eventmesh_source_sink_available 0x4 1x26`}},
	"EventMeshSourceBufferNearlyFull": {
		{5, "eventmesh_source_buffer_events 81x30\neventmesh_source_buffer_limit_events 100x30"},
		{5, "eventmesh_source_buffer_bytes 81x30\neventmesh_source_buffer_limit_bytes 100x30"},
		{never, "eventmesh_source_buffer_events 79x30\neventmesh_source_buffer_limit_events 100x30"},
	},
	"EventMeshSourceOldestEventTooOld": {{21, `eventmesh_source_buffer_oldest_age_seconds 0+60x30`}, {never, `eventmesh_source_buffer_oldest_age_seconds 899x30`}},
	"EventMeshSourceEventsDeadLettered": {
		{3, `eventmesh_source_dead_lettered_total 0 0 0 1x27`}, {never, `eventmesh_source_dead_lettered_total 7x30`},
	},
	"EventMeshSourceEventsDropped":       {{3, `eventmesh_source_dropped_total 0 0 0 1x27`}, {never, `eventmesh_source_dropped_total 7x30`}},
	"EventMeshSourceMessagesUndecodable": {{3, `eventmesh_source_undecodable_total 0 0 0 1x27`}, {never, `eventmesh_source_undecodable_total 7x30`}},
	"EventMeshSourceSpoolNotWritable":    {{1, `eventmesh_source_spool_writable 0x30`}, {never, `eventmesh_source_spool_writable 0 1x29`}},
	"EventMeshSourceSpoolUnreadable":     {{2, `eventmesh_source_spool_unreadable 0 0 1x28`}, {never, `eventmesh_source_spool_unreadable 0x30`}},

	"EventMeshSourceEventsStranded": {
		{24, spooled + ` 3x4` + "\n" + writable + ` 1x4`},
		{never, spooled + ` 3 2 1 0 0` + "\n" + writable + ` 1x4`},
		{never, spooled + ` 3x30` + "\n" + writable + ` 1x30`},
		{never, spooled + ` 3x4` + "\n" + `eventmesh_source_spool_writable{namespace="shop", pod="other"} 1x30`},
		{never, spooled + ` 3x4`}, // in memory
	},

	"EventMeshSinkNotConnected":   {{2, `eventmesh_sink_connected 0x30`}, {never, `eventmesh_sink_connected 0 0 1x28`}},
	"EventMeshSinkEventsHeldBack": {{2, `eventmesh_sink_circuit_open 1x30`}, {never, `eventmesh_sink_circuit_open 1 1 0x28`}},
	"EventMeshSinkCredentialsRefused": {
		{3, unauthorized + `} 0 0 0 1x27`}, {never, unauthorized + `} 7x30`}, {never, unauthorized + `, server_address="grpc://mesh"} 0 0 0 1x27`},
	},
	"EventMeshSinkEventsNotTaken": {
		{6, sinkAnswers + `"202"} 0+80x30` + "\n" + sinkAnswers + `"503"} 0+20x30`},
		{never, sinkAnswers + `"202"} 0+95x30` + "\n" + sinkAnswers + `"503"} 0+5x30`},
		{never, sinkAnswers + `"202"} 0+80x30` + "\n" + ingressAnswers + `"503"} 0+20x30`},
	},
	"EventMeshSinkEventsRefused": {{3, sinkAnswers + `"400"} 0 0 0 1x27`}, {never, sinkAnswers + `"404"} 0 0 0 1x27`}, {never, ingressAnswers + `"400"} 0 0 0 1x27`}},

	"EventMeshBrokerIngressNotConnected": {
		{2, `eventmesh_broker_ingress_connected 0x30`}, {never, `eventmesh_broker_ingress_connected 0 0 1x28`},
		{2, "eventmesh_broker_ingress_connected{server_address=\"grpc://a\"} 1x30\neventmesh_broker_ingress_connected{server_address=\"grpc://b\"} 0x30"},
	},
	"EventMeshBrokerEventsHeldBack": {{2, `eventmesh_broker_ingress_circuit_open 1x30`}, {never, `eventmesh_broker_ingress_circuit_open 1 1 0x28`}},
	"EventMeshBrokerCredentialsRefused": {
		{3, unauthorized + `, server_address="grpc://mesh"} 0 0 0 1x27`}, {never, unauthorized + `, server_address="grpc://mesh"} 7x30`}, {never, unauthorized + `} 0 0 0 1x27`},
	},
	"EventMeshBrokerEventsNotTaken": {
		{6, ingressAnswers + `"202"} 0+80x30` + "\n" + ingressAnswers + `"429"} 0+20x30`},
		{never, ingressAnswers + `"202"} 0+95x30` + "\n" + ingressAnswers + `"503"} 0+5x30`},
		{never, ingressAnswers + `"202"} 0+80x30` + "\n" + sinkAnswers + `"503"} 0+20x30`},
	},
	"EventMeshBrokerEventsRefused": {{3, ingressAnswers + `"403"} 0 0 0 1x27`}, {never, ingressAnswers + `"404"} 0 0 0 1x27`}, {never, sinkAnswers + `"400"} 0 0 0 1x27`}},
	"EventMeshBrokerIngressAbsent": {
		{5, `eventmesh_broker_dispatcher_spool_writable` + inNamespace + ` 1x30`},
		{never, `eventmesh_broker_dispatcher_spool_writable` + inNamespace + ` 1x30` + "\n" + `eventmesh_broker_ingress_limit_in_flight{namespace="knative-eventing", pod="b"} 1000x30`},
		{never, `eventmesh_source_connected 1x30`},
	},
	"EventMeshBrokerDispatcherNotConnected": {{2, `eventmesh_broker_dispatcher_connected 0x30`}, {never, `eventmesh_broker_dispatcher_connected 0 0 1x28`}},
	"EventMeshBrokerSubscriberUnavailable": {
		{5, `eventmesh_broker_dispatcher_sink_available` + trigger + " 0x30\n" + `eventmesh_broker_dispatcher_destination_events` + trigger + ` 1x30`},
		{never, `eventmesh_broker_dispatcher_sink_available` + trigger + " 0x30\n" + `eventmesh_broker_dispatcher_destination_events` + trigger + ` 0x30`},
		{never, `eventmesh_broker_dispatcher_sink_available` + trigger + " 0x30\n" + `eventmesh_broker_dispatcher_destination_events` + otherTrigger + ` 1x30`},
		{never, `eventmesh_broker_dispatcher_sink_available` + trigger + " 0x4 1x26\n" + `eventmesh_broker_dispatcher_destination_events` + trigger + ` 1x30`},
	},
	"EventMeshBrokerTriggerNearlyFull": {
		{5, `eventmesh_broker_dispatcher_destination_filled_ratio 0.81x30`}, {never, `eventmesh_broker_dispatcher_destination_filled_ratio 0.79x30`},
	},
	"EventMeshBrokerTriggerFull": {
		{1, `eventmesh_broker_dispatcher_destination_filled_ratio 1x30`}, {never, `eventmesh_broker_dispatcher_destination_filled_ratio 0.99x30`},
	},
	"EventMeshBrokerOldestEventTooOld": {
		{21, `eventmesh_broker_dispatcher_destination_oldest_age_seconds` + trigger + ` 0+60x30`}, {never, `eventmesh_broker_dispatcher_destination_oldest_age_seconds 899x30`},
	},
	"EventMeshBrokerEventsDeadLettered": {
		{3, `eventmesh_broker_dispatcher_dead_lettered_total` + trigger + ` 0 0 0 1x27`}, {never, `eventmesh_broker_dispatcher_dead_lettered_total 7x30`},
	},
	"EventMeshBrokerEventsDropped": {
		{3, `eventmesh_broker_dispatcher_dropped_total` + trigger + ` 0 0 0 1x27`}, {never, `eventmesh_broker_dispatcher_dropped_total 7x30`},
	},
	"EventMeshBrokerSpoolNotWritable": {{1, `eventmesh_broker_dispatcher_spool_writable 0x30`}, {never, `eventmesh_broker_dispatcher_spool_writable 0 1x29`}},
	"EventMeshBrokerSpoolUnreadable":  {{2, `eventmesh_broker_dispatcher_spool_unreadable 0 0 1x28`}, {never, `eventmesh_broker_dispatcher_spool_unreadable 0x30`}},
	"EventMeshBrokerDispatcherAbsent": {
		{12, `eventmesh_broker_ingress_limit_in_flight` + inNamespace + " 1000x30\n" + `eventmesh_broker_dispatcher_spool_writable` + inNamespace + ` 1 1 1`},
		{never, `eventmesh_broker_ingress_limit_in_flight` + inNamespace + " 1000x30\n" + `eventmesh_broker_dispatcher_spool_writable{namespace="knative-eventing", pod="b"} 0x30`},
		{never, `eventmesh_sink_connected 1x30`},
	},
}

// TestAlertsFire lets Prometheus' engine evaluate each alert, every minute.
func TestAlertsFire(t *testing.T) {
	t.Parallel()
	p := parser.NewParser(parser.Options{})
	engine := promql.NewEngine(promql.EngineOpts{Parser: p, MaxSamples: 1e6, Timeout: time.Minute, LookbackDelta: 5 * time.Minute})
	t.Cleanup(func() { _ = engine.Close() })
	tested := 0
	for _, group := range alertRules(t) {
		for _, rule := range group.Rules {
			tests := alertTests[rule.Alert]
			fires, silent := false, false
			for _, test := range tests {
				if got := firstFired(t, engine, rule, read(t, p, test.seen)); got != test.first {
					t.Errorf("%s: got it first in minute %d, want %d, of\n%s", rule.Alert, got, test.first, test.seen)
				}
				fires, silent = fires || test.first != never, silent || test.first == never
			}
			if !fires || !silent {
				t.Errorf("%s: want a test in which it fires, and one in which it does not", rule.Alert)
			}
			tested++
		}
	}
	if tested != len(alertTests) {
		t.Errorf("got tests of %d alerts, want of %d", len(alertTests), tested)
	}
}

// firstFired returns the first minute in which an alert fires, for whatever labels.
func firstFired(t *testing.T, engine *promql.Engine, rule rulefmt.Rule, seen database) int {
	t.Helper()
	active := map[string]int{} // since which minute
	for minute := range minutes {
		q, err := engine.NewInstantQuery(t.Context(), seen, nil, rule.Expr, time.Unix(0, 0).Add(time.Duration(minute)*time.Minute))
		if err != nil {
			t.Fatal(err)
		}
		result, err := q.Exec(t.Context()).Vector()
		if err != nil {
			t.Fatalf("%s: %v", rule.Alert, err)
		}
		still := map[string]int{}
		for _, one := range result {
			key := one.Metric.String()
			since, was := active[key]
			if !was {
				since = minute
			}
			if model.Duration(time.Duration(minute-since)*time.Minute) >= rule.For {
				return minute
			}
			still[key] = since
		}
		q.Close()
		active = still
	}
	return never
}

// database has what Prometheus has seen. It implements [storage.Queryable] and [storage.Querier].
type database []storage.Series

// read reads series, one a line, of which each has a value a minute.
func read(t *testing.T, p parser.Parser, seen string) (d database) {
	t.Helper()
	for line := range strings.Lines(seen) {
		of, values, err := p.ParseSeriesDesc(strings.TrimSpace(line))
		if err != nil {
			t.Fatalf("%s: %v", line, err)
		}
		var samples []chunks.Sample
		for i, v := range values {
			samples = append(samples, sample{at: (time.Duration(i) * time.Minute).Milliseconds(), value: v.Value})
		}
		d = append(d, storage.NewListSeries(of, samples))
	}
	return d
}

func (d database) Querier(int64, int64) (storage.Querier, error) { return d, nil }

func (d database) Select(_ context.Context, _ bool, _ *storage.SelectHints, matchers ...*labels.Matcher) storage.SeriesSet {
	selected := &selection{}
	for _, s := range d {
		matches := true
		for _, m := range matchers {
			matches = matches && m.Matches(s.Labels().Get(m.Name))
		}
		if matches {
			selected.database = append(selected.database, s)
		}
	}
	return selected
}

func (database) LabelValues(context.Context, string, *storage.LabelHints, ...*labels.Matcher) ([]string, annotations.Annotations, error) {
	return nil, nil, fmt.Errorf("no query asks for them")
}

func (database) LabelNames(context.Context, *storage.LabelHints, ...*labels.Matcher) ([]string, annotations.Annotations, error) {
	return nil, nil, fmt.Errorf("no query asks for them")
}

func (database) Close() error { return nil }

// selection is read from its first series to its last.
type selection struct {
	database
	next int
}

func (s *selection) Next() bool {
	s.next++
	return s.next <= len(s.database)
}

func (s *selection) At() storage.Series { return s.database[s.next-1] }

func (*selection) Err() error { return nil }

func (*selection) Warnings() annotations.Annotations { return nil }

// sample is a value at a time, in milliseconds.
type sample struct {
	at    int64
	value float64
}

func (s sample) T() int64 { return s.at }

func (sample) ST() int64 { return 0 }

func (s sample) F() float64 { return s.value }

func (sample) H() *histogram.Histogram { return nil }

func (sample) FH() *histogram.FloatHistogram { return nil }

func (sample) Type() chunkenc.ValueType { return chunkenc.ValFloat }

func (s sample) Copy() chunks.Sample { return s }
