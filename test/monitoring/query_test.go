package monitoring

import (
	"errors"
	"fmt"
	"maps"
	"os"
	"slices"
	"strings"
	"testing"

	"github.com/prometheus/prometheus/model/labels"
	"github.com/prometheus/prometheus/promql/parser"
)

// names are a set of labels.
type names map[string]bool

func named(list ...string) names {
	set := names{}
	for _, name := range list {
		set[name] = true
	}
	return set
}

// without returns the names that are not in a list.
func (n names) without(list ...string) names {
	rest := maps.Clone(n)
	for _, name := range list {
		delete(rest, name)
	}
	return rest
}

// metric is what the list of a program's metrics tells of one.
type metric struct {
	family, kind string
	labels       names
	others       []series // that have its name
}

// series has the labels by which one is told from others of its name, which are of other programs.
type series map[string]string

// identities are series of the programs, and of Knative's. Of each metric they have the labels that the metric has.
var identities = map[string]series{
	"source":            {"messaging_consumer_group_name": "billing", "messaging_operation_name": "reply", "messaging_system": "eventmesh"},
	"sink":              {"server_address": "eventmesh-sink", "messaging_operation_name": "publish", "messaging_system": "eventmesh"},
	"broker-ingress":    {"server_address": "eventmesh-broker-ingress", "messaging_operation_name": "publish", "messaging_system": "eventmesh"},
	"broker-dispatcher": {"messaging_system": "eventmesh"},
}

var (
	identifying   = named("messaging_consumer_group_name", "messaging_operation_name", "messaging_system", "server_address")
	ofKnative     = series{"messaging_system": "knative", "server_address": "broker-ingress.knative-eventing.svc.cluster.local"}
	alsoOfKnative = named("kn_eventing_dispatch_duration_seconds", "http_server_request_duration_seconds")
)

// exported reads the lists of what programs export, which their own tests compare with what they export. The metrics have the names that a
// query can select, and the labels of the scrape too.
func exported(t *testing.T, programs ...string) map[string]metric {
	t.Helper()
	metrics, others := map[string]metric{}, map[string][]series{}
	for program, identity := range identities {
		list := listed(t, program)
		if slices.Contains(programs, program) {
			maps.Copy(metrics, list)
			continue
		}
		for name, other := range list {
			others[name] = append(others[name], identity.of(other.labels))
		}
	}
	for name, m := range metrics {
		m.others = others[name]
		if alsoOfKnative[m.family] {
			m.others = append(slices.Clone(m.others), ofKnative.of(m.labels))
		}
		metrics[name] = m
	}
	return metrics
}

func (s series) of(labels names) series {
	s = maps.Clone(s)
	maps.DeleteFunc(s, func(name, _ string) bool { return !labels[name] })
	return s
}

// selectedBy tells whether a query may select the series.
func (s series) selectedBy(matchers []*labels.Matcher) bool {
	return !slices.ContainsFunc(matchers, func(m *labels.Matcher) bool { return identifying[m.Name] && !m.Matches(s[m.Name]) })
}

// listed reads the list of one program.
func listed(t *testing.T, program string) map[string]metric {
	t.Helper()
	list, err := os.ReadFile("testdata/" + program + ".txt")
	if err != nil {
		t.Fatal(err)
	}
	metrics := map[string]metric{}
	for line := range strings.Lines(string(list)) {
		fields := strings.Fields(line)
		m := metric{family: fields[0], kind: fields[1], labels: named(append(fields[2:], "namespace", "pod")...)}
		if m.kind != "histogram" {
			metrics[m.family] = m
			continue
		}
		m.kind = "counter"
		metrics[m.family+"_sum"], metrics[m.family+"_count"] = m, m
		m.labels = maps.Clone(m.labels)
		m.labels["le"] = true
		metrics[m.family+"_bucket"] = m
	}
	return metrics
}

// query is what a PromQL expression asks of the metrics of a program.
type query struct {
	metrics map[string]metric
	// families are those that the query shows, result the labels of what it returns.
	families, result names
	errs             []error
}

// ask parses an expression as Prometheus does, and fails for what it names that the program does not export.
func ask(metrics map[string]metric, expression string) (query, error) {
	q := query{metrics: metrics, families: names{}}
	e, err := parser.NewParser(parser.Options{}).ParseExpr(expression)
	if err != nil {
		return q, err
	}
	q.result = q.labels(e)
	if e.Type() != parser.ValueTypeVector {
		q.errorf("%s is no instant vector, but a %s", e, e.Type())
	}
	return q, errors.Join(q.errs...)
}

func (q *query) errorf(format string, a ...any) { q.errs = append(q.errs, fmt.Errorf(format, a...)) }

// want checks that labels exist.
func (q *query) want(exist names, labels ...string) {
	for _, label := range labels {
		if !exist[label] {
			q.errorf("no label %s", label)
		}
	}
}

// labels checks a part of a query, and returns the labels of its result.
func (q *query) labels(part parser.Node) names {
	switch e := part.(type) {
	case *parser.VectorSelector:
		m, found := q.metrics[e.Name]
		if !found {
			q.errorf("no metric %q", e.Name)
		}
		q.families[m.family] = true
		q.selects(m, e.LabelMatchers)
		return m.labels
	case *parser.AggregateExpr:
		return q.aggregated(e)
	case *parser.BinaryExpr:
		return q.matched(e)
	case *parser.Call:
		return q.called(e)
	}
	all := names{}
	for child := range parser.ChildrenIter(part) {
		maps.Copy(all, q.labels(child))
	}
	return all
}

// selects checks what a query asks of one metric.
func (q *query) selects(m metric, matchers []*labels.Matcher) {
	for _, matcher := range matchers {
		without := matcher.Type == labels.MatchEqual && matcher.Value == "" // as others are not
		if matcher.Name != "__name__" && !(without && slices.ContainsFunc(m.others, func(s series) bool { return s[matcher.Name] != "" })) {
			q.want(m.labels, matcher.Name)
		}
	}
	for _, other := range m.others {
		if other.selectedBy(matchers) {
			q.errorf("%s of another program is selected, too: %v", m.family, other)
		}
	}
}

// aggregated checks an aggregation, and returns the labels of its result.
func (q *query) aggregated(e *parser.AggregateExpr) names {
	all := q.labels(e.Expr)
	q.want(all, e.Grouping...)
	if e.Param != nil {
		q.labels(e.Param)
	}
	switch {
	case e.Op == parser.TOPK || e.Op == parser.BOTTOMK: // which choose among what there is
		return all
	case e.Without:
		return all.without(e.Grouping...)
	}
	return named(e.Grouping...)
}

// matched checks an operation, and returns the labels of its result.
func (q *query) matched(e *parser.BinaryExpr) names {
	m := e.VectorMatching
	left, right := q.labels(e.LHS), q.labels(e.RHS)
	switch {
	case m == nil: // a side is a scalar, without labels
		all := maps.Clone(left)
		maps.Copy(all, right)
		return all
	case e.Op == parser.LOR: // each side alone may be the result
		both := maps.Clone(left)
		maps.DeleteFunc(both, func(name string, _ bool) bool { return !right[name] })
		return both
	case m.On:
		q.want(left, m.MatchingLabels...)
		q.want(right, m.MatchingLabels...)
	case !maps.Equal(left.without(m.MatchingLabels...), right.without(m.MatchingLabels...)):
		q.errorf("%s matches nothing: its sides have the labels %v and %v", e, left, right)
	}
	switch {
	case m.Card == parser.CardOneToOne && m.On:
		return named(m.MatchingLabels...)
	case m.Card == parser.CardOneToOne:
		return left.without(m.MatchingLabels...)
	case m.Card == parser.CardOneToMany:
		left, right = right, left
	}
	q.want(right, m.Include...)
	all := named(m.Include...)
	maps.Copy(all, left)
	return all
}

// called checks a call, and returns the labels of its result.
func (q *query) called(e *parser.Call) names {
	all := names{}
	for _, argument := range e.Args {
		maps.Copy(all, q.labels(argument))
	}
	switch e.Func.Name {
	case "rate", "increase":
		if series, ok := e.Args[0].(*parser.MatrixSelector); ok {
			name := series.VectorSelector.(*parser.VectorSelector).Name
			if m, found := q.metrics[name]; found && m.kind != "counter" {
				q.errorf("%s of %s, which is a %s", e.Func.Name, name, m.kind)
			}
		}
	case "histogram_quantile":
		q.want(all, "le")
		return all.without("le")
	case "absent":
		return names{}
	}
	return all
}

func TestQueriesAreChecked(t *testing.T) {
	t.Parallel()
	metrics := exported(t, "source")
	for _, test := range []struct{ expression, want string }{
		{`eventmesh_source_connected == 0`, ""},
		{`eventmesh_source_buffer_events / eventmesh_source_buffer_limit_events > 0.8 or eventmesh_source_in_flight > bool 1e3`, ""},
		{`sum by (pod, namespace) (rate(eventmesh_source_dropped_total{pod=~"a|}b\"", namespace!='x'}[5m] offset 1h)) > 0`, ""},
		{`sum(rate(eventmesh_source_dropped_total[5m])) by (pod)`, ""},
		{`histogram_quantile(0.9, sum by (le) (rate(kn_eventing_dispatch_duration_seconds_bucket{messaging_consumer_group_name="a"}[5m])))`, ""},
		{`eventmesh_source_connected * on (pod) group_left () eventmesh_source_in_flight`, ""},
		{`count_over_time(eventmesh_source_connected[5m])`, ""},
		{`messaging_client_sent_messages_total{messaging_operation_name="reply", server_address=""}`, ""},
		{`max_over_time(sum(rate(eventmesh_source_dropped_total[5m]))[1h:]) > 0`, ""},
		{`sum without (pod) (eventmesh_source_connected) / ignoring (pod) eventmesh_source_in_flight`, ""},

		// Prometheus refuses them.
		{`rate(eventmesh_source_dropped_total)`, "expected type range vector"},
		{`eventmesh_source_connected b c`, "unexpected identifier"},
		{`eventmesh_source_connected > > 1`, "unexpected <op:>>"},
		{`histogram_quantile(rate(kn_eventing_dispatch_duration_seconds_bucket{messaging_consumer_group_name="a"}[5m]))`, "expected 2 argument(s)"},
		{`eventmesh_source_connected{pod="1"} {pod="2"}`, `unexpected "{"`},
		{`* eventmesh_source_connected`, "unexpected <op:*>"},
		{`rte(eventmesh_source_dropped_total[5m])`, "unknown function"},
		{`sum(eventmesh_source_connected`, "unclosed left parenthesis"},
		{`eventmesh_source_connected)`, "unexpected right parenthesis"},
		{`eventmesh_source_connected{pod=a}`, "expected string"},
		{`rate(eventmesh_source_dropped_total[$__rate_interval])`, "unexpected"},
		{``, "no expression found"},

		// Prometheus takes them, and they return nothing or cannot be shown.
		{`eventmesh_source_connectd == 0`, `no metric "eventmesh_source_connectd"`},
		{`eventmesh_source_connected == 0 or rate(eventmesh_source_lost_total[5m]) > 0`, `no metric "eventmesh_source_lost_total"`},
		{`kn_eventing_dispatch_duration_seconds`, `no metric "kn_eventing_dispatch_duration_seconds"`},
		{`eventmesh_source_dropped`, `no metric "eventmesh_source_dropped"`},
		{`{__name__="eventmesh_source_connected"}`, `no metric ""`},
		{`kn_eventing_dispatch_duration_seconds_count`, "of another program"},
		{`kn_eventing_dispatch_duration_seconds_count{messaging_consumer_group_name=~".*"}`, "of another program"},
		{`messaging_client_sent_messages_total{error_type="", server_address=""}`, "of another program"},
		{`eventmesh_source_connected{server_address=""}`, "no label server_address"},
		{`sum by (topic) (eventmesh_source_connected)`, "no label topic"},
		{`sum by (eventmesh_reason) (eventmesh_source_connected)`, "no label eventmesh_reason"},
		{`sum by (pod) (sum by (namespace) (eventmesh_source_connected))`, "no label pod"},
		{`eventmesh_source_connected{pod="a", group="b"}`, "no label group"},
		{`eventmesh_source_connected * on (topic) eventmesh_source_in_flight`, "no label topic"},
		{`eventmesh_source_connected * eventmesh_source_dropped_total`, "matches nothing"},
		{`histogram_quantile(0.9, sum by (pod) (rate(kn_eventing_dispatch_duration_seconds_bucket{messaging_consumer_group_name="a"}[5m])))`, "no label le"},
		{`rate(eventmesh_source_connected[5m])`, "which is a gauge"},
		{`eventmesh_source_connected[5m]`, "no instant vector"},
		{`1 + 1`, "no instant vector"},
	} {
		_, err := ask(metrics, test.expression)
		if test.want == "" && err != nil || test.want != "" && !strings.Contains(fmt.Sprint(err), test.want) {
			t.Errorf("%s: got %v, want %q", test.expression, err, test.want)
		}
	}
}

func TestLabelsOfResults(t *testing.T) {
	t.Parallel()
	metrics := exported(t, "source")
	for _, test := range []struct {
		expression string
		want       []string
	}{
		{`eventmesh_source_connected > 0`, []string{"messaging_consumer_group_name", "namespace", "pod"}},
		{`1 - eventmesh_source_connected`, []string{"messaging_consumer_group_name", "namespace", "pod"}},
		{`sum(eventmesh_source_connected)`, nil},
		{`sum without (pod) (eventmesh_source_connected)`, []string{"messaging_consumer_group_name", "namespace"}},
		{`sum by (pod) (eventmesh_source_connected) or sum by (pod, namespace) (eventmesh_source_in_flight)`, []string{"pod"}},
		{`eventmesh_source_connected * on (pod) eventmesh_source_in_flight`, []string{"pod"}},
		{`sum by (pod, namespace) (eventmesh_source_connected) * ignoring (namespace) sum by (pod) (eventmesh_source_in_flight)`, []string{"pod"}},
		{`sum by (pod) (eventmesh_source_connected) * on (pod) group_left (namespace) sum by (pod, namespace) (eventmesh_source_in_flight)`,
			[]string{"namespace", "pod"}},
		{`sum by (pod) (eventmesh_source_connected) * on (pod) group_right sum by (pod, namespace) (eventmesh_source_in_flight)`,
			[]string{"namespace", "pod"}},
		{`sum by (pod) (eventmesh_source_connected) and on () eventmesh_source_in_flight`, []string{"pod"}},
		{`topk(3, sum by (pod) (eventmesh_source_connected))`, []string{"pod"}},
		{`histogram_quantile(0.9, sum by (pod, le) (rate(kn_eventing_dispatch_duration_seconds_bucket{messaging_consumer_group_name="a"}[5m])))`, []string{"pod"}},
	} {
		q, err := ask(metrics, test.expression)
		if got := slices.Sorted(maps.Keys(q.result)); err != nil || !slices.Equal(got, test.want) {
			t.Errorf("%s: got %v and %v, want %v", test.expression, got, err, test.want)
		}
	}
}
