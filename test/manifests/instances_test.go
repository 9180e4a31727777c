package manifests_test

import (
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"testing"

	appsv1 "k8s.io/api/apps/v1"
	autoscalingv2 "k8s.io/api/autoscaling/v2"
	corev1 "k8s.io/api/core/v1"
	networkingv1 "k8s.io/api/networking/v1"
	policyv1 "k8s.io/api/policy/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	sourcesv1 "knative.dev/eventing/pkg/apis/sources/v1"
)

const (
	instanceLabel = "app.kubernetes.io/instance"
	partOfLabel   = "app.kubernetes.io/part-of"
	project       = "eventing-eventmesh"
)

// TestInstancesAreApart: what belongs to one sink or source selects no pods of another one in its namespace, and names nothing of it.
func TestInstancesAreApart(t *testing.T) {
	for _, path := range append(kustomizations(t), suffixed(t, "config/source-spool"), suffixed(t, "config/sink")) {
		t.Run(path, func(t *testing.T) {
			objects := build(t, path)
			for _, object := range objects {
				if o := object.(metav1.Object); o.GetLabels()[partOfLabel] == project && o.GetLabels()[instanceLabel] != "" {
					checkInstance(t, object, objects)
				}
			}
		})
	}
}

// suffixed returns the path of a folder that gives the names of another one a prefix and a suffix.
func suffixed(t *testing.T, path string) string {
	t.Helper()
	return overlay(t, "namePrefix: one-\nnameSuffix: -more\nresources: [%s]\n", path)
}

// overlay returns the path of a folder with a kustomization, in whose text paths of the repository stand for each %s.
func overlay(t *testing.T, text string, paths ...string) string {
	t.Helper()
	folder := t.TempDir()
	var from []any
	for _, path := range paths {
		absolute, err := filepath.Abs(filepath.Join(root, path))
		if err != nil {
			t.Fatal(err)
		}
		relative, err := filepath.Rel(folder, absolute)
		if err != nil {
			t.Fatal(err)
		}
		from = append(from, relative)
	}
	text = "apiVersion: kustomize.config.k8s.io/v1beta1\nkind: Kustomization\n" + fmt.Sprintf(text, from...)
	if err := os.WriteFile(filepath.Join(folder, "kustomization.yaml"), []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	return folder
}

// checkInstance checks what an object selects and names.
func checkInstance(t *testing.T, object runtime.Object, all []runtime.Object) {
	t.Helper()
	of := object.(metav1.Object)
	instance := of.GetLabels()[instanceLabel]
	checkNamed[*corev1.ServiceAccount](t, instance, instance, all)
	for _, selector := range selectors(object) {
		found := 0
		for _, other := range all {
			pod := templateOf(other)
			if pod == nil || !selects(t, selector, pod) {
				continue
			}
			found++
			if got := pod.Labels[instanceLabel]; got != instance {
				t.Errorf("%T %s selects pods of %q", object, of.GetName(), got)
			}
		}
		if found != 1 {
			t.Errorf("%T %s selects the pods of %d objects, want 1", object, of.GetName(), found)
		}
	}
	if binding, ok := object.(*sourcesv1.SinkBinding); ok && binding.Spec.Subject.Name != instance {
		t.Errorf("SinkBinding %s binds %s", of.GetName(), binding.Spec.Subject.Name)
	}
	if pod := templateOf(object); pod != nil {
		checkNamed[*corev1.ServiceAccount](t, pod.Spec.ServiceAccountName, instance, all)
		for _, from := range pod.Spec.Containers[0].EnvFrom {
			checkNamed[*corev1.ConfigMap](t, from.ConfigMapRef.Name, instance, all)
		}
	}
}

// selectors returns all by which an object finds pods.
func selectors(object runtime.Object) []*metav1.LabelSelector {
	var all []*metav1.LabelSelector
	switch o := object.(type) {
	case *corev1.Service:
		all = append(all, &metav1.LabelSelector{MatchLabels: o.Spec.Selector})
	case *policyv1.PodDisruptionBudget:
		all = append(all, o.Spec.Selector)
	case *networkingv1.NetworkPolicy:
		all = append(all, &o.Spec.PodSelector)
	case *appsv1.Deployment:
		all = append(all, o.Spec.Selector)
	case *appsv1.StatefulSet:
		all = append(all, o.Spec.Selector)
	}
	if pod := templateOf(object); pod != nil {
		for _, spread := range pod.Spec.TopologySpreadConstraints {
			all = append(all, spread.LabelSelector)
		}
	}
	return all
}

// checkNamed checks that an object of a kind has a name, and belongs to an instance.
func checkNamed[T metav1.Object](t *testing.T, name, instance string, all []runtime.Object) {
	t.Helper()
	for _, object := range all {
		if o, ok := object.(T); ok && o.GetName() == name && o.GetLabels()[instanceLabel] == instance {
			return
		}
	}
	var kind T
	t.Errorf("there is no %T %s of %s", kind, name, instance)
}

// TestAutoscaledReplicas: who applies a Deployment again does not undo what an autoscaler has decided.
func TestAutoscaledReplicas(t *testing.T) {
	scaled := 0
	for _, path := range kustomizations(t) {
		objects := build(t, path)
		for _, object := range objects {
			scaler, ok := object.(*autoscalingv2.HorizontalPodAutoscaler)
			if !ok {
				continue
			}
			for _, other := range objects {
				if d, ok := other.(*appsv1.Deployment); ok && d.Name == scaler.Spec.ScaleTargetRef.Name {
					scaled++
					if d.Spec.Replicas != nil {
						t.Errorf("%s: Deployment %s says how many replicas there are, as does its autoscaler", path, d.Name)
					}
				}
			}
		}
	}
	if scaled == 0 {
		t.Error("nothing is scaled")
	}
}

// TestVolumesOfComponents: a component adds its volume to those that are there.
func TestVolumesOfComponents(t *testing.T) {
	t.Parallel()
	found := false
	for _, object := range build(t, overlay(t, "resources: [%s]\ncomponents: [%s]\n", "samples/secure", "config/credentials")) {
		s, ok := object.(*sourcesv1.ContainerSource)
		if !ok {
			continue
		}
		found = true
		var volumes, mounts []string
		for _, volume := range s.Spec.Template.Spec.Volumes {
			volumes = append(volumes, volume.Name)
		}
		for _, mount := range s.Spec.Template.Spec.Containers[0].VolumeMounts {
			mounts = append(mounts, mount.Name)
		}
		want := []string{"credentials", "token"}
		if slices.Sort(volumes); !slices.Equal(volumes, want) {
			t.Errorf("got the volumes %q, want %q", volumes, want)
		}
		if slices.Sort(mounts); !slices.Equal(mounts, want) {
			t.Errorf("got the mounts %q, want %q", mounts, want)
		}
	}
	if !found {
		t.Error("there is no ContainerSource")
	}
}
