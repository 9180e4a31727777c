// Package monitoring checks the queries of config/monitoring by Prometheus' own parser, and its alerts by its engine. It is a module of its
// own, so that what Prometheus needs is not among the modules of the programs.
package monitoring

import (
	"bytes"
	"encoding/json"
	"log/slog"
	"maps"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/prometheus/common/model"
	"github.com/prometheus/prometheus/model/rulefmt"
	"github.com/prometheus/prometheus/promql/parser"
	"go.yaml.in/yaml/v3"
)

var (
	// namePattern finds names of metrics in texts for people.
	namePattern = regexp.MustCompile(`\b(?:eventmesh_source|eventmesh_sink|eventmesh_broker|messaging_client|kn_eventing|http_server)_[a-z_]*[a-z]\b`)
	// alertPattern finds the rows of documents about alerts.
	alertPattern    = regexp.MustCompile("(?m)^\\| `(EventMesh[A-Za-z]+)` \\|.*\\| (?:warning|critical) \\|$")
	templatePattern = regexp.MustCompile(`\$labels\.([a-zA-Z0-9_]+)`)
)

func readFile(t *testing.T, path string) []byte {
	t.Helper()
	text, err := os.ReadFile(filepath.Join("../..", path))
	if err != nil {
		t.Fatal(err)
	}
	return text
}

// programs are those that a group of alerts is about.
var programs = map[string][]string{
	"eventmesh-source": {"source"}, "eventmesh-sink": {"sink"}, "eventmesh-broker": {"broker-ingress", "broker-dispatcher"},
}

// alertRules returns the groups of alerts, which are rules of Prometheus.
func alertRules(t *testing.T) []rulefmt.RuleGroup {
	t.Helper()
	var manifest struct {
		APIVersion string    `yaml:"apiVersion"`
		Kind       string    `yaml:"kind"`
		Metadata   yaml.Node `yaml:"metadata"`
		Spec       yaml.Node `yaml:"spec"`
	}
	decoder := yaml.NewDecoder(bytes.NewReader(readFile(t, "config/monitoring/prometheus-rule.yaml")))
	decoder.KnownFields(true)
	if err := decoder.Decode(&manifest); err != nil {
		t.Fatal(err)
	}
	if manifest.APIVersion != "monitoring.coreos.com/v1" || manifest.Kind != "PrometheusRule" {
		t.Errorf("got %s %s, want a PrometheusRule", manifest.APIVersion, manifest.Kind)
	}
	spec, err := yaml.Marshal(&manifest.Spec)
	if err != nil {
		t.Fatal(err)
	}
	rules, errs := rulefmt.Parse(spec, false, model.LegacyValidation, parser.NewParser(parser.Options{}), slog.New(slog.DiscardHandler))
	if len(errs) != 0 {
		t.Fatal(errs)
	}
	return rules.Groups
}

// TestAlerts checks that the alerts name what exists, and that docs/operations.md names them, and no others.
func TestAlerts(t *testing.T) {
	t.Parallel()
	operations := string(readFile(t, "docs/operations.md"))
	groups, alerts := names{}, names{}
	for _, group := range alertRules(t) {
		groups[group.Name] = true
		metrics := exported(t, programs[group.Name]...)
		for _, rule := range group.Rules {
			if rule.Alert == "" || alerts[rule.Alert] {
				t.Errorf("alert %q has no name of its own", rule.Alert)
			}
			alerts[rule.Alert] = true
			if !strings.Contains(operations, "`"+rule.Alert+"`") {
				t.Errorf("docs/operations.md does not name %s", rule.Alert)
			}
			checkAlert(t, metrics, rule)
		}
	}
	if want := named(slices.Collect(maps.Keys(programs))...); !maps.Equal(groups, want) {
		t.Errorf("got groups %v, want %v", groups, want)
	}
	for _, row := range alertPattern.FindAllStringSubmatch(operations, -1) {
		if !alerts[row[1]] {
			t.Errorf("docs/operations.md names alert %s, which does not exist", row[1])
		}
	}
}

func checkAlert(t *testing.T, metrics map[string]metric, rule rulefmt.Rule) {
	t.Helper()
	q, err := ask(metrics, rule.Expr)
	if err != nil {
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
			if !q.result[label[1]] {
				t.Errorf("%s: its result has no label %s", rule.Alert, label[1])
			}
		}
		for _, name := range namePattern.FindAllString(templatePattern.ReplaceAllString(text, ""), -1) {
			if _, found := metrics[name]; !found {
				t.Errorf("%s: no metric %s", rule.Alert, name)
			}
		}
	}
}

// panel is one of the dashboard. Those of a row follow it, or are inside it where it is collapsed.
type panel struct {
	ID      int     `json:"id"`
	Type    string  `json:"type"`
	Title   string  `json:"title"`
	Panels  []panel `json:"panels"`
	Targets []struct {
		Expr   string `json:"expr"`
		Legend string `json:"legendFormat"`
	} `json:"targets"`
}

// dashboard is what Grafana shows.
type dashboard struct {
	UID        string  `json:"uid"`
	Title      string  `json:"title"`
	Panels     []panel `json:"panels"`
	Templating struct {
		List []struct {
			Name       string          `json:"name"`
			Type       string          `json:"type"`
			Definition string          `json:"definition"`
			Query      json.RawMessage `json:"query"`
			AllValue   string          `json:"allValue"`
		} `json:"list"`
	} `json:"templating"`
}

// TestDashboards checks that the dashboards name what exists, and show all of it: each row all of a program.
func TestDashboards(t *testing.T) {
	t.Parallel()
	uids := names{}
	for file, rows := range map[string]map[string]string{
		"dashboard.json":        {"Source": "source", "Sink": "sink"},
		"dashboard-broker.json": {"Ingress": "broker-ingress", "Dispatcher": "broker-dispatcher"},
	} {
		var d dashboard
		if err := json.Unmarshal(readFile(t, "config/monitoring/"+file), &d); err != nil {
			t.Fatal(err)
		}
		if d.UID == "" || uids[d.UID] || d.Title == "" {
			t.Errorf("%s: got uid %q and title %q, want both, and an uid of its own", file, d.UID, d.Title)
		}
		uids[d.UID] = true
		d.check(t, rows)
	}
}

// check checks the rows of a dashboard, each of which is about a program.
func (d *dashboard) check(t *testing.T, programs map[string]string) {
	t.Helper()
	values, definitions := d.variables(t)
	rows := map[string][]panel{}
	row := ""
	for _, p := range d.Panels {
		if p.Type == "row" {
			row = p.Title
		}
		rows[row] = append(append(rows[row], p), p.Panels...)
	}
	if got, want := slices.Sorted(maps.Keys(rows)), slices.Sorted(maps.Keys(programs)); !slices.Equal(got, want) {
		t.Fatalf("got rows %q, want %q", got, want)
	}
	ids := map[int]bool{}
	for row, panels := range rows {
		r := reader{exported(t, programs[row]), values, names{}}
		shown := names{}
		for _, p := range panels {
			if ids[p.ID] || p.ID == 0 || p.Title == "" {
				t.Errorf("panel %q has no id of its own, or no title", p.Title)
			}
			ids[p.ID] = true
			if p.Type != "row" && len(p.Targets) == 0 {
				t.Errorf("panel %q shows nothing", p.Title)
			}
			for _, target := range p.Targets {
				q := r.ask(t, p.Title, target.Expr)
				maps.Copy(shown, q.families)
				for _, label := range legendPattern.FindAllStringSubmatch(target.Legend, -1) {
					if !q.result[label[1]] {
						t.Errorf("panel %q: its result has no label %s", p.Title, label[1])
					}
				}
			}
		}
		for name, m := range r.metrics {
			if !shown[m.family] {
				t.Errorf("no panel of row %s shows %s", row, name)
			}
		}
		for variable := range r.used {
			if definition, found := definitions[variable]; found {
				r.define(t, variable, definition)
			}
		}
	}
}

// variables returns the values of the variables when all is shown, and where they come from.
func (d *dashboard) variables(t *testing.T) (values, definitions map[string]string) {
	t.Helper()
	values, definitions = map[string]string{"__rate_interval": "5m", "__range": "1h"}, map[string]string{}
	for _, variable := range d.Templating.List {
		if variable.Type != "query" {
			continue
		}
		var asked struct {
			Query string `json:"query"`
		}
		if err := json.Unmarshal(variable.Query, &asked); err != nil || asked.Query != variable.Definition {
			t.Errorf("variable %s: got %q and %v, want its definition %q", variable.Name, asked.Query, err, variable.Definition)
		}
		values[variable.Name], definitions[variable.Name] = variable.AllValue, variable.Definition
	}
	return values, definitions
}

var (
	variablePattern   = regexp.MustCompile(`\$(?:(\w+)|\{(\w+)\})`)
	legendPattern     = regexp.MustCompile(`\{\{(\w+)\}\}`)
	definitionPattern = regexp.MustCompile(`^label_values\((.+), *([a-z_]+)\)$`)
)

// reader reads the queries of a row of the dashboard as Grafana does.
type reader struct {
	metrics map[string]metric
	// values are those of variables, used the names of those that a query has.
	values map[string]string
	used   names
}

func (r reader) ask(t *testing.T, what, expression string) query {
	t.Helper()
	q, err := ask(r.metrics, variablePattern.ReplaceAllStringFunc(expression, func(variable string) string {
		name := strings.Trim(variable, "${}")
		value, found := r.values[name]
		if !found {
			t.Errorf("%s: no variable %s", what, name)
		}
		r.used[name] = true
		return value
	}))
	if err != nil {
		t.Errorf("%s: %v", what, err)
	}
	return q
}

// define checks where the values of a variable come from. It may be used for several programs, and offer those of all.
func (r reader) define(t *testing.T, variable, definition string) {
	t.Helper()
	parts := definitionPattern.FindStringSubmatch(definition)
	if parts == nil {
		t.Errorf("variable %s: not understood: %s", variable, definition)
		return
	}
	r.metrics = maps.Clone(r.metrics)
	for name, m := range r.metrics {
		m.others = nil
		r.metrics[name] = m
	}
	if q := r.ask(t, variable, parts[1]); !q.result[parts[2]] {
		t.Errorf("variable %s: no label %s", variable, parts[2])
	}
}
