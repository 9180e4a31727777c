//go:build e2e

package e2e

import (
	"math"
	"os"
	"path/filepath"
	"regexp"
	"strconv"
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

// TestManifestsReadme: the commands work one after the other in a namespace that is kubectl's default, and leave one source.
func TestManifestsReadme(t *testing.T) {
	const name = "e2e-manifests"
	volumes(t, 1)
	namespace(t, name)
	environment := inNamespace(t, name)
	follow(t, read(t, filepath.Join(root, "config", "README.md")), environment)
	awaitReady(t, name, sink, 2)
	run(t, environment, "kubectl rollout status statefulset/eventmesh-source --timeout=3m")
	awaitReady(t, name, source, 1)
	for _, limited := range []struct {
		program string
		limit   float64 // of the container, in bytes
	}{{sink, 384 << 20}, {source, 256 << 20}} {
		checkMemoryLimit(t, name, limited.program, limited.limit)
	}
}

var memoryLimit = regexp.MustCompile(`(?m)^go_gc_gomemlimit_bytes ([0-9.e+]+)$`)

// checkMemoryLimit checks that Go keeps within 90 % of what its container may have.
func checkMemoryLimit(t *testing.T, namespace, program string, limit float64) {
	t.Helper()
	for _, pod := range pods(t, namespace, program) {
		text, err := cluster.CoreV1().RESTClient().Get().Namespace(namespace).Resource("pods").Name(pod.Name + ":9092").SubResource("proxy").Suffix("metrics").DoRaw(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		match := memoryLimit.FindSubmatch(text)
		if match == nil {
			t.Fatalf("%s does not tell Go's limit:\n%s", pod.Name, text)
		}
		got, err := strconv.ParseFloat(string(match[1]), 64)
		if err != nil || math.Abs(got-0.9*limit) > 1 {
			t.Errorf("%s: Go has a limit of %f bytes, %v, want 90 %% of %f", pod.Name, got, err, limit)
		}
	}
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
	// Unlike a default, the flag is refused where objects say which namespace they are for.
	script := "#!/bin/sh\ncase \"$*\" in *eventmesh-broker.yaml) exec '" + kubectl + "' \"$@\" ;; esac\nexec '" + kubectl + "' --namespace=" + namespace + " \"$@\"\n"
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
