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
			switch name {
			case "sink-binding":
				volumes(t, 1)
			case "broker":
				uninstallBrokers(t)
			}
			forget(t, name)
			follow(t, read(t, path), nil)
		})
	}
}

// TestFirstEvent plays what a newcomer reads, but for the making of a cluster.
func TestFirstEvent(t *testing.T) {
	namespace(t, "e2e-first-event")
	follow(t, section(t, read(t, filepath.Join(root, "README.md")), "### A first event"), inNamespace(t, "e2e-first-event"))
}

// The commands work one after the other in a namespace that is kubectl's default.
func TestManifestsReadme(t *testing.T) {
	volumes(t, 1)
	namespace(t, "e2e-manifests")
	environment := inNamespace(t, "e2e-manifests")
	follow(t, read(t, filepath.Join(root, "config", "README.md")), environment)
	awaitReady(t, "e2e-manifests", "eventmesh-sink", 2)
	run(t, environment, "kubectl wait --for=condition=Ready containersource/eventmesh-source --timeout=3m")
	run(t, environment, "kubectl rollout status statefulset/eventmesh-source --timeout=3m")
}

func read(t *testing.T, path string) string {
	t.Helper()
	text, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	return string(text)
}

// section returns what is below a heading of a text.
func section(t *testing.T, text, heading string) string {
	t.Helper()
	_, below, found := strings.Cut(text, "\n"+heading+"\n")
	if !found {
		t.Fatalf("there is no %q", heading)
	}
	below, _, _ = strings.Cut(below, "\n#")
	return below
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
func follow(t *testing.T, text string, environment []string) {
	t.Helper()
	last := ""
	for _, block := range blockPattern.FindAllStringSubmatch(text, -1) {
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
