package monitoring

import (
	"path/filepath"
	"testing"

	"sigs.k8s.io/yaml"
)

func TestMonitoringManifestsParse(t *testing.T) {
	paths, err := filepath.Glob(filepath.Join(root(t), manifests, "*.yaml"))
	if err != nil || len(paths) == 0 {
		t.Fatalf("got %v and %v, want manifests", paths, err)
	}
	for _, path := range paths {
		var manifest map[string]any
		if err := yaml.UnmarshalStrict(readFile(t, manifests, filepath.Base(path)), &manifest); err != nil {
			t.Errorf("%s: %v", path, err)
		}
		if manifest["apiVersion"] == nil || manifest["kind"] == nil {
			t.Errorf("%s has no apiVersion or no kind", path)
		}
	}
}
