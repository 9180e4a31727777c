package table

import (
	"errors"
	"slices"
	"testing"

	"github.com/cloudevents/sdk-go/v2/event"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	eventingv1 "knative.dev/eventing/pkg/apis/eventing/v1"
	eventingv1alpha1 "knative.dev/eventing/pkg/apis/eventing/v1alpha1"
	"knative.dev/pkg/apis"
)

// policy returns an event policy for all of a namespace that is ready.
func policy(namespace, name string, changes ...func(*eventingv1alpha1.EventPolicy)) func(*Objects) {
	p := &eventingv1alpha1.EventPolicy{ObjectMeta: metav1.ObjectMeta{Namespace: namespace, Name: name, UID: types.UID("p-" + name), Generation: 1}}
	p.Status.Conditions = append(p.Status.Conditions, apis.Condition{Type: apis.ConditionReady, Status: corev1.ConditionTrue})
	for _, change := range changes {
		change(p)
	}
	return func(o *Objects) { o.Policies = append(o.Policies, p) }
}

func from(subjects ...string) func(*eventingv1alpha1.EventPolicy) {
	return func(p *eventingv1alpha1.EventPolicy) { p.Status.From = subjects }
}

func filtered(cesql string) func(*eventingv1alpha1.EventPolicy) {
	return func(p *eventingv1alpha1.EventPolicy) {
		p.Spec.Filters = []eventingv1.SubscriptionsAPIFilter{{CESQL: cesql}}
	}
}

func features(data map[string]string) func(*Objects) { return configured("config-features", data) }

func TestAccess(t *testing.T) {
	const orders, others, foreign = "system:serviceaccount:shop:orders", "system:serviceaccount:shop:others", "system:serviceaccount:bank:orders"
	mode := func(name string) func(*Objects) {
		return features(map[string]string{"authentication-oidc": "enabled", "default-authorization-mode": name})
	}
	on := mode("allow-all")
	for name, test := range map[string]struct {
		changes []func(*Objects)
		open    bool     // nobody needs a token
		allowed []string // of all three, for an event of type order
		reason  string
	}{
		"no features":             {nil, true, nil, ""},
		"the feature is off":      {[]func(*Objects){features(map[string]string{"authentication-oidc": "Disabled"}), policy("shop", "p", from(orders))}, true, nil, ""},
		"the default":             {[]func(*Objects){features(map[string]string{"authentication-oidc": "enabled"})}, false, []string{orders, others}, ""},
		"all":                     {[]func(*Objects){on}, false, []string{orders, others, foreign}, ""},
		"nobody":                  {[]func(*Objects){mode("deny-all")}, false, nil, ""},
		"the same namespace":      {[]func(*Objects){mode("allow-same-namespace")}, false, []string{orders, others}, ""},
		"what nobody knows":       {[]func(*Objects){mode("allow-most")}, false, nil, ""},
		"a policy":                {[]func(*Objects){on, policy("shop", "p", from(foreign))}, false, []string{foreign}, ""},
		"whatever the case":       {[]func(*Objects){on, policy("shop", "p", from("SYSTEM:serviceaccount:shop:orders"))}, false, []string{orders}, ""},
		"a pattern":               {[]func(*Objects){on, policy("shop", "p", from("system:serviceaccount:shop:*"))}, false, []string{orders, others}, ""},
		"no pattern in the midst": {[]func(*Objects){on, policy("shop", "p", from("system:*:orders"))}, false, nil, ""},
		"several":                 {[]func(*Objects){on, policy("shop", "p", from(orders)), policy("shop", "q", from(others))}, false, []string{orders, others}, ""},
		"its filter":              {[]func(*Objects){on, policy("shop", "p", from(orders), filtered("type = 'payment'")), policy("shop", "q", from(others), filtered("type = 'order'"))}, false, []string{others}, ""},
		"one of several filters":  {[]func(*Objects){on, policy("shop", "p", from(orders), filtered("type = 'payment'")), policy("shop", "q", from(orders), filtered("type = 'order'"))}, false, []string{orders}, ""},
		"a filter that is none":   {[]func(*Objects){on, policy("shop", "p", from(orders), filtered("a b c")), policy("shop", "q", from(others))}, false, []string{others}, ReasonPolicyInvalid},
		"a filter with no answer": {[]func(*Objects){on, policy("shop", "p", from(orders), filtered("type")), policy("shop", "q", from(others))}, false, []string{others}, ""},
		"not ready": {[]func(*Objects){on, policy("shop", "p", from(orders), func(p *eventingv1alpha1.EventPolicy) {
			p.Status.Conditions = nil
		})}, false, nil, ""},
		"of another namespace": {[]func(*Objects){on, policy("bank", "p", from(orders))}, false, []string{orders, others, foreign}, ""},
		"of another Broker": {[]func(*Objects){on, policy("shop", "p", from(orders), func(p *eventingv1alpha1.EventPolicy) {
			p.Spec.To = []eventingv1alpha1.EventPolicySpecTo{{Ref: &eventingv1alpha1.EventPolicyToReference{APIVersion: "eventing.knative.dev/v1", Kind: "Broker", Name: "another"}}}
		})}, false, []string{orders, others, foreign}, ""},
		"that cannot be understood": {[]func(*Objects){on, policy("shop", "p", from(orders), func(p *eventingv1alpha1.EventPolicy) {
			p.Spec.To = []eventingv1alpha1.EventPolicySpecTo{{Ref: &eventingv1alpha1.EventPolicyToReference{APIVersion: "a/b/c"}}}
		})}, false, nil, ReasonPolicyInvalid},
		"features that cannot be read": {[]func(*Objects){func(o *Objects) {
			o.Unread[Reference{kindConfigMap, types.NamespacedName{Namespace: system, Name: "config-features"}}] = errors.New("forbidden")
		}}, false, nil, ReasonFeaturesUnread},
	} {
		t.Run(name, func(t *testing.T) {
			m := maker{standard: standard, receives: true}
			b := m.make(objects(test.changes...)).Brokers[0]
			if want := "eventing.knative.dev/broker/shop/default"; test.open != (b.Access.Audience == "") || !test.open && b.Access.Audience != want {
				t.Errorf("got audience %q, want none: %t", b.Access.Audience, test.open)
			}
			e := event.New()
			e.SetType("order")
			e.SetID("1")
			e.SetSource("/shop")
			var allowed []string
			for _, subject := range []string{orders, others, foreign} {
				if b.Access.Allows(subject, e) {
					allowed = append(allowed, subject)
					if !b.Access.Knows(subject) {
						t.Errorf("%s may send, and is not known", subject)
					}
				}
			}
			if !slices.Equal(allowed, test.allowed) {
				t.Errorf("%v may send, want %v", allowed, test.allowed)
			}
			if (b.Problem == nil) != (test.reason == "") || b.Problem != nil && b.Problem.Reason != test.reason {
				t.Errorf("got %+v, want %q", b.Problem, test.reason)
			}
		})
	}
}

// While features cannot be read those count that were known.
func TestFeaturesAreRemembered(t *testing.T) {
	m := maker{standard: standard, receives: true}
	m.make(objects(features(map[string]string{"authentication-oidc": "enabled"})))
	b := m.make(objects(func(o *Objects) {
		o.Unread[Reference{kindConfigMap, types.NamespacedName{Namespace: system, Name: "config-features"}}] = errors.New("away")
	})).Brokers[0]
	if b.Access.Audience == "" || len(b.Access.Grants) != 1 || b.Problem != nil {
		t.Errorf("got %+v and %+v, want what counted before", b.Access, b.Problem)
	}
}
