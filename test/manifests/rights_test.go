package manifests_test

import (
	"slices"
	"strings"
	"testing"

	rbacv1 "k8s.io/api/rbac/v1"
)

// written are what the programs of a Broker may change: nothing that runs, or gives rights.
var written = []string{"brokers/status", "triggers/status", "events", "leases"}

// TestRightsOfBrokers: no program of a Broker may read all Secrets, or ConfigMaps of other namespaces, or make what runs.
func TestRightsOfBrokers(t *testing.T) {
	roles := 0
	for _, object := range build(t, "config/broker") {
		switch o := object.(type) {
		case *rbacv1.ClusterRole:
			roles++
			checkRules(t, o.Name, o.Rules, true)
		case *rbacv1.Role:
			roles++
			checkRules(t, o.Name, o.Rules, false)
		}
	}
	if roles != 5 {
		t.Errorf("got %d roles, want 5", roles)
	}
}

func checkRules(t *testing.T, role string, rules []rbacv1.PolicyRule, everywhere bool) {
	t.Helper()
	for _, rule := range rules {
		for _, list := range [][]string{rule.APIGroups, rule.Resources, rule.Verbs} {
			if slices.Contains(list, "*") {
				t.Errorf("%s has a rule with *: %v", role, rule)
			}
		}
		for _, resource := range rule.Resources {
			if resource == "secrets" && (everywhere || len(rule.ResourceNames) == 0) || resource == "configmaps" && everywhere {
				t.Errorf("%s may read all %s", role, resource)
			}
			if strings.HasSuffix(resource, "/finalizers") {
				t.Errorf("%s has a right to finalizers, of which there are none", role)
			}
			for _, verb := range rule.Verbs {
				if !slices.Contains([]string{"get", "list", "watch"}, verb) && !slices.Contains(written, resource) {
					t.Errorf("%s may %s %s", role, verb, resource)
				}
			}
		}
	}
}
