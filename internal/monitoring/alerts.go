package monitoring

import (
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"sigs.k8s.io/yaml"
)

// groups are those of the alerts, and rows those of the dashboard, that somebody's tests check.
var (
	groups = []string{"eventmesh-source", "eventmesh-sink"}
	rows   = []string{"Source", "Sink"}

	// namePattern finds names in texts for people.
	namePattern     = regexp.MustCompile(`\b(?:eventmesh_source|eventmesh_sink|messaging_client|kn_eventing|http_server)_[a-z_]*[a-z]\b`)
	templatePattern = regexp.MustCompile(`\$labels\.([a-zA-Z0-9_]+)`)
)

// CheckAlerts checks a group of alerts: that they name what exists, and that docs/operations.md names them.
func CheckAlerts(t *testing.T, all Exported, group string) {
	t.Helper()
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
	if err := yaml.UnmarshalStrict(readFile(t, manifests, "prometheus-rule.yaml"), &manifest); err != nil {
		t.Fatal(err)
	}
	if manifest.APIVersion != "monitoring.coreos.com/v1" || manifest.Kind != "PrometheusRule" {
		t.Errorf("got %s %s, want a PrometheusRule", manifest.APIVersion, manifest.Kind)
	}
	operations := string(readFile(t, "docs/operations.md"))
	alerts := map[string]bool{}
	for _, g := range manifest.Spec.Groups {
		if !slices.Contains(groups, g.Name) {
			t.Errorf("nothing checks the metrics of group %s", g.Name)
		}
		if g.Name != group {
			continue
		}
		for _, rule := range g.Rules {
			if rule.Alert == "" || alerts[rule.Alert] {
				t.Errorf("alert %q has no name of its own", rule.Alert)
			}
			alerts[rule.Alert] = true
			q, err := all.Check(rule.Expr)
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
					if !all.Labels[label[1]] || q.Kept != nil && !slices.Contains(q.Kept, label[1]) {
						t.Errorf("%s: its result has no label %s", rule.Alert, label[1])
					}
				}
				for _, metric := range namePattern.FindAllString(templatePattern.ReplaceAllString(text, ""), -1) {
					if !all.Samples[metric] {
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
		t.Errorf("group %s has no alerts", group)
	}
}
