//go:build e2e

package e2e

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
)

const (
	released = "e2e-release"
	version  = "v0.1.0" // that of the documents
)

// releases finds where a file of a release is in the documents, and downloads where one is downloaded by itself. The test has it in a folder,
// since kubectl and Helm need not be able to reach the same addresses.
var (
	releases  = regexp.MustCompile(`https://github\.com/eventing-eventmesh/eventing-eventmesh/releases/(?:latest/download|download/` + version + `)/`)
	downloads = regexp.MustCompile(`curl -fsSL ` + releases.String())
)

// overlayPattern finds a file that a document tells to write.
var overlayPattern = regexp.MustCompile("(?ms)^```yaml\n# ([a-z/]+\\.yaml)\n(.*?)^```")

// inLists finds blocks that belong to items of a list.
var inLists = regexp.MustCompile("(?ms)^   ```.*?^   ```$")

// TestRelease installs a release, changes it, and removes it, as the documents say: from exactly the files that a release has.
func TestRelease(t *testing.T) {
	uninstallBrokers(t)
	namespace(t, released)
	namespace(t, "e2e-monitoring")
	forget(t, "e2e-orders-team")
	prometheusOperator(t)
	files := release(t)
	folder := t.TempDir()
	environment := inNamespace(t, released)
	helm := strings.TrimSpace(run(t, nil, "go tool -modfile=tools/helm/go.mod -n helm"))
	environment[0] = "PATH=" + filepath.Dir(helm) + string(os.PathListSeparator) + strings.TrimPrefix(environment[0], "PATH=")
	environment = append(environment, "HELM_NAMESPACE="+released, "HELM_CACHE_HOME="+folder, "HELM_CONFIG_HOME="+folder, "HELM_DATA_HOME="+folder)
	play := func(document string) {
		t.Helper()
		text := inLists.ReplaceAllStringFunc(read(t, filepath.Join(root, "docs", document)), func(block string) string {
			return strings.TrimPrefix(strings.ReplaceAll(block, "\n   ", "\n"), "   ")
		})
		for _, overlay := range overlayPattern.FindAllStringSubmatch(text, -1) {
			path := filepath.Join(folder, overlay[1])
			if err := os.MkdirAll(filepath.Dir(path), 0o700); err != nil {
				t.Fatal(err)
			}
			if err := os.WriteFile(path, []byte(overlay[2]), 0o600); err != nil {
				t.Fatal(err)
			}
		}
		// The namespaces of the documents may be those of somebody.
		text = strings.NewReplacer("orders-team", "e2e-orders-team", "-n monitoring", "-n e2e-monitoring", "eventmesh.default.", "eventmesh."+released+".").Replace(text)
		text = downloads.ReplaceAllString(text, "cat "+files+"/")
		followIn(t, folder, releases.ReplaceAllString(text, files+"/"), environment)
	}

	play("install.md")
	awaitReady(t, released, source, 3) // by Helm, kustomize and kubectl
	before := podOf(t, "orders-source")
	play("upgrade.md")
	eventually(t, func() string {
		if now := podOf(t, "orders-source"); now == "" || now == before {
			return "the pod has not been replaced after its settings: " + now
		}
		return ""
	})
	play("uninstall.md")
	eventually(t, func() string { return left(t) })
}

// prometheusOperator makes the kinds of the Prometheus Operator known, if they are not, for the time of the test: what they mean is tested
// elsewhere.
func prometheusOperator(t *testing.T) {
	t.Helper()
	if out := run(t, nil, "kubectl api-resources --api-group=monitoring.coreos.com --output=name"); strings.TrimSpace(out) != "" {
		return
	}
	run(t, nil, "kubectl apply -f test/e2e/prometheus-operator.yaml")
	t.Cleanup(func() {
		_ = exec.Command("kubectl", "delete", "-f", filepath.Join(root, "test/e2e/prometheus-operator.yaml")).Run()
	})
	run(t, nil, "kubectl wait --for=condition=Established crd/podmonitors.monitoring.coreos.com crd/prometheusrules.monitoring.coreos.com --timeout=1m")
}

// release makes one of HEAD, and returns the folder.
func release(t *testing.T) string {
	t.Helper()
	clone := filepath.Join(t.TempDir(), "clone")
	section := "\n## [" + strings.TrimPrefix(version, "v") + "] - 2000-01-01\n\nOnly for a test.\n"
	for _, command := range []string{
		"git clone --quiet . " + clone,
		"printf '%s' '" + section + "' >>" + clone + "/CHANGELOG.md",
		"git -C " + clone + " -c user.name=e2e -c user.email=e2e@example.com commit --quiet --all --message=Release",
		"git -C " + clone + " tag --force " + version,
		"go -C " + clone + "/tools/cluster build -o ../../bin/release ./release",
		"ko=$(command -v ko) && cd " + clone + " && bin/release -version " + version + " -ko \"$ko\"",
	} {
		run(t, nil, command)
	}
	return filepath.Join(clone, "release")
}

// podOf returns the pod of an instance, and "" unless there is one.
func podOf(t *testing.T, instance string) string {
	t.Helper()
	list, err := cluster.CoreV1().Pods(released).List(t.Context(), metav1.ListOptions{LabelSelector: "app.kubernetes.io/instance=" + instance})
	if err != nil {
		t.Fatal(err)
	}
	if len(list.Items) != 1 {
		return ""
	}
	return list.Items[0].Name
}

// left says what has not been removed, by the last command of the document, but for the settings that kustomize leaves.
func left(t *testing.T) string {
	t.Helper()
	document := read(t, filepath.Join(root, "docs", "uninstall.md"))
	lines := strings.Split(strings.TrimSpace(document), "\n")
	command := lines[len(lines)-2]
	if !strings.HasPrefix(command, "kubectl get ") {
		t.Fatalf("docs/uninstall.md ends in %q, want a look at what is left", command)
	}
	out := run(t, nil, fmt.Sprintf("%s --namespace=%s --output=name", command, released))
	if remains := slices.DeleteFunc(strings.Fields(out), func(name string) bool { return strings.HasPrefix(name, "configmap/") }); len(remains) > 0 {
		return strings.Join(remains, ", ")
	}
	return ""
}

// followIn is follow in another folder than that of the repository.
func followIn(t *testing.T, folder, text string, environment []string) {
	t.Helper()
	script := regexp.MustCompile("(?ms)^```sh\n(.*?)^```").ReplaceAllStringFunc(text, func(block string) string {
		lines := strings.Split(block, "\n")
		for i := 1; i < len(lines)-1; i++ {
			if lines[i] != "" {
				lines[i] = "cd '" + folder + "' && " + lines[i]
			}
		}
		return strings.Join(lines, "\n")
	})
	follow(t, script, environment)
}
