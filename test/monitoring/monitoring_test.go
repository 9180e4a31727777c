// Package monitoring checks the queries of config/monitoring by Prometheus' own parser. It is a module of its own, so that what
// Prometheus needs is not among the modules of the programs.
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
	namePattern     = regexp.MustCompile(`\b(?:eventmesh_source|eventmesh_sink|messaging_client|kn_eventing|http_server)_[a-z_]*[a-z]\b`)
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

// TestAlerts checks that the alerts are rules of Prometheus, that they name what exists, and that docs/operations.md names them.
func TestAlerts(t *testing.T) {
	t.Parallel()
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
	operations := string(readFile(t, "docs/operations.md"))
	programs, alerts := names{}, names{}
	for _, group := range rules.Groups {
		program := strings.TrimPrefix(group.Name, "eventmesh-")
		programs[program] = true
		metrics := exported(t, program)
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
	if !maps.Equal(programs, named("source", "sink")) {
		t.Errorf("got alerts for %v, want for the source and the sink", programs)
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
		Expr string `json:"expr"`
	} `json:"targets"`
}

// TestDashboard checks that the dashboard names what exists, and shows all of it.
func TestDashboard(t *testing.T) {
	t.Parallel()
	var dashboard struct {
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
	if err := json.Unmarshal(readFile(t, "config/monitoring/dashboard.json"), &dashboard); err != nil {
		t.Fatal(err)
	}
	if dashboard.UID == "" || dashboard.Title == "" {
		t.Errorf("got uid %q and title %q, want both", dashboard.UID, dashboard.Title)
	}

	values := map[string]string{"__rate_interval": "5m", "__range": "1h"}
	definitions := map[string]string{}
	for _, variable := range dashboard.Templating.List {
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

	rows := map[string][]panel{}
	row := ""
	for _, p := range dashboard.Panels {
		if p.Type == "row" {
			row = p.Title
		}
		rows[row] = append(append(rows[row], p), p.Panels...)
	}
	if titles := slices.Sorted(maps.Keys(rows)); !slices.Equal(titles, []string{"Sink", "Source"}) {
		t.Fatalf("got rows %q, want one for the source, and one for the sink", titles)
	}
	ids := map[int]bool{}
	for row, panels := range rows {
		d := reader{exported(t, strings.ToLower(row)), values, names{}}
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
				q := d.ask(t, p.Title, target.Expr)
				maps.Copy(shown, q.families)
			}
		}
		for name, m := range d.metrics {
			if !shown[m.family] {
				t.Errorf("no panel of row %s shows %s", row, name)
			}
		}
		for variable := range d.used {
			if definition, found := definitions[variable]; found {
				d.define(t, variable, definition)
			}
		}
	}
}

var (
	variablePattern   = regexp.MustCompile(`\$(?:(\w+)|\{(\w+)\})`)
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

// define checks where the values of a variable come from.
func (r reader) define(t *testing.T, variable, definition string) {
	t.Helper()
	parts := definitionPattern.FindStringSubmatch(definition)
	if parts == nil {
		t.Errorf("variable %s: not understood: %s", variable, definition)
		return
	}
	if q := r.ask(t, variable, parts[1]); !q.result[parts[2]] {
		t.Errorf("variable %s: no label %s", variable, parts[2])
	}
}
