package source

import (
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/otlptranslator"
	otelprom "go.opentelemetry.io/otel/exporters/prometheus"
	sdk "go.opentelemetry.io/otel/sdk/metric"
	"sigs.k8s.io/yaml"
)

// exported is what Prometheus gets to see of the source.
type exported struct {
	// families are the names of the metrics, samples those that a query can name, labels those of any of them.
	families, samples, labels map[string]bool
}

// export makes a metric of each kind, and exports it as Knative's framework does.
func export(t *testing.T) exported {
	t.Helper()
	registry := prometheus.NewRegistry()
	exporter, err := otelprom.New(otelprom.WithRegisterer(registry),
		otelprom.WithTranslationStrategy(otlptranslator.UnderscoreEscapingWithSuffixes), otelprom.WithoutTargetInfo())
	if err != nil {
		t.Fatal(err)
	}
	m, err := newMetrics(sdk.NewMeterProvider(sdk.WithReader(exporter)), "billing", func() state { return state{} })
	if err != nil {
		t.Fatal(err)
	}
	m.requested(503, time.Second)
	m.committed(1, time.Second, nil)
	m.committed(1, time.Second, errors.New("no space left on device"))
	families, err := registry.Gather()
	if err != nil {
		t.Fatal(err)
	}
	all := exported{families: map[string]bool{}, samples: map[string]bool{}, labels: map[string]bool{}}
	for _, label := range []string{"namespace", "pod", "le"} { // of the scrape, and of histograms
		all.labels[label] = true
	}
	for _, family := range families {
		name := family.GetName()
		all.families[name] = true
		for _, one := range family.GetMetric() {
			for _, label := range one.GetLabel() {
				all.labels[label.GetName()] = true
			}
			if one.GetHistogram() == nil {
				all.samples[name] = true
				continue
			}
			for _, suffix := range []string{"_bucket", "_sum", "_count"} {
				all.samples[name+suffix] = true
			}
		}
	}
	return all
}

func TestExportedNames(t *testing.T) {
	t.Parallel()
	got := slices.Sorted(maps.Keys(export(t).families))
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

// promQuery is what a PromQL expression names.
type promQuery struct {
	metrics, labels []string
	// kept are the labels that by leaves in the result; nil where there is no by.
	kept []string
}

var (
	promWord    = regexp.MustCompile(`^[a-zA-Z_:][a-zA-Z0-9_:]*`)
	promNumber  = regexp.MustCompile(`^[0-9][0-9a-zA-Z_.]*`)
	promString  = regexp.MustCompile("^(?:\"(?:[^\"\\\\]|\\\\.)*\"|'(?:[^'\\\\]|\\\\.)*'|`[^`]*`)")
	promMatcher = regexp.MustCompile(`^\s*([a-zA-Z_][a-zA-Z0-9_]*)\s*(?:=~|!~|!=|=)\s*`)
	promRange   = regexp.MustCompile(`^\[[$0-9a-z_: ]+\]`)
	promList    = regexp.MustCompile(`^\s*\(([a-zA-Z0-9_, ]*)\)`)
	promCall    = regexp.MustCompile(`^\s*(?:(?:by|without)\s*)?\(`)

	promOperators = []string{"and", "or", "unless", "bool", "offset"}
	promLists     = []string{"by", "without", "on", "ignoring", "group_left", "group_right"}
	promFunctions = []string{"sum", "min", "max", "avg", "count", "rate", "increase", "histogram_quantile", "absent", "time"}
)

// parseQuery finds the names in a PromQL expression. It knows as much of the language as is used here, and fails on the rest.
func parseQuery(expression string) (promQuery, error) {
	var q promQuery
	open := 0
	for rest := strings.TrimSpace(expression); rest != ""; rest = strings.TrimSpace(rest) {
		if word := promWord.FindString(rest); word != "" {
			rest = rest[len(word):]
			switch {
			case slices.Contains(promOperators, word):
			case slices.Contains(promLists, word):
				list := promList.FindStringSubmatch(rest)
				if list == nil {
					return promQuery{}, fmt.Errorf("no labels after %s", word)
				}
				rest = rest[len(list[0]):]
				labels := strings.FieldsFunc(list[1], func(r rune) bool { return r == ',' || r == ' ' })
				q.labels = append(q.labels, labels...)
				if word == "by" {
					q.kept = append(q.kept, labels...)
				}
			case promCall.MatchString(rest):
				if !slices.Contains(promFunctions, word) {
					return promQuery{}, fmt.Errorf("unknown function %s", word)
				}
			default:
				q.metrics = append(q.metrics, word)
			}
			continue
		}
		if token := promNumber.FindString(rest); token != "" {
			rest = rest[len(token):]
			continue
		}
		if token := promRange.FindString(rest); token != "" {
			rest = rest[len(token):]
			continue
		}
		switch rest[0] {
		case '{':
			labels, left, err := parseMatchers(rest[1:])
			if err != nil {
				return promQuery{}, err
			}
			q.labels, rest = append(q.labels, labels...), left
			continue
		case '(':
			open++
		case ')':
			open--
		case '+', '-', '*', '/', '>', '<', '=', '!', ',':
		default:
			return promQuery{}, fmt.Errorf("not understood: %s", rest)
		}
		if open < 0 {
			break
		}
		rest = rest[1:]
	}
	switch {
	case open != 0:
		return promQuery{}, errors.New("parentheses do not match")
	case len(q.metrics) == 0:
		return promQuery{}, errors.New("no metric")
	}
	return q, nil
}

func parseMatchers(text string) (labels []string, rest string, err error) {
	for {
		matcher := promMatcher.FindStringSubmatch(text)
		if matcher == nil {
			return nil, "", fmt.Errorf("no matcher: %s", text)
		}
		labels, text = append(labels, matcher[1]), text[len(matcher[0]):]
		value := promString.FindString(text)
		if value == "" {
			return nil, "", fmt.Errorf("no value: %s", text)
		}
		text = strings.TrimSpace(text[len(value):])
		if left, more := strings.CutPrefix(text, ","); more {
			text = left
			continue
		}
		if left, ended := strings.CutPrefix(text, "}"); ended {
			return labels, left, nil
		}
		return nil, "", fmt.Errorf("no end of matchers: %s", text)
	}
}

// check tells what a PromQL expression names that does not exist.
func (e exported) check(expression string) (promQuery, error) {
	q, err := parseQuery(expression)
	if err != nil {
		return q, err
	}
	var errs []error
	for _, name := range q.metrics {
		if !e.samples[name] {
			errs = append(errs, fmt.Errorf("no metric %s", name))
		}
	}
	for _, name := range q.labels {
		if !e.labels[name] {
			errs = append(errs, fmt.Errorf("no label %s", name))
		}
	}
	return q, errors.Join(errs...)
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
		_, err := all.check(test.expression)
		if test.want == "" && err != nil || test.want != "" && !strings.Contains(fmt.Sprint(err), test.want) {
			t.Errorf("%s: got %v, want %q", test.expression, err, test.want)
		}
	}
}

const monitoringDir = "../../../config/monitoring"

func readFile(t *testing.T, path ...string) []byte {
	t.Helper()
	text, err := os.ReadFile(filepath.Join(path...))
	if err != nil {
		t.Fatal(err)
	}
	return text
}

var (
	// namePattern finds names in texts for people.
	namePattern     = regexp.MustCompile(`\b(?:eventmesh_source|messaging_client|kn_eventing)_[a-z_]*[a-z]\b`)
	templatePattern = regexp.MustCompile(`\$labels\.([a-zA-Z0-9_]+)`)
)

func TestAlertRules(t *testing.T) {
	t.Parallel()
	var manifest struct {
		APIVersion string         `json:"apiVersion"`
		Kind       string         `json:"kind"`
		Metadata   map[string]any `json:"metadata"`
		Spec       struct {
			Groups []struct {
				Name  string `json:"name"`
				Rules []struct {
					Alert       string            `json:"alert"`
					Expr        string            `json:"expr"`
					For         string            `json:"for"`
					Labels      map[string]string `json:"labels"`
					Annotations map[string]string `json:"annotations"`
				} `json:"rules"`
			} `json:"groups"`
		} `json:"spec"`
	}
	if err := yaml.UnmarshalStrict(readFile(t, monitoringDir, "prometheus-rule.yaml"), &manifest); err != nil {
		t.Fatal(err)
	}
	if manifest.APIVersion != "monitoring.coreos.com/v1" || manifest.Kind != "PrometheusRule" {
		t.Errorf("got %s %s, want a PrometheusRule", manifest.APIVersion, manifest.Kind)
	}
	all, operations := export(t), string(readFile(t, "../../../docs/operations.md"))
	alerts := map[string]bool{}
	for _, group := range manifest.Spec.Groups {
		if group.Name != "eventmesh-source" {
			t.Errorf("nothing checks the metrics of group %s", group.Name)
			continue
		}
		for _, rule := range group.Rules {
			if rule.Alert == "" || alerts[rule.Alert] {
				t.Errorf("alert %q has no name of its own", rule.Alert)
			}
			alerts[rule.Alert] = true
			q, err := all.check(rule.Expr)
			if err != nil {
				t.Errorf("%s: %v", rule.Alert, err)
			}
			if _, err := time.ParseDuration(rule.For); rule.For != "" && err != nil {
				t.Errorf("%s: %v", rule.Alert, err)
			}
			if severity := rule.Labels["severity"]; severity != "warning" && severity != "critical" {
				t.Errorf("%s has severity %q", rule.Alert, severity)
			}
			for _, name := range []string{"summary", "description"} {
				text := rule.Annotations[name]
				if text == "" {
					t.Errorf("%s has no %s", rule.Alert, name)
				}
				for _, label := range templatePattern.FindAllStringSubmatch(text, -1) {
					if !all.labels[label[1]] || q.kept != nil && !slices.Contains(q.kept, label[1]) {
						t.Errorf("%s: its result has no label %s", rule.Alert, label[1])
					}
				}
				for _, metric := range namePattern.FindAllString(templatePattern.ReplaceAllString(text, ""), -1) {
					if !all.samples[metric] {
						t.Errorf("%s: no metric %s", rule.Alert, metric)
					}
				}
			}
			if !strings.Contains(operations, "`"+rule.Alert+"`") {
				t.Errorf("docs/operations.md does not name %s", rule.Alert)
			}
		}
	}
	if len(alerts) == 0 {
		t.Error("there are no alerts")
	}
}

// dashboardPanel is one of a dashboard. Those of a row follow it, or are inside it where it is collapsed.
type dashboardPanel struct {
	ID      int              `json:"id"`
	Type    string           `json:"type"`
	Title   string           `json:"title"`
	Panels  []dashboardPanel `json:"panels"`
	Targets []struct {
		Expr string `json:"expr"`
	} `json:"targets"`
}

func TestDashboard(t *testing.T) {
	t.Parallel()
	var dashboard struct {
		UID        string           `json:"uid"`
		Title      string           `json:"title"`
		Panels     []dashboardPanel `json:"panels"`
		Templating struct {
			List []struct {
				Name       string `json:"name"`
				Type       string `json:"type"`
				Definition string `json:"definition"`
			} `json:"list"`
		} `json:"templating"`
	}
	if err := json.Unmarshal(readFile(t, monitoringDir, "dashboard.json"), &dashboard); err != nil {
		t.Fatal(err)
	}
	if dashboard.UID == "" || dashboard.Title == "" {
		t.Errorf("got uid %q and title %q, want both", dashboard.UID, dashboard.Title)
	}
	all := export(t)
	values := regexp.MustCompile(`^label_values\((.+), *([a-z_]+)\)$`)
	for _, variable := range dashboard.Templating.List {
		if variable.Type != "query" {
			continue
		}
		parts := values.FindStringSubmatch(variable.Definition)
		if parts == nil {
			t.Errorf("variable %s: not understood: %s", variable.Name, variable.Definition)
			continue
		}
		if _, err := all.check(parts[1]); err != nil || !all.labels[parts[2]] {
			t.Errorf("variable %s: label %s, %v", variable.Name, parts[2], err)
		}
	}

	ids, shown, row := map[int]bool{}, map[string]bool{}, ""
	for _, p := range dashboard.Panels {
		if p.Type == "row" {
			row = p.Title
		}
		if row != "Source" {
			t.Errorf("nothing checks the metrics of row %q, panel %q", row, p.Title)
			continue
		}
		for _, p := range append([]dashboardPanel{p}, p.Panels...) {
			if ids[p.ID] || p.ID == 0 || p.Title == "" {
				t.Errorf("panel %q has no id of its own, or no title", p.Title)
			}
			ids[p.ID] = true
			if p.Type != "row" && len(p.Targets) == 0 {
				t.Errorf("panel %q shows nothing", p.Title)
			}
			for _, target := range p.Targets {
				q, err := all.check(target.Expr)
				if err != nil {
					t.Errorf("panel %q: %v", p.Title, err)
				}
				for _, name := range q.metrics {
					shown[name] = true
				}
			}
		}
	}
	for family := range all.families {
		if !shown[family] && !shown[family+"_bucket"] && !shown[family+"_count"] {
			t.Errorf("no panel shows %s", family)
		}
	}
}

func TestMonitoringManifestsParse(t *testing.T) {
	t.Parallel()
	paths, err := filepath.Glob(filepath.Join(monitoringDir, "*.yaml"))
	if err != nil || len(paths) == 0 {
		t.Fatalf("got %v and %v, want manifests", paths, err)
	}
	for _, path := range paths {
		var manifest map[string]any
		if err := yaml.UnmarshalStrict(readFile(t, path), &manifest); err != nil {
			t.Errorf("%s: %v", path, err)
		}
		if manifest["apiVersion"] == nil || manifest["kind"] == nil {
			t.Errorf("%s has no apiVersion or no kind", path)
		}
	}
}

func TestMetricsAreDocumented(t *testing.T) {
	t.Parallel()
	_, section, found := strings.Cut(string(readFile(t, "../../../docs/operations.md")), "\n### Metrics of the source\n")
	if !found {
		t.Fatal("docs/operations.md has no section on the metrics of the source")
	}
	if end := regexp.MustCompile(`(?m)^##`).FindStringIndex(section); end != nil {
		section = section[:end[0]]
	}
	all, documented := export(t), map[string]bool{}
	for _, row := range regexp.MustCompile("(?m)^\\| `([a-z]+(?:_[a-z]+)+)` \\|").FindAllStringSubmatch(section, -1) {
		if documented[row[1]] {
			t.Errorf("%s is documented twice", row[1])
		}
		documented[row[1]] = true
	}
	for family := range all.families {
		if !documented[family] {
			t.Errorf("%s is not documented", family)
		}
	}
	for name := range documented {
		if !all.families[name] {
			t.Errorf("%s is documented, and does not exist", name)
		}
	}
	for _, name := range namePattern.FindAllString(section, -1) {
		if !all.families[name] && !all.samples[name] && !all.labels[name] {
			t.Errorf("the section names %s, which does not exist", name)
		}
	}
}
