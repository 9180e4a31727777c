package table

import (
	"fmt"
	"maps"
	"strings"

	"github.com/cloudevents/sdk-go/v2/event"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/client-go/tools/cache"
	eventingv1 "knative.dev/eventing/pkg/apis/eventing/v1"
	"knative.dev/eventing/pkg/apis/feature"
	"knative.dev/eventing/pkg/auth"
	policylisters "knative.dev/eventing/pkg/client/listers/eventing/v1alpha1"

	"github.com/eventing-eventmesh/eventing-eventmesh/pkg/broker/filter"
)

// Access says who may send events to a Broker. The zero value is everybody.
type Access struct {
	// Audience is for whom the token of a sender has to be; "": nobody needs one.
	Audience string
	// Grants say who may send what: an event is allowed if one of them allows it.
	Grants []Grant
}

// Grant allows subjects to send events.
type Grant struct {
	// Subjects are those of tokens. A * at the end stands for any rest.
	Subjects []string
	// Filter tells which events.
	Filter filter.Filter
}

// Knows tells whether there is an event that a subject may send.
func (a *Access) Knows(subject string) bool {
	for i := range a.Grants {
		if a.Grants[i].has(subject) {
			return true
		}
	}
	return false
}

// Allows tells whether a subject may send an event. A filter without an answer allows none.
func (a *Access) Allows(subject string, e event.Event) bool {
	for i := range a.Grants {
		if g := &a.Grants[i]; g.has(subject) {
			if matches, err := g.Filter.Match(e); err == nil && matches {
				return true
			}
		}
	}
	return false
}

// has compares as Knative does: whole subjects whatever their case.
func (g *Grant) has(subject string) bool {
	for _, pattern := range g.Subjects {
		if prefix, open := strings.CutSuffix(pattern, "*"); open && strings.HasPrefix(subject, prefix) || strings.EqualFold(pattern, subject) {
			return true
		}
	}
	return false
}

// featuresName is the ConfigMap that switches features of Knative Eventing, which is in its namespace.
const featuresName = "config-features"

var brokerKind = eventingv1.SchemeGroupVersion.WithKind("Broker")

// readFeatures reads the features of Knative Eventing. While they cannot be read those count that were known before.
func (m *maker) readFeatures(o *Objects) {
	name := Reference{kindConfigMap, types.NamespacedName{Namespace: m.standard.Namespace, Name: featuresName}}
	m.asked = append(m.asked, name)
	if o.Unread[name] != nil {
		return
	}
	var data map[string]string
	if object := o.ConfigMaps[name.NamespacedName]; object != nil {
		data = object.Data
	}
	if m.features == nil || !maps.Equal(data, m.featuresOf) {
		m.featuresOf = data
		m.features, _ = feature.NewFlagsConfigFromMap(data) // which returns no errors
	}
}

// access says who may send to a Broker, by the event policies for it, or by the default of the cluster where there are none. A policy that
// is not ready, or cannot be understood, allows nothing.
func (m *maker) access(object metav1.ObjectMeta) (a Access, problem *Problem) {
	if m.features == nil {
		a.Audience = auth.GetAudience(brokerKind, object)
		return a, &Problem{ReasonFeaturesUnread, fmt.Sprintf("ConfigMap %s/%s cannot be read, which says whether senders need tokens: nobody may send until it can", m.standard.Namespace, featuresName)}
	}
	if !m.features.IsOIDCAuthentication() {
		return a, nil
	}
	a.Audience = auth.GetAudience(brokerKind, object)
	found, err := auth.GetEventPoliciesForResource(m.policies, brokerKind, object)
	if err != nil {
		return a, &Problem{ReasonPolicyInvalid, fmt.Sprintf("event policies: %v", err)}
	}
	for _, p := range found {
		if !p.Status.IsReady() {
			continue
		}
		f, err := m.filter(p.ObjectMeta, &eventingv1.TriggerSpec{Filters: p.Spec.Filters})
		if err != nil {
			problem = &Problem{ReasonPolicyInvalid, fmt.Sprintf("event policy %s allows nothing: spec.%v", p.Name, err)}
			continue
		}
		a.Grants = append(a.Grants, Grant{p.Status.From, f})
	}
	switch {
	case len(found) > 0:
	case m.features.IsAuthorizationDefaultModeAllowAll():
		a.Grants = []Grant{{Subjects: []string{"*"}}}
	case m.features.IsAuthorizationDefaultModeSameNamespace():
		a.Grants = []Grant{{Subjects: []string{"system:serviceaccount:" + object.Namespace + ":*"}}}
	}
	return a, problem
}

// listPolicies makes what Knative's code asks for them.
func listPolicies(o *Objects) policylisters.EventPolicyLister {
	indexer := cache.NewIndexer(cache.MetaNamespaceKeyFunc, cache.Indexers{cache.NamespaceIndex: cache.MetaNamespaceIndexFunc})
	for _, p := range o.Policies {
		_ = indexer.Add(p) // which fails for what has no name alone
	}
	return policylisters.NewEventPolicyLister(indexer)
}
