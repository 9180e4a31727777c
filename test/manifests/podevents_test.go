package manifests_test

import (
	"fmt"
	"reflect"
	"slices"
	"testing"

	corev1 "k8s.io/api/core/v1"
	networkingv1 "k8s.io/api/networking/v1"
	rbacv1 "k8s.io/api/rbac/v1"
)

// TestPodEvents: with the component a program gets what it needs to record Events of its pod, in its own namespace, and no other rights; also
// beside the component that mounts a volume.
func TestPodEvents(t *testing.T) {
	for path, program := range map[string]string{"config/source": "source", "config/source-spool": "source", "config/sink": "sink"} {
		component := "config/pod-events/" + program
		for i, components := range [][]string{{component, "config/credentials"}, {"config/credentials", component}} {
			t.Run(fmt.Sprint(path, " ", i), func(t *testing.T) {
				account := "eventmesh-" + program
				settings := map[string]map[string]string{}
				var roles []*rbacv1.Role
				var bindings []*rbacv1.RoleBinding
				var pods []*corev1.PodTemplateSpec
				for _, object := range build(t, overlay(t, "namespace: shop\nresources: [%s]\ncomponents: [%s, %s]\n", path, components[0], components[1])) {
					validate(t, object)
					if template := templateOf(object); template != nil {
						pods = append(pods, template)
					}
					switch o := object.(type) {
					case *rbacv1.Role:
						roles = append(roles, o)
					case *rbacv1.RoleBinding:
						bindings = append(bindings, o)
					case *rbacv1.ClusterRole, *rbacv1.ClusterRoleBinding:
						t.Errorf("got a %T, want rights in the namespace alone", o)
					case *corev1.ConfigMap:
						settings[o.Name] = o.Data
					case *networkingv1.NetworkPolicy:
						checkReachesKubernetes(t, o)
					}
				}
				if len(roles) != 1 || len(bindings) != 1 || len(pods) != 1 {
					t.Fatalf("got %d Roles, %d RoleBindings and %d workloads, want one each", len(roles), len(bindings), len(pods))
				}
				rights := []rbacv1.PolicyRule{{APIGroups: []string{""}, Resources: []string{"events"}, Verbs: []string{"create", "patch"}}}
				if !reflect.DeepEqual(roles[0].Rules, rights) || roles[0].Namespace != "shop" {
					t.Errorf("got the rights %v in %s, want %v in shop", roles[0].Rules, roles[0].Namespace, rights)
				}
				who := []rbacv1.Subject{{Kind: rbacv1.ServiceAccountKind, Name: account, Namespace: "shop"}}
				if b := bindings[0]; !reflect.DeepEqual(b.Subjects, who) || b.Namespace != "shop" || b.RoleRef.Kind != "Role" || b.RoleRef.Name != roles[0].Name {
					t.Errorf("%v has %v in %s, want %v", b.Subjects, b.RoleRef, b.Namespace, who)
				}
				if got := pods[0].Spec.ServiceAccountName; got != account {
					t.Errorf("the pods run as %s, want %s", got, account)
				}
				checkPod(t, &pods[0].Spec, settings)
				checkVariables(t, pods[0].Spec.Containers[0].Env)
			})
		}
	}
}

func checkVariables(t *testing.T, env []corev1.EnvVar) {
	t.Helper()
	for name, field := range map[string]string{"POD_NAME": "metadata.name", "POD_UID": "metadata.uid", "NAMESPACE": "metadata.namespace"} {
		if !slices.ContainsFunc(env, func(v corev1.EnvVar) bool {
			return v.Name == name && v.ValueFrom != nil && v.ValueFrom.FieldRef != nil && v.ValueFrom.FieldRef.FieldPath == field
		}) {
			t.Errorf("%s is not %s of the downward API", name, field)
		}
	}
	if !slices.ContainsFunc(env, func(v corev1.EnvVar) bool { return v.Name == "EVENTMESH_PASSWORD_FILE" }) {
		t.Error("the variables of the other component have gone")
	}
}

// checkReachesKubernetes checks that a policy, if it is about connections that pods make, lets them connect to the API server.
func checkReachesKubernetes(t *testing.T, policy *networkingv1.NetworkPolicy) {
	t.Helper()
	if !slices.Contains(policy.Spec.PolicyTypes, networkingv1.PolicyTypeEgress) {
		return
	}
	for _, port := range []string{"443", "6443"} {
		if !slices.ContainsFunc(policy.Spec.Egress, func(r networkingv1.NetworkPolicyEgressRule) bool {
			return slices.ContainsFunc(r.Ports, func(p networkingv1.NetworkPolicyPort) bool { return p.Port.String() == port })
		}) {
			t.Errorf("policy %s does not lead to port %s", policy.Name, port)
		}
	}
}
