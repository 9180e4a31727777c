package chart

import (
	"bytes"
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"reflect"
	"regexp"
	"slices"
	"strings"
	"sync"
	"testing"

	"sigs.k8s.io/kustomize/kyaml/kio"
)

const (
	root    = "../../.."
	version = "v0.1.0"
)

// helm builds the tool, and returns its path.
var helm = sync.OnceValues(func() (string, error) {
	find := exec.Command("go", "tool", "-modfile=tools/helm/go.mod", "-n", "helm")
	find.Dir = root
	var said strings.Builder
	find.Stderr = &said
	path, err := find.Output()
	if err != nil {
		return "", fmt.Errorf("building helm: %w\n%s", err, said.String())
	}
	return strings.TrimSpace(string(path)), nil
})

func runHelm(t *testing.T, arguments ...string) (string, error) {
	t.Helper()
	path, err := helm()
	if err != nil {
		t.Fatal(err)
	}
	command := exec.CommandContext(t.Context(), path, arguments...)
	var said bytes.Buffer
	command.Stderr = &said
	out, err := command.Output()
	if err != nil {
		err = fmt.Errorf("%w: %s%s", err, out, said.String())
	}
	return string(out), err
}

// write makes the chart's folder.
func write(t *testing.T, c *Chart) string {
	t.Helper()
	files, err := c.Files(root, version, strings.NewReplacer())
	if err != nil {
		t.Fatal(err)
	}
	dir := filepath.Join(t.TempDir(), c.Name)
	for name, text := range files {
		path := filepath.Join(dir, name)
		if err := os.MkdirAll(filepath.Dir(path), 0o700); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	return dir
}

// TestChartsAreTheManifests: with each combination of its switches a chart makes what kustomize does.
func TestChartsAreTheManifests(t *testing.T) {
	for _, c := range All {
		t.Run(c.Name, func(t *testing.T) {
			dir := write(t, &c)
			if out, err := runHelm(t, "lint", "--strict", dir); err != nil {
				t.Errorf("lint: %v\n%s", err, out)
			}
			for on := range 1 << len(c.switches) {
				arguments := []string{"template", c.Name, dir}
				for i, s := range c.switches {
					if on&(1<<i) == 0 {
						continue
					}
					value := "true"
					if s.named != "" {
						value = s.named
					}
					arguments = append(arguments, "--set", s.value+"="+value)
				}
				rendered, err := runHelm(t, arguments...)
				if err != nil {
					t.Fatal(err)
				}
				plain := c
				plain.renamed = false
				objects, err := plain.build(root, on)
				if err != nil {
					t.Fatal(err)
				}
				want := map[string]any{}
				for _, o := range objects {
					want[unhashed.ReplaceAllString(o.id, "$1")] = o.fields
				}
				compare(t, fmt.Sprint(arguments[2:]), parse(t, rendered), normal(t, want))
			}
		})
	}
}

// unhashed finds the hashes of the settings' names, which charts do without.
var unhashed = regexp.MustCompile(`\b(eventmesh-(?:source|sink))-[0-9a-z]{10}\b`)

// normal returns objects as they are when they have been read from text, without hashes in names.
func normal(t *testing.T, objects map[string]any) map[string]any {
	t.Helper()
	text, err := json.Marshal(objects)
	if err != nil {
		t.Fatal(err)
	}
	var out map[string]any
	if err := json.Unmarshal(unhashed.ReplaceAll(text, []byte("$1")), &out); err != nil {
		t.Fatal(err)
	}
	return out
}

// parse returns the objects that Helm has rendered, without what charts have besides: the version, and the checksum of the settings.
func parse(t *testing.T, text string) map[string]any {
	t.Helper()
	nodes, err := kio.FromBytes([]byte(text))
	if err != nil {
		t.Fatalf("%v\n%s", err, text)
	}
	objects := map[string]any{}
	for _, node := range nodes {
		fields, err := node.Map()
		if err != nil {
			t.Fatal(err)
		}
		labels := (&object{fields: fields}).part("metadata", "labels")
		if labels["app.kubernetes.io/version"] != version {
			t.Errorf("%s has version %v", node.GetName(), labels)
		}
		delete(labels, "app.kubernetes.io/version")
		o := object{fields: fields}
		annotations := o.part("spec", "template", "metadata", "annotations")
		if delete(annotations, "checksum/settings"); len(annotations) == 0 {
			delete(o.part("spec", "template", "metadata"), "annotations")
		}
		objects[node.GetKind()+" "+node.GetName()] = fields
	}
	return normal(t, objects)
}

func compare(t *testing.T, what string, got, want map[string]any) {
	t.Helper()
	for id := range want {
		if !reflect.DeepEqual(got[id], want[id]) {
			t.Errorf("%s: %s\n got %s\nwant %s", what, id, asJSON(t, got[id]), asJSON(t, want[id]))
		}
		delete(got, id)
	}
	for id := range got {
		t.Errorf("%s: got %s, which kustomize does not make", what, id)
	}
}

func asJSON(t *testing.T, v any) string {
	t.Helper()
	text, err := json.Marshal(v)
	if err != nil {
		t.Fatal(err)
	}
	return string(text)
}

// TestValues: values get to where they belong, and a name that there is not is refused.
func TestValues(t *testing.T) {
	for _, test := range []struct {
		chart     string
		arguments []string
		want      []string // in what is rendered
		refused   string
	}{
		{
			chart: "eventmesh-source", arguments: []string{"--set", "url=grpc://mesh:10205", "--set", "topics=a\\,b", "--set-string", "group=0123", "--set", "settings.EVENTMESH_ORDERING=key"},
			want: []string{`EVENTMESH_URL: "grpc://mesh:10205"`, `EVENTMESH_TOPICS: "a,b"`, `EVENTMESH_GROUP: "0123"`, `EVENTMESH_ORDERING: "key"`, `name: "orders"`, `app.kubernetes.io/instance: "orders"`},
		},
		{
			chart: "eventmesh-source", arguments: []string{"--set", "spool.enabled=true", "--set", "spool.replicas=3", "--set", "spool.size=5Gi", "--set", "sink.ref.name=other"},
			want: []string{"replicas: 3", `storage: "5Gi"`, "name: other", `serviceName: "orders"`},
		},
		{
			chart: "eventmesh-source", arguments: []string{"--namespace", "shop", "--set", "spool.enabled=true", "--set", "podEvents.enabled=true", "--set", "drain.claim=spool-orders-3", "--set", "drain.sink=http://there"},
			want: []string{`name: "orders-events"`, "namespace: shop", `claimName: "spool-orders-3"`, `value: "http://there"`, `name: "orders-drain"`},
		},
		{
			chart: "eventmesh-sink", arguments: []string{"--set", "resources.limits.memory=1Gi", "--set", "autoscaling.maxReplicas=20", "--set-string", "credentials.secret=0815", "--set", "tls.secret=cert", "--set", "image=mirror/sink"},
			want: []string{"memory: 1Gi", "maxReplicas: 20", `secretName: "0815"`, `secretName: "cert"`, `image: "mirror/sink"`, "port: 443"},
		},
		{
			chart: "eventmesh-broker", arguments: []string{"--set", "url=grpc://mesh:10205", "--set", "dispatcher.replicas=2", "--set", "oidc.enabled=true"},
			want: []string{`eventmesh.url: "grpc://mesh:10205"`, "replicas: 2", "serviceaccounts/token"},
		},
		{chart: "eventmesh-sink", arguments: []string{"--set", "topic=orders"}, refused: "topic"},
		{chart: "eventmesh-sink", arguments: []string{"--set", "autoscaling.minReplicas=two"}, refused: "minReplicas"},
	} {
		i := slices.IndexFunc(All, func(c Chart) bool { return c.Name == test.chart })
		rendered, err := runHelm(t, append([]string{"template", "orders", write(t, &All[i])}, test.arguments...)...)
		if test.refused != "" {
			if err == nil || !strings.Contains(err.Error(), test.refused) {
				t.Errorf("%s %v: got %v, want an error about %s", test.chart, test.arguments, err, test.refused)
			}
			continue
		}
		if err != nil {
			t.Errorf("%s %v: %v", test.chart, test.arguments, err)
			continue
		}
		for _, want := range test.want {
			if !strings.Contains(rendered, want) {
				t.Errorf("%s %v: there is no %q in\n%s", test.chart, test.arguments, want, rendered)
			}
		}
	}
}

// TestSettingsReplacePods: a change of the settings changes what pods are made of.
func TestSettingsReplacePods(t *testing.T) {
	dir := write(t, &All[0])
	checksum := regexp.MustCompile("checksum/settings: [0-9a-f]{64}\n")
	seen := map[string]bool{}
	for _, set := range []string{"url=a", "topics=a", "group=a", "settings.A=a", "settings.A=b"} {
		rendered, err := runHelm(t, "template", "orders", dir, "--set", set)
		if err != nil {
			t.Fatal(err)
		}
		seen[checksum.FindString(rendered)] = true
	}
	if len(seen) != 5 || seen[""] {
		t.Errorf("got the checksums %v, want 5 different ones", seen)
	}
}

// TestNames: all names are those of the release, so that there can be several in a namespace.
func TestNames(t *testing.T) {
	allowed := regexp.MustCompile(`^(# Source: |app\.kubernetes\.io/name: |image: |OIDC_AUDIENCE: )`)
	for _, c := range All {
		if !c.renamed {
			continue
		}
		arguments := []string{"template", "orders", write(t, &c)}
		for _, s := range c.switches {
			value := "true"
			if s.named != "" {
				value = "mine"
			}
			arguments = append(arguments, "--set", s.value+"="+value)
		}
		rendered, err := runHelm(t, arguments...)
		if err != nil {
			t.Fatal(err)
		}
		for line := range strings.Lines(rendered) {
			line = strings.TrimSpace(line)
			if strings.Contains(line, c.Name) && !allowed.MatchString(line) {
				t.Errorf("%s: %q has a name that is not the release's", c.Name, line)
			}
		}
	}
}
