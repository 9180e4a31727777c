//go:build e2e

package e2e

import (
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
)

// blockPattern finds what a README tells to do, and to see.
var blockPattern = regexp.MustCompile("(?ms)^```(sh|text)\n(.*?)^```")

func TestSamples(t *testing.T) {
	t.Parallel()
	readmes, err := filepath.Glob(filepath.Join(root, "samples", "*", "README.md"))
	if err != nil || len(readmes) == 0 {
		t.Fatalf("got %v and %v, want READMEs", readmes, err)
	}
	for _, path := range readmes {
		name := filepath.Base(filepath.Dir(path))
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			if name == "sink-binding" {
				volumes(t, 1)
			}
			forget(t, name)
			follow(t, path, nil)
		})
	}
}

// The commands work one after the other in a namespace that is kubectl's default.
func TestManifestsReadme(t *testing.T) {
	namespace(t, "e2e-manifests")
	follow(t, filepath.Join(root, "config", "README.md"), inNamespace(t, "e2e-manifests"))
	awaitReady(t, "e2e-manifests", "eventmesh-sink", 2)
}

// inNamespace returns the environment of a shell whose kubectl works in the namespace.
func inNamespace(t *testing.T, namespace string) []string {
	t.Helper()
	kubectl := strings.TrimSpace(run(t, nil, "command -v kubectl"))
	folder := t.TempDir()
	script := "#!/bin/sh\nexec '" + kubectl + "' --namespace=" + namespace + " \"$@\"\n"
	if err := os.WriteFile(filepath.Join(folder, "kubectl"), []byte(script), 0o700); err != nil {
		t.Fatal(err)
	}
	return []string{"PATH=" + folder + string(os.PathListSeparator) + os.Getenv("PATH")}
}

// follow runs the commands of a README. Where it shows what is to be seen, the last command before that is repeated until it
// prints every line.
func follow(t *testing.T, path string, environment []string) {
	t.Helper()
	text, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	last := ""
	for _, block := range blockPattern.FindAllStringSubmatch(string(text), -1) {
		lines := strings.Split(strings.TrimSpace(block[2]), "\n")
		if block[1] == "sh" {
			for _, last = range lines {
				t.Log(last)
				run(t, environment, last)
			}
			continue
		}
		eventually(t, func() string {
			output, err := attempt(t, environment, last)
			if err != nil {
				return err.Error()
			}
			for _, line := range lines {
				if !strings.Contains(output, strings.TrimSpace(line)) {
					return "want " + line + ", got:\n" + output
				}
			}
			return ""
		})
	}
}
