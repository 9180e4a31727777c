package monitoring

import (
	"regexp"
	"strings"
	"testing"
)

var (
	rowPattern = regexp.MustCompile("(?m)^\\| `([a-z]+(?:_[a-z]+)+)` \\| (counter|gauge|histogram) \\|")
	// namePattern finds names in texts for people.
	namePattern = regexp.MustCompile(`\b(?:eventmesh_source|eventmesh_sink|eventmesh_broker|messaging_client|kn_eventing|http_server)_[a-z_]*[a-z]\b`)
)

// checkDocumentation checks the section of docs/operations.md on a program: that it has every metric, and no other.
func checkDocumentation(t *testing.T, program string, exported map[string]family) {
	t.Helper()
	program = strings.Replace(program, "broker-", "Broker's ", 1)
	_, section, found := strings.Cut(string(readFile(t, "docs/operations.md")), "\n### Metrics of the "+program+"\n")
	if !found {
		t.Fatalf("docs/operations.md has no section on the metrics of the %s", program)
	}
	if end := regexp.MustCompile(`(?m)^##`).FindStringIndex(section); end != nil {
		section = section[:end[0]]
	}
	documented := map[string]bool{}
	for _, row := range rowPattern.FindAllStringSubmatch(section, -1) {
		name, kind := row[1], row[2]
		if documented[name] {
			t.Errorf("%s is documented twice", name)
		}
		documented[name] = true
		if f := exported[name]; f.kind != kind {
			t.Errorf("%s is documented as a %s, and exported as %q", name, kind, f.kind)
		}
	}
	for name := range exported {
		if !documented[name] {
			t.Errorf("%s is not documented", name)
		}
	}
	for _, name := range namePattern.FindAllString(section, -1) {
		if _, found := exported[name]; !found {
			t.Errorf("the section names %s, which does not exist", name)
		}
	}
}
