package main

import (
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/eventing-eventmesh/eventing-eventmesh/pkg/adapter"
	"github.com/eventing-eventmesh/eventing-eventmesh/pkg/adapter/sink"
	"github.com/eventing-eventmesh/eventing-eventmesh/pkg/adapter/source"
	"github.com/eventing-eventmesh/eventing-eventmesh/pkg/broker/dispatcher"
	"github.com/eventing-eventmesh/eventing-eventmesh/pkg/broker/ingress"
)

const root = "../.."

// testVariables are those of test/contract.
var testVariables = []string{"EVENTMESH_GRPC_URL", "EVENTMESH_TCP_URL", "EVENTMESH_HTTP_URL", "EVENTMESH_STORAGE"}

var (
	variablePattern = regexp.MustCompile(`\b(?:EVENTMESH|K|OIDC|TLS|BROKER|STATUS)_[A-Z0-9_]*[A-Z0-9]\b`)
	targetPattern   = regexp.MustCompile("(?m)(?:^|`)make ([a-z0-9-]+)")
	linkPattern     = regexp.MustCompile(`\]\(([^)\s]+)\)`)
	yamlPattern     = regexp.MustCompile("(?ms)^```yaml\n(.*?)^```")
	shellPattern    = regexp.MustCompile("(?ms)^```sh\n(.*?)^```")
	testPattern     = regexp.MustCompile(`\[(Test[A-Za-z, \n]+)\]\(([^)\s]+_test\.go)\)`)
	settingPattern  = regexp.MustCompile(`\bname: ([A-Z][A-Z0-9_]*)`)
	filePattern     = regexp.MustCompile(`\b[a-z][a-z0-9_]*\.go\b`)
)

func TestVariablesAreKnown(t *testing.T) {
	t.Parallel()
	all := slices.Concat(adapter.Names(source.NewConfig()), adapter.Names(sink.NewConfig()), adapter.Names(ingress.NewConfig()), adapter.Names(dispatcher.NewConfig()), testVariables)
	for path, text := range documents(t) {
		for _, name := range variablePattern.FindAllString(text, -1) {
			if !slices.Contains(all, name) {
				t.Errorf("%s names %s, which no program knows", path, name)
			}
		}
	}
}

// Those in config/ and samples/ are checked by test/manifests.
func TestManifestsSetKnownVariables(t *testing.T) {
	t.Parallel()
	block := yamlPattern.FindStringSubmatch(documents(t)["docs/operations.md"])
	if block == nil {
		t.Fatal("docs/operations.md has no block of YAML")
	}
	settings := settingPattern.FindAllStringSubmatch(block[1], -1)
	if len(settings) == 0 {
		t.Error("the first YAML block of docs/operations.md sets no variable, want some of the sink")
	}
	for _, setting := range settings {
		if !slices.Contains(adapter.Names(sink.NewConfig()), setting[1]) {
			t.Errorf("the first YAML block of docs/operations.md sets %s, which the sink does not know", setting[1])
		}
	}
}

func TestMakeTargetsExist(t *testing.T) {
	t.Parallel()
	makefile := read(t, "Makefile")
	for path, text := range documents(t) {
		for _, target := range targetPattern.FindAllStringSubmatch(text, -1) {
			if !strings.Contains(makefile, "\n"+target[1]+":") {
				t.Errorf("%s names make %s, which the Makefile does not have", path, target[1])
			}
		}
	}
}

// The first block of commands in README.md is what .ci/run runs.
func TestFirstCommandsAreDemoAndTest(t *testing.T) {
	t.Parallel()
	block := shellPattern.FindStringSubmatch(documents(t)["README.md"])
	if block == nil {
		t.Fatal("README.md has no block of shell commands")
	}
	if got, want := block[1], "make demo\nmake test\n"; got != want {
		t.Errorf("first block of shell commands in README.md: got %q, want %q", got, want)
	}
}

func TestLinksLeadToFiles(t *testing.T) {
	t.Parallel()
	for path, text := range documents(t) {
		for _, link := range linkPattern.FindAllStringSubmatch(text, -1) {
			target, _, _ := strings.Cut(link[1], "#")
			if target == "" || strings.Contains(target, "://") {
				continue
			}
			if _, err := os.Stat(filepath.Join(root, filepath.Dir(path), target)); err != nil {
				t.Errorf("%s links to %s: %v", path, link[1], err)
			}
		}
	}
}

// A sentence of a guarantee names the test that shows it.
func TestNamedTestsExist(t *testing.T) {
	t.Parallel()
	named := 0
	for path, text := range documents(t) {
		for _, link := range testPattern.FindAllStringSubmatch(text, -1) {
			for name := range strings.SplitSeq(link[1], ",") {
				named++
				file := filepath.Join(filepath.Dir(path), link[2])
				if !strings.Contains(read(t, file), "\nfunc "+strings.TrimSpace(name)+"(t *testing.T) {") {
					t.Errorf("%s names the test %s, which %s does not have", path, name, file)
				}
			}
		}
	}
	if named < 20 {
		t.Errorf("got %d tests named in the documents, want the guarantees to name theirs", named)
	}
}

// TestNamedFilesExist looks at what the documentation of packages says of where things are.
func TestNamedFilesExist(t *testing.T) {
	t.Parallel()
	named := 0
	for _, pattern := range []string{"pkg/*/doc.go", "pkg/*/*/doc.go", "pkg/*/internal/*/doc.go", "test/*/doc.go", "internal/*/doc.go"} {
		paths, err := filepath.Glob(filepath.Join(root, pattern))
		if err != nil {
			t.Fatal(err)
		}
		for _, path := range paths {
			text, err := os.ReadFile(path)
			if err != nil {
				t.Fatal(err)
			}
			for _, file := range filePattern.FindAllString(string(text), -1) {
				named++
				if _, err := os.Stat(filepath.Join(filepath.Dir(path), file)); err != nil {
					t.Errorf("%s names a file that is not there: %v", path, err)
				}
			}
		}
	}
	if named < 20 {
		t.Errorf("got %d files named in the documentation of packages, want a map of each", named)
	}
}

func TestConfigurationIsCurrent(t *testing.T) {
	t.Parallel()
	if read(t, "docs/configuration.md") != document() {
		t.Error("docs/configuration.md is not what the programs say of themselves: run make generate")
	}
}

// documents returns the texts for people, by path.
func documents(t *testing.T) map[string]string {
	t.Helper()
	texts := map[string]string{}
	for _, pattern := range []string{"*.md", "docs/*.md", "config/*.md", "config/*/*.md", "samples/*.md", "samples/*/*.md"} {
		paths, err := filepath.Glob(filepath.Join(root, pattern))
		if err != nil || len(paths) == 0 {
			t.Fatalf("%s: got %v and %v, want documents", pattern, paths, err)
		}
		for _, path := range paths {
			name, err := filepath.Rel(root, path)
			if err != nil {
				t.Fatal(err)
			}
			texts[name] = read(t, name)
		}
	}
	return texts
}

func read(t *testing.T, path string) string {
	t.Helper()
	text, err := os.ReadFile(filepath.Join(root, path))
	if err != nil {
		t.Fatal(err)
	}
	return string(text)
}
