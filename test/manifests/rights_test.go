package manifests_test

import (
	"slices"
	"strings"
	"testing"

	rbacv1 "k8s.io/api/rbac/v1"
)

// written are what the programs of a Broker may change: nothing that runs, or gives rights.
var written = []string{"brokers/status", "triggers/status", "eventtypes", "events", "leases"}

// identities are what they may change besides where events are sent with tokens.
var identities = []string{"serviceaccounts", "serviceaccounts/token"}

// TestRightsOfBrokers: no program of a Broker may read all Secrets, or ConfigMaps of other namespaces, or make what runs.
func TestRightsOfBrokers(t *testing.T) {
	for path, test := range map[string]struct {
		roles   int
		written []string
	}{"config/broker": {6, written}, "config/broker-oidc": {2, identities}} {
		roles := 0
		for _, object := range build(t, path) {
			switch o := object.(type) {
			case *rbacv1.ClusterRole:
				roles++
				checkRules(t, o.Name, o.Rules, true, test.written)
			case *rbacv1.Role:
				roles++
				checkRules(t, o.Name, o.Rules, false, test.written)
			}
		}
		if roles != test.roles {
			t.Errorf("%s: got %d roles, want %d", path, roles, test.roles)
		}
	}
}

func checkRules(t *testing.T, role string, rules []rbacv1.PolicyRule, everywhere bool, written []string) {
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
