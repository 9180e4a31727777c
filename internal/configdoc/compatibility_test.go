package main

import (
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
)

// The versions in docs/compatibility.md are those that the programs are built with.
func TestVersionsAreThoseOfTheModules(t *testing.T) {
	t.Parallel()
	module, err := os.ReadFile(filepath.Join(root, "go.mod"))
	if err != nil {
		t.Fatal(err)
	}
	rows := map[string]string{}
	for line := range strings.Lines(documents(t)["docs/compatibility.md"]) {
		if cells := strings.Split(line, "|"); len(cells) > 3 {
			rows[strings.TrimSpace(cells[1])] = line
		}
	}
	for row, pattern := range map[string]string{
		"Knative Eventing": `knative\.dev/eventing (v\d+\.\d+)`,
		"Kubernetes":       `k8s\.io/client-go (v\d+\.\d+)`,
		"Go, to build":     `(?m)^go (\d+\.\d+)`,
	} {
		built := regexp.MustCompile(pattern).FindStringSubmatch(string(module))
		if built == nil {
			t.Fatalf("go.mod has nothing like %s", pattern)
		}
		if version := regexp.MustCompile(regexp.QuoteMeta(built[1]) + `\b`); !version.MatchString(rows[row]) {
			t.Errorf("docs/compatibility.md says of %s %q, want %s", row, rows[row], built[1])
		}
	}
}
