// Package manifests checks what is in config/ and samples/ without a cluster.
//
// Kubernetes' own kinds and Knative's are decoded strictly into the types of the API server and of Knative, and Knative's
// are validated as its webhook does. That takes no schemas from the network.
package manifests_test

import (
	"bytes"
	"context"
	"crypto/x509"
	"encoding/pem"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	appsv1 "k8s.io/api/apps/v1"
	batchv1 "k8s.io/api/batch/v1"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/serializer"
	"k8s.io/apimachinery/pkg/util/yaml"
	"k8s.io/client-go/kubernetes/scheme"
	eventingv1 "knative.dev/eventing/pkg/apis/eventing/v1"
	sourcesv1 "knative.dev/eventing/pkg/apis/sources/v1"
	"knative.dev/pkg/apis"

	"github.com/eventing-eventmesh/eventing-eventmesh/pkg/adapter"
	"github.com/eventing-eventmesh/eventing-eventmesh/pkg/adapter/sink"
	"github.com/eventing-eventmesh/eventing-eventmesh/pkg/adapter/source"
	"github.com/eventing-eventmesh/eventing-eventmesh/pkg/broker/dispatcher"
	"github.com/eventing-eventmesh/eventing-eventmesh/pkg/broker/ingress"
)

const (
	root    = "../.."
	program = "ko://github.com/eventing-eventmesh/eventing-eventmesh/cmd/"
	// flushTimeout is what a program takes at the end for its telemetry.
	flushTimeout = 5 * time.Second
)

func TestManifests(t *testing.T) {
	for _, path := range kustomizations(t) {
		t.Run(path, func(t *testing.T) {
			objects := build(t, path)
			settings := map[string]map[string]string{}
			for _, object := range objects {
				validate(t, object)
				if c, ok := object.(*corev1.ConfigMap); ok {
					settings[c.Name] = c.Data
				}
			}
			for _, object := range objects {
				if template := templateOf(object); template != nil {
					checkPod(t, &template.Spec, settings)
				}
			}
		})
	}
}

// Components are checked where they are used.
func TestComponentsAreUsed(t *testing.T) {
	t.Parallel()
	var used []string
	components := map[string]bool{}
	walk(t, func(path, text string) {
		if strings.Contains(text, "kind: Component\n") {
			components[path] = true
		}
		_, list, _ := strings.Cut(text, "\ncomponents:\n")
		for line := range strings.Lines(list) {
			entry, found := strings.CutPrefix(line, "  - ")
			if !found {
				break
			}
			used = append(used, filepath.Join(path, strings.TrimSpace(entry)))
		}
	})
	for path := range components {
		if !slices.Contains(used, path) {
			t.Errorf("nothing uses %s", path)
		}
	}
}

// kustomizations returns the folders that can be built.
func kustomizations(t *testing.T) []string {
	t.Helper()
	var paths []string
	walk(t, func(path, text string) {
		if !strings.Contains(text, "kind: Component\n") {
			paths = append(paths, path)
		}
	})
	return paths
}

func walk(t *testing.T, visit func(path, text string)) {
	t.Helper()
	for _, folder := range []string{"config", "samples"} {
		err := filepath.WalkDir(filepath.Join(root, folder), func(path string, entry fs.DirEntry, err error) error {
			if err != nil || entry.IsDir() {
				return err
			}
			text, err := os.ReadFile(path) // all of them: go test repeats a test only when a file that it has read has changed
			if err != nil || !strings.EqualFold(strings.TrimSuffix(filepath.Base(path), ".yaml"), "kustomization") {
				return err
			}
			folder, err := filepath.Rel(root, filepath.Dir(path))
			visit(folder, string(text))
			return err
		})
		if err != nil {
			t.Fatal(err)
		}
	}
}

// kustomize builds the tool, and returns its path. What Go says meanwhile, such as which modules it downloads, is none of its complaints.
var kustomize = sync.OnceValues(func() (string, error) {
	find := exec.Command("go", "tool", "-modfile=tools/cluster/go.mod", "-n", "kustomize")
	find.Dir = root
	var said strings.Builder
	find.Stderr = &said
	path, err := find.Output()
	if err != nil {
		return "", fmt.Errorf("building kustomize: %w\n%s", err, said.String())
	}
	return strings.TrimSpace(string(path)), nil
})

// build returns the objects that kustomize makes of a folder. Those of Prometheus are left out: their test is with the metrics.
func build(t *testing.T, path string) []runtime.Object {
	t.Helper()
	kustomize, err := kustomize()
	if err != nil {
		t.Fatal(err)
	}
	command := exec.CommandContext(t.Context(), kustomize, "build", path)
	command.Dir = root
	var complaints strings.Builder
	command.Stderr = &complaints
	manifests, err := command.Output()
	if err != nil || complaints.Len() > 0 {
		t.Fatalf("building: %v\n%s", err, complaints.String())
	}
	types := runtime.NewScheme()
	for _, add := range []func(*runtime.Scheme) error{scheme.AddToScheme, eventingv1.AddToScheme, sourcesv1.AddToScheme} {
		if err := add(types); err != nil {
			t.Fatal(err)
		}
	}
	decoder := serializer.NewCodecFactory(types, serializer.EnableStrict).UniversalDeserializer()
	var objects []runtime.Object
	for documents := yaml.NewDocumentDecoder(io.NopCloser(bytes.NewReader(manifests))); ; {
		document := make([]byte, len(manifests))
		n, err := documents.Read(document)
		if errors.Is(err, io.EOF) {
			break
		}
		if err != nil {
			t.Fatal(err)
		}
		if bytes.Contains(document[:n], []byte("apiVersion: monitoring.coreos.com/")) {
			continue
		}
		object, _, err := decoder.Decode(document[:n], nil, nil)
		if err != nil {
			t.Errorf("decoding: %v\n%s", err, document[:n])
			continue
		}
		objects = append(objects, object)
	}
	if len(objects) == 0 {
		t.Error("nothing was made")
	}
	return objects
}

// validate does what Knative's webhook does.
func validate(t *testing.T, object runtime.Object) {
	t.Helper()
	if o, ok := object.(metav1.Object); ok && o.GetNamespace() == "" {
		o.SetNamespace(metav1.NamespaceDefault) // as kubectl does
	}
	if d, ok := object.(apis.Defaultable); ok {
		d.SetDefaults(context.Background())
	}
	if v, ok := object.(apis.Validatable); ok {
		if err := v.Validate(context.Background()); err != nil {
			t.Errorf("%T is refused: %v", object, err)
		}
	}
}

// templateOf returns what an object makes pods of, and nil where it makes none.
func templateOf(object runtime.Object) *corev1.PodTemplateSpec {
	switch o := object.(type) {
	case *appsv1.Deployment:
		return &o.Spec.Template
	case *appsv1.StatefulSet:
		return &o.Spec.Template
	case *batchv1.Job:
		return &o.Spec.Template
	case *sourcesv1.ContainerSource:
		return &o.Spec.Template
	default:
		return nil
	}
}

func checkPod(t *testing.T, pod *corev1.PodSpec, settings map[string]map[string]string) {
	t.Helper()
	c := pod.Containers[0]
	checkRestricted(t, pod)
	token := pod.AutomountServiceAccountToken
	needed := strings.HasPrefix(pod.ServiceAccountName, "eventmesh-broker-") ||
		slices.ContainsFunc(c.EnvFrom, func(from corev1.EnvFromSource) bool { return settings[from.ConfigMapRef.Name]["OIDC_AUDIENCE"] != "" }) ||
		slices.ContainsFunc(c.Env, func(v corev1.EnvVar) bool { return v.Name == "POD_UID" }) // which is for Events of the pod
	if token == nil || *token != needed {
		t.Errorf("the pod gets a token of Kubernetes, or none: %v, want %t", token, needed)
	}
	if len(c.Resources.Requests) != 2 || c.Resources.Limits.Memory().IsZero() {
		t.Errorf("%s has not both requests and a limit of memory", c.Name)
	}
	name, ours := strings.CutPrefix(c.Image, program)
	if ours {
		if c.TerminationMessagePolicy != corev1.TerminationMessageFallbackToLogsOnError {
			t.Errorf("kubectl would not say why %s has ended: terminationMessagePolicy %q", c.Name, c.TerminationMessagePolicy)
		}
		if _, err := os.Stat(filepath.Join(root, "cmd", name)); err != nil {
			t.Errorf("image %s: %v", c.Image, err)
		}
	}
	switch {
	case ours && name == "source":
		config := source.NewConfig()
		load(t, config, c, settings)
		checkLife(t, pod, config.DrainTimeout)
	case ours && name == "sink":
		config := sink.NewConfig()
		load(t, config, c, settings)
		checkLife(t, pod, config.ShutdownDelay+config.DrainTimeout)
	case ours && name == "broker-ingress":
		config := ingress.NewConfig()
		load(t, config, c, settings)
		checkLife(t, pod, config.ShutdownDelay+config.DrainTimeout)
	case ours && name == "broker-dispatcher":
		config := dispatcher.NewConfig()
		load(t, config, c, settings)
		checkLife(t, pod, config.DrainTimeout)
	case ours && name == "broker-controller": // which has those of Knative's controllers
	case len(c.Env) > 0 || len(c.EnvFrom) > 0:
		t.Errorf("nothing checks the variables of %s", c.Name)
	}
}

// checkRestricted checks what the restricted level of Pod Security asks for, and more.
func checkRestricted(t *testing.T, pod *corev1.PodSpec) {
	t.Helper()
	p := pod.SecurityContext
	if p == nil || p.RunAsNonRoot == nil || !*p.RunAsNonRoot || p.RunAsUser == nil || *p.RunAsUser == 0 ||
		p.SeccompProfile == nil || p.SeccompProfile.Type != corev1.SeccompProfileTypeRuntimeDefault {
		t.Errorf("the pod is not restricted: %+v", p)
	}
	for _, c := range pod.Containers {
		s := c.SecurityContext
		if s == nil || s.AllowPrivilegeEscalation == nil || *s.AllowPrivilegeEscalation ||
			s.ReadOnlyRootFilesystem == nil || !*s.ReadOnlyRootFilesystem ||
			s.Capabilities == nil || !slices.Equal(s.Capabilities.Drop, []corev1.Capability{"ALL"}) {
			t.Errorf("container %s is not restricted: %+v", c.Name, s)
		}
	}
}

// load lets the program read its configuration as it would in the pod.
func load(t *testing.T, config any, c corev1.Container, settings map[string]map[string]string) {
	t.Helper()
	known := adapter.Names(config)
	set := func(name, value string) {
		if !slices.Contains(known, name) {
			t.Errorf("%s is set, which the program does not know", name)
		}
		t.Setenv(name, value)
	}
	for _, from := range c.EnvFrom {
		data, found := settings[from.ConfigMapRef.Name]
		if !found {
			t.Errorf("there is no ConfigMap %s", from.ConfigMapRef.Name)
		}
		for name, value := range data {
			set(name, value)
		}
	}
	for _, variable := range c.Env {
		value := variable.Value
		switch {
		case variable.ValueFrom != nil:
			value = "from elsewhere"
		case strings.HasPrefix(value, "/") && mounted(c, value):
			value = filepath.Join(t.TempDir(), "mounted")
			if err := os.WriteFile(value, secret(t), 0o600); err != nil {
				t.Fatal(err)
			}
		}
		set(variable.Name, value)
	}
	t.Setenv("K_SINK", "http://sink")
	if err := adapter.Load(config); err != nil {
		t.Errorf("the program does not start: %v", err)
	}
}

// secret returns what does for a certificate, for its key, and for a password.
func secret(t *testing.T) []byte {
	t.Helper()
	server := httptest.NewTLSServer(nil)
	defer server.Close()
	pair := server.TLS.Certificates[0]
	key, err := x509.MarshalPKCS8PrivateKey(pair.PrivateKey)
	if err != nil {
		t.Fatal(err)
	}
	return slices.Concat(
		pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: pair.Certificate[0]}),
		pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: key}),
	)
}

func mounted(c corev1.Container, path string) bool {
	return slices.ContainsFunc(c.VolumeMounts, func(m corev1.VolumeMount) bool {
		return path == m.MountPath || strings.HasPrefix(path, m.MountPath+"/")
	})
}

// checkLife checks the probes, and that the pod has the time that its shutdown may take.
func checkLife(t *testing.T, pod *corev1.PodSpec, shutdown time.Duration) {
	t.Helper()
	c := pod.Containers[0]
	for _, probe := range []struct {
		probe *corev1.Probe
		path  string
	}{{c.ReadinessProbe, "/readiness"}, {c.LivenessProbe, "/health"}} {
		if probe.probe == nil || probe.probe.HTTPGet == nil || probe.probe.HTTPGet.Path != probe.path {
			t.Errorf("%s has no probe of %s", c.Name, probe.path)
		}
	}
	grace := time.Duration(*pod.TerminationGracePeriodSeconds) * time.Second
	if least := shutdown + flushTimeout; grace <= least {
		t.Errorf("%s has %s to end, want more than %s", c.Name, grace, least)
	}
}
