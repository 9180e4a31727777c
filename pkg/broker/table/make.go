package table

import (
	"cmp"
	"crypto/x509"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	eventingduckv1 "knative.dev/eventing/pkg/apis/duck/v1"
	eventingv1 "knative.dev/eventing/pkg/apis/eventing/v1"
	"knative.dev/eventing/pkg/apis/feature"
	policylisters "knative.dev/eventing/pkg/client/listers/eventing/v1alpha1"
	"knative.dev/eventing/pkg/eventingtls"
	"knative.dev/pkg/apis"
	duckv1 "knative.dev/pkg/apis/duck/v1"

	"github.com/eventing-eventmesh/eventing-eventmesh/pkg/broker"
	"github.com/eventing-eventmesh/eventing-eventmesh/pkg/broker/filter"
	"github.com/eventing-eventmesh/eventing-eventmesh/pkg/dispatch"
)

// Reasons of problems.
const (
	ReasonConfigUnsupported    = "ConfigUnsupported"
	ReasonConfigNotFound       = "ConfigNotFound"
	ReasonConfigInvalid        = "ConfigInvalid"
	ReasonCredentialsNotFound  = "CredentialsNotFound"
	ReasonTopicIsImmutable     = "TopicIsImmutable"
	ReasonFeaturesUnread       = "FeaturesUnread"
	ReasonPolicyInvalid        = "EventPolicyInvalid"
	ReasonFilterInvalid        = "FilterInvalid"
	ReasonDeliveryInvalid      = "DeliveryInvalid"
	ReasonAnnotationInvalid    = "AnnotationInvalid"
	ReasonSubscriberUnresolved = "SubscriberUnresolved"
)

// What an annotation says becomes of events that find a Trigger full.
const (
	overflowWait       = "wait"
	overflowDeadLetter = "dead-letter"
)

// mostInFlight is what a Trigger may have under way at once: more would take what is there for others.
const mostInFlight = 1000

// maker makes tables. It remembers what the one before says of each Broker, for those whose configuration is gone since.
type maker struct {
	// standard is the ConfigMap of Brokers that name none.
	standard types.NamespacedName
	before   map[string]*Broker // by UID
	// receives says that it is of interest who may send.
	receives bool
	// features are those of Knative Eventing, as featuresOf has them; nil: they are not known.
	features   feature.Flags
	featuresOf map[string]string
	policies   policylisters.EventPolicyLister
	// filters are those of the Triggers and policies of the last table, by UID, and filtersBefore of the one before it.
	filters, filtersBefore map[string]built
	// asked are the ConfigMaps and Secrets that the last table needs.
	asked []Reference
}

// built is the filter of a generation of a Trigger or a policy.
type built struct {
	generation int64
	filter     filter.Filter
	err        error
}

// make makes a table.
func (m *maker) make(o Objects) *Table {
	m.asked, m.filtersBefore, m.filters = nil, m.filters, map[string]built{}
	if m.receives {
		m.readFeatures(&o)
		m.policies = listPolicies(&o)
	}
	t, next := &Table{Objects: o, Features: m.features, Trust: m.trust(&o)}, map[string]*Broker{}
	byName := map[types.NamespacedName]*eventingv1.Broker{}
	for _, object := range o.Brokers {
		if object.Annotations[eventingv1.BrokerClassAnnotationKey] != Class || object.DeletionTimestamp != nil {
			continue
		}
		b := m.broker(&o, object)
		if m.receives {
			var problem *Problem
			b.Access, problem = m.access(object.ObjectMeta)
			b.Problem = cmp.Or(b.Problem, problem)
		}
		t.Brokers = append(t.Brokers, b)
		next[b.UID], byName[types.NamespacedName{Namespace: b.Namespace, Name: b.Name}] = b, object
	}
	for _, object := range o.Triggers {
		of := byName[types.NamespacedName{Namespace: object.Namespace, Name: object.Spec.Broker}]
		if of == nil || object.DeletionTimestamp != nil {
			continue
		}
		b := next[string(of.UID)]
		b.Triggers = append(b.Triggers, m.trigger(object, of))
	}
	m.before = next
	return t
}

// trust joins the trust bundles of Knative Eventing, as far as they have certificates.
func (m *maker) trust(o *Objects) string {
	var all []string
	for name, object := range o.ConfigMaps {
		if name.Namespace != m.standard.Namespace || object.Labels[eventingtls.TrustBundleLabelKey] != eventingtls.TrustBundleLabelValue {
			continue
		}
		for _, certificates := range object.Data {
			if x509.NewCertPool().AppendCertsFromPEM([]byte(certificates)) {
				all = append(all, certificates)
			}
		}
	}
	slices.Sort(all)
	return strings.Join(all, "\n")
}

// broker is a Broker without its Triggers.
func (m *maker) broker(o *Objects, object *eventingv1.Broker) *Broker {
	b := &Broker{
		Namespace: object.Namespace, Name: object.Name, UID: string(object.UID), Generation: object.Generation,
		Group: broker.GroupOf(string(object.UID)),
	}
	if a := object.Status.Address; a != nil {
		b.Address = endpoint(a.URL, a.CACerts, a.Audience)
	}
	config, name, problem := m.config(o, object)
	if problem == nil {
		b.Mesh, problem = m.mesh(o, config, name)
	}
	before := m.before[b.UID]
	if problem != nil && before != nil {
		b.Mesh, b.Topic = before.Mesh, before.Topic
	}
	b.Problem = problem
	if problem != nil {
		return b
	}
	b.Topic = config.TopicOf(b.Namespace, b.Name, b.UID)
	if has := topicOf(object, before); has != "" && has != b.Topic {
		b.Problem = &Problem{ReasonTopicIsImmutable, fmt.Sprintf("the Broker has topic %s for good, and %s names %s: change it back, or create another Broker", has, name, b.Topic)}
		b.Topic = has
	}
	return b
}

// topicOf returns the topic that a Broker has already, if any.
func topicOf(object *eventingv1.Broker, before *Broker) string {
	if before != nil && before.Topic != "" {
		return before.Topic
	}
	return object.Status.Annotations[TopicAnnotation]
}

// config returns the configuration of a Broker, with the ConfigMap that it is from.
func (m *maker) config(o *Objects, object *eventingv1.Broker) (c broker.Config, name types.NamespacedName, problem *Problem) {
	name = m.standard
	if ref := object.Spec.Config; ref != nil {
		if ref.Kind != kindConfigMap || ref.APIVersion != "v1" {
			return c, name, &Problem{ReasonConfigUnsupported, fmt.Sprintf("spec.config is a %s of %s: want a ConfigMap of v1", ref.Kind, ref.APIVersion)}
		}
		name = types.NamespacedName{Namespace: cmp.Or(ref.Namespace, object.Namespace), Name: ref.Name}
		if name.Namespace != object.Namespace && name.Namespace != m.standard.Namespace { // or a tenant would have the credentials and topics of another
			return c, name, &Problem{ReasonConfigUnsupported, fmt.Sprintf("spec.config is in namespace %s: want a ConfigMap of the Broker's own, or of %s", name.Namespace, m.standard.Namespace)}
		}
	}
	c, problem = m.parse(o, name)
	if problem == nil && c == (broker.Config{}) && name != m.standard { // the template of a channel, from Knative's own defaults
		name = m.standard
		c, problem = m.parse(o, name)
	}
	if problem == nil && c == (broker.Config{}) {
		problem = &Problem{ReasonConfigInvalid, fmt.Sprintf("ConfigMap %s: %v", name, broker.ErrNoConfig)}
	}
	return c, name, problem
}

// parse reads a ConfigMap. That it is the template of a channel is the zero value.
func (m *maker) parse(o *Objects, name types.NamespacedName) (broker.Config, *Problem) {
	m.asked = append(m.asked, Reference{kindConfigMap, name})
	object, err := o.configMap(name)
	if err != nil {
		return broker.Config{}, &Problem{ReasonConfigNotFound, fmt.Sprintf("ConfigMap %s: %v", name, err)}
	}
	c, err := broker.ParseConfig(object.Data)
	if err != nil && !errors.Is(err, broker.ErrNoConfig) {
		return broker.Config{}, &Problem{ReasonConfigInvalid, fmt.Sprintf("ConfigMap %s: %v", name, err)}
	}
	return c, nil
}

// mesh is where a configuration leads. Credentials are next to the ConfigMap.
func (m *maker) mesh(o *Objects, c broker.Config, of types.NamespacedName) (Mesh, *Problem) {
	mesh := Mesh{URL: c.URL, CA: c.CA}
	if c.Credentials == "" {
		return mesh, nil
	}
	name := types.NamespacedName{Namespace: of.Namespace, Name: c.Credentials}
	m.asked = append(m.asked, Reference{kindSecret, name})
	secret, err := o.secret(name)
	if err != nil {
		return Mesh{}, &Problem{ReasonCredentialsNotFound, fmt.Sprintf("Secret %s, which ConfigMap %s names: %v", name, of, err)}
	}
	mesh.Username, mesh.Password = string(secret.Data["username"]), string(secret.Data["password"])
	mesh.Token = strings.TrimSpace(string(secret.Data["token"]))
	if mesh.Token == "" && (mesh.Username == "" || mesh.Password == "") {
		return Mesh{}, &Problem{ReasonCredentialsNotFound, fmt.Sprintf("Secret %s: want the keys username and password, or for http and https token", name)}
	}
	return mesh, nil
}

// trigger is a Trigger of a Broker.
func (m *maker) trigger(object *eventingv1.Trigger, of *eventingv1.Broker) Trigger {
	t := Trigger{
		Namespace: object.Namespace, Name: object.Name, UID: string(object.UID), Generation: object.Generation,
		Subscriber:     endpoint(object.Status.SubscriberURI, object.Status.SubscriberCACerts, object.Status.SubscriberAudience),
		DeadLetterSink: deadLetterSink(&object.Status.DeliveryStatus), ServiceAccount: serviceAccount(object.Status.Auth),
	}
	if t.Subscriber.URL == "" {
		t.Problem = &Problem{ReasonSubscriberUnresolved, "the address of the subscriber is not known"}
	}
	if err := t.annotate(object.Annotations); err != nil {
		t.Problem = &Problem{ReasonAnnotationInvalid, err.Error()}
	}
	var err error
	if t.Delivery, err = broker.DeliveryOf(object.Spec.Delivery, of.Spec.Delivery); err != nil {
		t.Problem, t.Subscriber = &Problem{ReasonDeliveryInvalid, "spec.delivery." + err.Error()}, Endpoint{}
	}
	if t.Filter, err = m.filter(object.ObjectMeta, &object.Spec); err != nil {
		t.Problem = &Problem{ReasonFilterInvalid, "spec." + err.Error()}
	}
	return t
}

// filter returns that of an object: the one before where the object is the same, so that expressions are parsed once.
func (m *maker) filter(object metav1.ObjectMeta, spec *eventingv1.TriggerSpec) (filter.Filter, error) {
	uid := string(object.UID)
	f, known := m.filtersBefore[uid]
	if !known || f.generation != object.Generation || f.generation == 0 {
		f.generation = object.Generation
		f.filter, f.err = filter.New(spec)
	}
	m.filters[uid] = f
	return f.filter, f.err
}

// annotate reads what annotations say. What they say wrongly is as if they did not say it.
func (t *Trigger) annotate(annotations map[string]string) error {
	if text, ok := annotations[OrderingAnnotation]; ok {
		if err := t.Ordering.UnmarshalText([]byte(text)); err != nil {
			t.Ordering = dispatch.Unordered
			return fmt.Errorf("annotation %s: %w", OrderingAnnotation, err)
		}
	}
	if text, ok := annotations[MaxInFlightAnnotation]; ok {
		n, err := strconv.Atoi(text)
		if err != nil || n < 1 || n > mostInFlight {
			return fmt.Errorf("annotation %s: %q is no number of 1 to %d", MaxInFlightAnnotation, text, mostInFlight)
		}
		t.MaxInFlight = n
	}
	if text, ok := annotations[OverflowAnnotation]; ok {
		t.Overflow = text == overflowDeadLetter
		switch {
		case !t.Overflow && text != overflowWait:
			return fmt.Errorf("annotation %s: %q is neither %s nor %s", OverflowAnnotation, text, overflowWait, overflowDeadLetter)
		case t.Overflow && t.Subscriber.URL != "" && t.DeadLetterSink.URL == "": // both are resolved together
			return fmt.Errorf("annotation %s: there is no dead letter sink, so that events wait: name one in spec.delivery of the Trigger or the Broker, or say %s", OverflowAnnotation, overflowWait)
		}
	}
	return nil
}

func endpoint(u *apis.URL, caCerts, audience *string) (e Endpoint) {
	if u != nil {
		e.URL = u.String()
	}
	if caCerts != nil {
		e.CACerts = *caCerts
	}
	if audience != nil {
		e.Audience = *audience
	}
	return e
}

func deadLetterSink(s *eventingduckv1.DeliveryStatus) Endpoint {
	return endpoint(s.DeadLetterSinkURI, s.DeadLetterSinkCACerts, s.DeadLetterSinkAudience)
}

func serviceAccount(s *duckv1.AuthStatus) string {
	if s == nil || s.ServiceAccountName == nil {
		return ""
	}
	return *s.ServiceAccountName
}
