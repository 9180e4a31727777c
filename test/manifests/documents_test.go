package manifests_test

import (
	"strings"
	"testing"

	appsv1 "k8s.io/api/apps/v1"
	batchv1 "k8s.io/api/batch/v1"
	corev1 "k8s.io/api/core/v1"
	"sigs.k8s.io/yaml"

	"github.com/eventing-eventmesh/eventing-eventmesh/pkg/adapter/source"
)

// The Job in the documents fits the StatefulSet whose volume it empties.
func TestJobThatEmptiesASpool(t *testing.T) {
	_, text, _ := strings.Cut(string(content(t, "docs/operations.md")), "### A volume whose pod is gone")
	_, text, _ = strings.Cut(text, "```yaml\n")
	text, _, _ = strings.Cut(text, "```")
	var job batchv1.Job
	if err := yaml.UnmarshalStrict([]byte(text), &job); err != nil {
		t.Fatal(err)
	}
	settings := map[string]map[string]string{}
	var set *appsv1.StatefulSet
	for _, object := range build(t, "config/source-spool") {
		switch o := object.(type) {
		case *corev1.ConfigMap:
			settings[o.Name] = o.Data
		case *appsv1.StatefulSet:
			set = o
		}
	}
	if set == nil {
		t.Fatal("there is no StatefulSet")
	}
	pod, theirs := job.Spec.Template.Spec, set.Spec.Template.Spec
	checkRestricted(t, &pod)
	config := source.NewConfig()
	load(t, config, pod.Containers[0], settings)
	if !config.SpoolDrain || config.SpoolDir == "" {
		t.Errorf("the Job empties no spool: %t, %q", config.SpoolDrain, config.SpoolDir)
	}
	if want := set.Spec.VolumeClaimTemplates[0].Name + "-" + set.Name + "-1"; pod.Volumes[0].PersistentVolumeClaim.ClaimName != want {
		t.Errorf("the Job has the claim %s, want %s", pod.Volumes[0].PersistentVolumeClaim.ClaimName, want)
	}
	if pod.ServiceAccountName != theirs.ServiceAccountName || *pod.SecurityContext.FSGroup != *theirs.SecurityContext.FSGroup {
		t.Errorf("the Job runs as %s, %d, want what the StatefulSet has", pod.ServiceAccountName, *pod.SecurityContext.FSGroup)
	}
}
