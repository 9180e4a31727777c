package source

import (
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
	"testing"
	"time"

	"go.opentelemetry.io/otel/metric"

	"github.com/eventing-eventmesh/eventing-eventmesh/internal/monitoring"
)

// export makes a metric of each kind, and exports it.
func export(t *testing.T) monitoring.Exported {
	t.Helper()
	return monitoring.Export(t, func(provider metric.MeterProvider) {
		m, err := newMetrics(provider, "billing", func() state { return state{} })
		if err != nil {
			t.Fatal(err)
		}
		m.requested(503, time.Second)
		m.committed(1, time.Second, nil)
		m.committed(1, time.Second, errors.New("no space left on device"))
	})
}

func TestExportedNames(t *testing.T) {
	t.Parallel()
	got := slices.Sorted(maps.Keys(export(t).Families))
	want := []string{
		"eventmesh_source_buffer_bytes",
		"eventmesh_source_buffer_events",
		"eventmesh_source_buffer_limit_bytes",
		"eventmesh_source_buffer_limit_events",
		"eventmesh_source_buffer_oldest_age_seconds",
		"eventmesh_source_connected",
		"eventmesh_source_dead_lettered_total",
		"eventmesh_source_delivered_total",
		"eventmesh_source_dropped_total",
		"eventmesh_source_in_flight",
		"eventmesh_source_redelivered_total",
		"eventmesh_source_sink_available",
		"eventmesh_source_spool_commit_duration_seconds",
		"eventmesh_source_spool_commit_events",
		"eventmesh_source_spool_unreadable",
		"eventmesh_source_spool_writable",
		"eventmesh_source_undecodable_total",
		"kn_eventing_dispatch_duration_seconds",
		"messaging_client_consumed_messages_total",
		"messaging_client_sent_messages_total",
	}
	if !slices.Equal(got, want) {
		t.Errorf("got  %v\nwant %v", got, want)
	}
}

func TestQueriesAreChecked(t *testing.T) {
	t.Parallel()
	all := export(t)
	for _, test := range []struct{ expression, want string }{
		{`eventmesh_source_connected == 0`, ""},
		{`eventmesh_source_buffer_events / eventmesh_source_buffer_limit_events > 0.8 or eventmesh_source_in_flight > bool 1e3`, ""},
		{`sum by (pod, namespace) (rate(eventmesh_source_dropped_total{pod=~"a|}b\"", namespace!='x'}[5m] offset 1h)) > 0`, ""},
		{`sum(rate(eventmesh_source_dropped_total[$__rate_interval])) by (pod)`, ""},
		{`histogram_quantile(0.9, sum by (le) (rate(kn_eventing_dispatch_duration_seconds_bucket[5m])))`, ""},
		{`eventmesh_source_connected * on (pod) group_left () eventmesh_source_in_flight`, ""},

		{`eventmesh_source_connectd == 0`, "no metric eventmesh_source_connectd"},
		{`eventmesh_source_connected == 0 or rate(eventmesh_source_lost_total[5m]) > 0`, "no metric eventmesh_source_lost_total"},
		{`kn_eventing_dispatch_duration_seconds`, "no metric kn_eventing_dispatch_duration_seconds"},
		{`eventmesh_source_dropped`, "no metric eventmesh_source_dropped"},
		{`sum by (topic) (eventmesh_source_connected)`, "no label topic"},
		{`eventmesh_source_connected{pod="a", group="b"}`, "no label group"},
		{`rte(eventmesh_source_dropped_total[5m])`, "unknown function rte"},
		{`sum(eventmesh_source_connected`, "parentheses do not match"},
		{`eventmesh_source_connected)`, "parentheses do not match"},
		{`eventmesh_source_connected{pod="a"`, "no end of matchers"},
		{`eventmesh_source_connected{pod}`, "no matcher"},
		{`eventmesh_source_connected{pod=a}`, "no value"},
		{`rate(eventmesh_source_dropped_total[5m)`, "not understood"},
		{`{__name__="eventmesh_source_connected"}`, "no metric"},
		{`vector(1)`, "unknown function vector"},
		{`1 + 1`, "no metric"},
		{``, "no metric"},
	} {
		_, err := all.Check(test.expression)
		if test.want == "" && err != nil || test.want != "" && !strings.Contains(fmt.Sprint(err), test.want) {
			t.Errorf("%s: got %v, want %q", test.expression, err, test.want)
		}
	}
}

func TestMonitoring(t *testing.T) {
	t.Parallel()
	all := export(t)
	monitoring.CheckAlerts(t, all, "eventmesh-source")
	monitoring.CheckDashboard(t, all, "Source", "namespace", "group")
	monitoring.CheckDocumentation(t, all, "source")
}
