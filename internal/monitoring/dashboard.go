package monitoring

import (
	"encoding/json"
	"regexp"
	"slices"
	"testing"
)

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

// CheckDashboard checks a row of the dashboard: that it names what exists, and shows all of it. variables are those that the row's
// queries depend on.
func CheckDashboard(t *testing.T, all Exported, row string, variables ...string) {
	t.Helper()
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
	if err := json.Unmarshal(readFile(t, manifests, "dashboard.json"), &dashboard); err != nil {
		t.Fatal(err)
	}
	if dashboard.UID == "" || dashboard.Title == "" {
		t.Errorf("got uid %q and title %q, want both", dashboard.UID, dashboard.Title)
	}
	values := regexp.MustCompile(`^label_values\((.+), *([a-z_]+)\)$`)
	for _, variable := range dashboard.Templating.List {
		if variable.Type != "query" || !slices.Contains(variables, variable.Name) {
			continue
		}
		parts := values.FindStringSubmatch(variable.Definition)
		if parts == nil {
			t.Errorf("variable %s: not understood: %s", variable.Name, variable.Definition)
			continue
		}
		if _, err := all.Check(parts[1]); err != nil || !all.Labels[parts[2]] {
			t.Errorf("variable %s: label %s, %v", variable.Name, parts[2], err)
		}
	}

	ids, shown, current := map[int]bool{}, map[string]bool{}, ""
	for _, p := range dashboard.Panels {
		if p.Type == "row" {
			current = p.Title
		}
		if !slices.Contains(rows, current) {
			t.Errorf("nothing checks the metrics of row %q, panel %q", current, p.Title)
		}
		if current != row {
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
				q, err := all.Check(target.Expr)
				if err != nil {
					t.Errorf("panel %q: %v", p.Title, err)
				}
				for _, name := range q.Metrics {
					shown[name] = true
				}
			}
		}
	}
	for family := range all.Families {
		if !shown[family] && !shown[family+"_bucket"] && !shown[family+"_count"] {
			t.Errorf("no panel shows %s", family)
		}
	}
}
