package controller

import (
	"context"
	"fmt"

	eventingduckv1 "knative.dev/eventing/pkg/apis/duck/v1"
	eventingv1 "knative.dev/eventing/pkg/apis/eventing/v1"
	"knative.dev/eventing/pkg/apis/feature"
	"knative.dev/eventing/pkg/auth"
	brokerreconciler "knative.dev/eventing/pkg/client/injection/reconciler/eventing/v1/broker"
	policylisters "knative.dev/eventing/pkg/client/listers/eventing/v1alpha1"
	"knative.dev/pkg/apis"
	duckv1 "knative.dev/pkg/apis/duck/v1"
	"knative.dev/pkg/network"
	pkgreconciler "knative.dev/pkg/reconciler"
	"knative.dev/pkg/resolver"
	"knative.dev/pkg/system"

	"github.com/eventing-eventmesh/eventing-eventmesh/pkg/broker/table"
)

// Conditions of a Broker besides those that Knative names.
const (
	conditionConfig     apis.ConditionType = "ConfigResolved"
	conditionDispatcher apis.ConditionType = "DispatcherReady"
)

// brokerConditions are those that make a Broker of this class ready.
var brokerConditions = apis.NewLivingConditionSet(
	conditionConfig, eventingv1.BrokerConditionIngress, conditionDispatcher, eventingv1.BrokerConditionAddressable,
	eventingv1.BrokerConditionDeadLetterSinkResolved, eventingv1.BrokerConditionEventPoliciesReady,
)

var brokerKind = eventingv1.SchemeGroupVersion.WithKind("Broker")

// brokers reconciles Brokers.
type brokers struct {
	pods     *pods
	policies policylisters.EventPolicyLister
	resolver *resolver.URIResolver
}

var _ brokerreconciler.Interface = (*brokers)(nil)

// ReconcileKind implements Knative's generated reconciler.
func (r *brokers) ReconcileKind(ctx context.Context, b *eventingv1.Broker) pkgreconciler.Event {
	manager := brokerConditions.Manage(&b.Status)
	if err := r.resolveDeadLetterSink(ctx, b); err != nil {
		return err
	}
	flags := feature.FromContext(ctx)
	if err := auth.UpdateStatusWithEventPolicies(flags, &b.Status.AppliedEventPoliciesStatus, &b.Status, r.policies, brokerKind, b.ObjectMeta); err != nil {
		return fmt.Errorf("asking for event policies: %w", err)
	}
	ingress, dispatcher, topic := r.pods.verdicts(b)
	config := verdict{}
	for _, v := range []*verdict{&ingress, &dispatcher} {
		switch {
		case ofConfig(v.Reason):
			config = *v
			*v = verdict{}
		case v.wait && config.ok() && !b.Status.GetCondition(conditionConfig).IsTrue():
			config = *v
		}
	}
	secure := r.pods.https()
	if wantsHTTPS(flags) && secure.missing && ingress.ok() {
		ingress = verdict{Problem: table.Problem{Reason: "NoCertificate", Message: fmt.Sprintf(
			"%s is %s, and the ingress has no certificate: see config/broker-tls", feature.TransportEncryption, flags[feature.TransportEncryption])}}
	}
	mark(manager, conditionConfig, config)
	mark(manager, eventingv1.BrokerConditionIngress, ingress)
	mark(manager, conditionDispatcher, dispatcher)
	if topic != "" {
		if b.Status.Annotations == nil {
			b.Status.Annotations = map[string]string{}
		}
		b.Status.Annotations[table.TopicAnnotation] = topic
	}
	setAddresses(b, flags, secure)
	return nil
}

// verdicts tells whether a Broker is served by the pods of each role, after what its status says that they did.
func (p *pods) verdicts(b *eventingv1.Broker) (ingress, dispatcher verdict, topic string) {
	was := func(c apis.ConditionType) bool { return b.Status.GetCondition(c).IsTrue() }
	ingress, topic = p.broker(roleIngress, string(b.UID), b.Generation, was(eventingv1.BrokerConditionIngress))
	dispatcher, _ = p.broker(roleDispatcher, string(b.UID), b.Generation, was(conditionDispatcher))
	return ingress, dispatcher, topic
}

func wantsHTTPS(flags feature.Flags) bool {
	return flags.IsStrictTransportEncryption() || flags.IsPermissiveTransportEncryption()
}

// setAddresses says where events come to a Broker: by HTTP, by HTTPS or by both, as the features of Knative have it. While nobody says whom to
// trust it is who was.
func setAddresses(b *eventingv1.Broker, flags feature.Flags, secure https) {
	var all []duckv1.Addressable
	if wantsHTTPS(flags) {
		a := address(b, flags, "https")
		if secure.caCerts != "" {
			a.CACerts = &secure.caCerts
		} else if before := b.Status.Addresses; len(before) > 0 && secure.unknown {
			a.CACerts = before[0].CACerts
		}
		all = append(all, a)
	}
	if !flags.IsStrictTransportEncryption() {
		all = append(all, address(b, flags, "http"))
	}
	b.Status.SetAddress(&all[len(all)-1])
	if wantsHTTPS(flags) {
		b.Status.Addresses = all
	}
}

func address(b *eventingv1.Broker, flags feature.Flags, scheme string) duckv1.Addressable {
	a := duckv1.Addressable{Name: &scheme, URL: &apis.URL{
		Scheme: scheme, Host: network.GetServiceHostname(roleIngress, system.Namespace()), Path: "/" + b.Namespace + "/" + b.Name,
	}}
	if flags.IsOIDCAuthentication() {
		audience := auth.GetAudience(brokerKind, b.ObjectMeta)
		a.Audience = &audience
	}
	return a
}

// resolveDeadLetterSink finds the address of that of a Broker. That it has none is no matter of its being ready.
func (r *brokers) resolveDeadLetterSink(ctx context.Context, b *eventingv1.Broker) error {
	if b.Spec.Delivery == nil || b.Spec.Delivery.DeadLetterSink == nil {
		b.Status.DeliveryStatus = eventingduckv1.DeliveryStatus{}
		b.Status.MarkDeadLetterSinkNotConfigured()
		return nil
	}
	to := *b.Spec.Delivery.DeadLetterSink.DeepCopy()
	to.SetDefaults(apis.WithinParent(ctx, b.ObjectMeta))
	found, err := r.resolver.AddressableFromDestinationV1(ctx, to, b)
	if err != nil {
		b.Status.DeliveryStatus = eventingduckv1.DeliveryStatus{}
		b.Status.MarkDeadLetterSinkResolvedFailed("DeadLetterSinkUnresolved", "spec.delivery.deadLetterSink: %v", err)
		return fmt.Errorf("resolving the dead letter sink: %w", err)
	}
	b.Status.DeliveryStatus = eventingduckv1.NewDeliveryStatusFromAddressable(found)
	b.Status.MarkDeadLetterSinkResolvedSucceeded(b.Status.DeliveryStatus)
	return nil
}

// mark writes a verdict into a condition.
func mark(m apis.ConditionManager, c apis.ConditionType, v verdict) {
	switch {
	case v.ok():
		m.MarkTrue(c)
	case v.wait:
		m.MarkUnknown(c, v.Reason, "%s", v.Message)
	default:
		m.MarkFalse(c, v.Reason, "%s", v.Message)
	}
}
