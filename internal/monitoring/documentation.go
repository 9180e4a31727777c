package monitoring

import (
	"regexp"
	"strings"
	"testing"
)

// CheckDocumentation checks the section of docs/operations.md on a program: that it has every metric, and no other.
func CheckDocumentation(t *testing.T, all Exported, program string) {
	t.Helper()
	_, section, found := strings.Cut(string(readFile(t, "docs/operations.md")), "\n### Metrics of the "+program+"\n")
	if !found {
		t.Fatalf("docs/operations.md has no section on the metrics of the %s", program)
	}
	if end := regexp.MustCompile(`(?m)^##`).FindStringIndex(section); end != nil {
		section = section[:end[0]]
	}
	documented := map[string]bool{}
	for _, row := range regexp.MustCompile("(?m)^\\| `([a-z]+(?:_[a-z]+)+)` \\|").FindAllStringSubmatch(section, -1) {
		if documented[row[1]] {
			t.Errorf("%s is documented twice", row[1])
		}
		documented[row[1]] = true
	}
	for family := range all.Families {
		if !documented[family] {
			t.Errorf("%s is not documented", family)
		}
	}
	for name := range documented {
		if !all.Families[name] {
			t.Errorf("%s is documented, and does not exist", name)
		}
	}
	for _, name := range namePattern.FindAllString(section, -1) {
		if !all.Families[name] && !all.Samples[name] && !all.Labels[name] {
			t.Errorf("the section names %s, which does not exist", name)
		}
	}
}
