package manifests_test

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"sigs.k8s.io/yaml"
)

// TestProgramsAreBuiltAlike keeps what is measured, and what make build makes, from being another program than that of the images.
func TestProgramsAreBuiltAlike(t *testing.T) {
	var ko struct {
		Flags []string `json:"defaultFlags"`
	}
	if err := yaml.Unmarshal(content(t, ".ko.yaml"), &ko); err != nil {
		t.Fatal(err)
	}
	if want := "\nBUILD_FLAGS = " + strings.Join(ko.Flags, " ") + "\n"; !strings.Contains(string(content(t, "Makefile")), want) {
		t.Errorf("Makefile lacks %q", want)
	}
	if want := `"` + strings.Join(ko.Flags, `", "`) + `"`; !strings.Contains(string(content(t, "test/bench/adapters.go")), want) {
		t.Errorf("the bench does not build with %s", want)
	}
}

func content(t *testing.T, path string) []byte {
	t.Helper()
	b, err := os.ReadFile(filepath.Join(root, path))
	if err != nil {
		t.Fatal(err)
	}
	return b
}
