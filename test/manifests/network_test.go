package manifests_test

import (
	"slices"
	"strings"
	"testing"

	corev1 "k8s.io/api/core/v1"
	networkingv1 "k8s.io/api/networking/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/labels"
	"k8s.io/apimachinery/pkg/util/intstr"
	"sigs.k8s.io/yaml"

	"github.com/eventing-eventmesh/eventing-eventmesh/pkg/eventmesh/transports"
)

// TestNetworkPolicies: each program has a policy, and each policy is about pods and ports that there are.
func TestNetworkPolicies(t *testing.T) {
	for _, path := range kustomizations(t) {
		t.Run(path, func(t *testing.T) {
			var pods []*corev1.PodTemplateSpec
			var policies []*networkingv1.NetworkPolicy
			for _, object := range build(t, path) {
				if template := templateOf(object); template != nil {
					pods = append(pods, template)
				}
				if policy, ok := object.(*networkingv1.NetworkPolicy); ok {
					policies = append(policies, policy)
				}
			}
			for _, pod := range pods {
				has := slices.ContainsFunc(policies, func(p *networkingv1.NetworkPolicy) bool { return selects(t, &p.Spec.PodSelector, pod) })
				if program := programOf(pod); program != "" && !has {
					t.Errorf("%s has no policy", program)
				}
			}
			for _, policy := range policies {
				checkPolicy(t, policy, pods)
			}
		})
	}
}

// checkPolicy checks that a policy names no pods and ports that there are not.
func checkPolicy(t *testing.T, policy *networkingv1.NetworkPolicy, pods []*corev1.PodTemplateSpec) {
	t.Helper()
	about := selected(t, &policy.Spec.PodSelector, pods)
	if len(about) == 0 {
		t.Errorf("policy %s is about no pod", policy.Name)
	}
	for _, rule := range policy.Spec.Ingress {
		for _, from := range rule.From {
			if from.PodSelector != nil && len(selected(t, from.PodSelector, pods)) == 0 {
				t.Errorf("policy %s lets nobody in by %v", policy.Name, from.PodSelector)
			}
		}
		checkPorts(t, policy, rule.Ports, about)
	}
	checkTelemetry(t, policy)
	for _, rule := range policy.Spec.Egress {
		checkEventMesh(t, policy, rule.Ports)
		for _, to := range rule.To {
			found := selected(t, to.PodSelector, pods)
			if len(found) == 0 {
				t.Errorf("policy %s leads nowhere by %v", policy.Name, to.PodSelector)
			}
			checkPorts(t, policy, rule.Ports, found)
		}
	}
}

// checkTelemetry checks that metrics get out: Prometheus may be anywhere in the cluster, and so may a collector of OpenTelemetry.
func checkTelemetry(t *testing.T, policy *networkingv1.NetworkPolicy) {
	t.Helper()
	names := func(ports []networkingv1.NetworkPolicyPort, want string) bool {
		return slices.ContainsFunc(ports, func(p networkingv1.NetworkPolicyPort) bool { return p.Port != nil && p.Port.String() == want })
	}
	read := slices.ContainsFunc(policy.Spec.Ingress, func(r networkingv1.NetworkPolicyIngressRule) bool {
		anywhere := slices.ContainsFunc(r.From, func(from networkingv1.NetworkPolicyPeer) bool {
			return from.PodSelector == nil && from.NamespaceSelector != nil && len(from.NamespaceSelector.MatchLabels) == 0
		})
		return anywhere && names(r.Ports, "metrics")
	})
	if !read {
		t.Errorf("policy %s lets nobody read metrics", policy.Name)
	}
	if !slices.Contains(policy.Spec.PolicyTypes, networkingv1.PolicyTypeEgress) {
		return
	}
	for _, port := range []string{"4317", "4318"} {
		if !slices.ContainsFunc(policy.Spec.Egress, func(r networkingv1.NetworkPolicyEgressRule) bool { return len(r.To) == 0 && names(r.Ports, port) }) {
			t.Errorf("policy %s keeps metrics from a collector at port %s", policy.Name, port)
		}
	}
}

// checkEventMesh checks that what leads to EventMesh by one transport leads there by all.
func checkEventMesh(t *testing.T, policy *networkingv1.NetworkPolicy, ports []networkingv1.NetworkPolicyPort) {
	t.Helper()
	var missing []string
	for _, transport := range transports.All {
		port := transport.Traits().Port
		if !slices.ContainsFunc(ports, func(p networkingv1.NetworkPolicyPort) bool { return p.Port != nil && p.Port.String() == port }) {
			missing = append(missing, port)
		}
	}
	if len(missing) > 0 && len(missing) < len(transports.All) {
		t.Errorf("policy %s leads to EventMesh, but not by its ports %v", policy.Name, missing)
	}
}

// checkPorts checks that pods have ports, by name or number.
func checkPorts(t *testing.T, policy *networkingv1.NetworkPolicy, ports []networkingv1.NetworkPolicyPort, pods []*corev1.PodTemplateSpec) {
	t.Helper()
	for _, port := range ports {
		for _, pod := range pods {
			if !slices.ContainsFunc(pod.Spec.Containers[0].Ports, func(p corev1.ContainerPort) bool {
				return *port.Port == intstr.FromString(p.Name) || *port.Port == intstr.FromInt32(p.ContainerPort)
			}) {
				t.Errorf("policy %s names port %s, which %s has not", policy.Name, port.Port, pod.Spec.Containers[0].Name)
			}
		}
	}
}

// TestPodMonitor: Prometheus finds all programs, and the port of their metrics.
func TestPodMonitor(t *testing.T) {
	var monitor struct {
		Spec struct {
			NamespaceSelector struct{ Any bool }
			Selector          metav1.LabelSelector
			Endpoints         []struct{ Port string } `json:"podMetricsEndpoints"`
		}
	}
	if err := yaml.Unmarshal(content(t, "config/monitoring/pod-monitor.yaml"), &monitor); err != nil {
		t.Fatal(err)
	}
	if len(monitor.Spec.Endpoints) != 1 || !monitor.Spec.NamespaceSelector.Any {
		t.Fatalf("got %+v, want one port of pods in any namespace", monitor.Spec)
	}
	found := map[string]bool{}
	for _, path := range []string{"config/source", "config/source-spool", "config/sink", "config/broker"} {
		for _, object := range build(t, path) {
			pod := templateOf(object)
			if pod == nil {
				continue
			}
			found[programOf(pod)] = true
			if !selects(t, &monitor.Spec.Selector, pod) || !slices.ContainsFunc(pod.Spec.Containers[0].Ports, func(p corev1.ContainerPort) bool {
				return p.Name == monitor.Spec.Endpoints[0].Port
			}) {
				t.Errorf("%s: the PodMonitor does not find %s: %v", path, programOf(pod), pod.Labels)
			}
		}
	}
	if len(found) != 5 {
		t.Errorf("got pods of %v, want of all five programs", found)
	}
}

// programOf returns the program that pods run, and "" where it is none that is deployed.
func programOf(pod *corev1.PodTemplateSpec) string {
	name, ours := strings.CutPrefix(pod.Spec.Containers[0].Image, program)
	if !ours || name == "devmesh" {
		return ""
	}
	return name
}

func selected(t *testing.T, by *metav1.LabelSelector, pods []*corev1.PodTemplateSpec) (found []*corev1.PodTemplateSpec) {
	t.Helper()
	for _, pod := range pods {
		if selects(t, by, pod) {
			found = append(found, pod)
		}
	}
	return found
}

func selects(t *testing.T, selector *metav1.LabelSelector, pod *corev1.PodTemplateSpec) bool {
	t.Helper()
	by, err := metav1.LabelSelectorAsSelector(selector)
	if err != nil {
		t.Fatal(err)
	}
	return by.Matches(labels.Set(pod.Labels))
}
