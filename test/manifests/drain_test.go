package manifests_test

import (
	"strings"
	"testing"

	appsv1 "k8s.io/api/apps/v1"
	batchv1 "k8s.io/api/batch/v1"
	corev1 "k8s.io/api/core/v1"

	"github.com/eventing-eventmesh/eventing-eventmesh/pkg/adapter/source"
)

// TestJobThatEmptiesASpool: the Job fits the StatefulSet whose volume it empties.
func TestJobThatEmptiesASpool(t *testing.T) {
	settings := map[string]map[string]string{}
	var set *appsv1.StatefulSet
	var job *batchv1.Job
	for _, object := range build(t, "config/overlays/drain") {
		switch o := object.(type) {
		case *corev1.ConfigMap:
			settings[o.Name] = o.Data
		case *appsv1.StatefulSet:
			set = o
		case *batchv1.Job:
			job = o
		}
	}
	if set == nil || job == nil {
		t.Fatalf("got the StatefulSet %v and the Job %v", set, job)
	}
	pod, theirs := job.Spec.Template.Spec, set.Spec.Template.Spec
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
	if got, want := pod.Containers[0].EnvFrom[0].ConfigMapRef.Name, theirs.Containers[0].EnvFrom[0].ConfigMapRef.Name; got != want {
		t.Errorf("the Job has the settings %s, want %s", got, want)
	}
	if sink := pod.Containers[0].Env[0]; sink.Name != "K_SINK" || !strings.HasPrefix(sink.Value, "http://") {
		t.Errorf("got %+v, want K_SINK first, as overlays replace it", sink)
	}
}
