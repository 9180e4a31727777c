package controller

import (
	"context"
	"fmt"

	"go.uber.org/zap"
	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/client-go/kubernetes"
	corelisters "k8s.io/client-go/listers/core/v1"
	eventingduckv1 "knative.dev/eventing/pkg/apis/duck/v1"
	eventingv1 "knative.dev/eventing/pkg/apis/eventing/v1"
	"knative.dev/eventing/pkg/apis/feature"
	"knative.dev/eventing/pkg/auth"
	triggerreconciler "knative.dev/eventing/pkg/client/injection/reconciler/eventing/v1/trigger"
	eventinglisters "knative.dev/eventing/pkg/client/listers/eventing/v1"
	"knative.dev/eventing/pkg/duck"
	"knative.dev/pkg/apis"
	duckv1 "knative.dev/pkg/apis/duck/v1"
	"knative.dev/pkg/kmeta"
	"knative.dev/pkg/logging"
	pkgreconciler "knative.dev/pkg/reconciler"
	"knative.dev/pkg/resolver"

	"github.com/eventing-eventmesh/eventing-eventmesh/pkg/broker/dataplane"
	"github.com/eventing-eventmesh/eventing-eventmesh/pkg/broker/table"
)

// classAnnotation says, in the status of a Trigger, that its Broker is of this class: for when that is gone.
const classAnnotation = "eventmesh.eventing.knative.dev/class"

// triggers reconciles Triggers of Brokers of this class, and touches others only to forget what it has said of them.
type triggers struct {
	pods     *pods
	brokers  eventinglisters.BrokerLister
	resolver *resolver.URIResolver
	sources  duck.ListableTracker
	accounts corelisters.ServiceAccountLister
	client   kubernetes.Interface
}

var triggerKind = eventingv1.SchemeGroupVersion.WithKind("Trigger")

var _ triggerreconciler.Interface = (*triggers)(nil)

// brokerOf returns the Broker of a Trigger, if it is of this class, and otherwise whether there is one of another class.
func brokerOf(lister eventinglisters.BrokerLister, t *eventingv1.Trigger) (b *eventingv1.Broker, another bool) {
	b, err := lister.Brokers(t.Namespace).Get(t.Spec.Broker)
	if err != nil { // there is none: it is in memory
		return nil, false
	}
	if b.Annotations[eventingv1.BrokerClassAnnotationKey] != table.Class {
		return nil, true
	}
	return b, false
}

// wasOurs tells whether a Trigger had a Broker of this class when its status was written.
func wasOurs(t *eventingv1.Trigger) bool { return t.Status.Annotations[classAnnotation] == table.Class }

// ours tells whether an object is a Trigger of which there is something to say, or to take back.
func (r *triggers) ours(object any) bool {
	t, ok := object.(*eventingv1.Trigger)
	if !ok {
		return false
	}
	b, _ := brokerOf(r.brokers, t)
	return b != nil || wasOurs(t)
}

// accountOf tells whether an object is the service account of one of those Triggers.
func (r *triggers) accountOf(all eventinglisters.TriggerLister) func(object any) bool {
	return func(object any) bool {
		account, err := kmeta.DeletionHandlingAccessor(object)
		if err != nil {
			return false
		}
		owner := metav1.GetControllerOf(account)
		if owner == nil || schema.FromAPIVersionAndKind(owner.APIVersion, owner.Kind).GroupKind() != triggerKind.GroupKind() {
			return false
		}
		t, err := all.Triggers(account.GetNamespace()).Get(owner.Name)
		return err == nil && t.UID == owner.UID && r.ours(t)
	}
}

// ReconcileKind implements Knative's generated reconciler.
func (r *triggers) ReconcileKind(ctx context.Context, t *eventingv1.Trigger) pkgreconciler.Event {
	b, another := brokerOf(r.brokers, t)
	if b == nil {
		switch {
		case !wasOurs(t):
		case another: // whose controller begins anew
			t.Status = eventingv1.TriggerStatus{}
			t.Status.InitializeConditions()
		default:
			t.Status.MarkBrokerFailed("BrokerDoesNotExist", "Broker %q does not exist", t.Spec.Broker)
		}
		return nil
	}
	if t.Status.Annotations == nil {
		t.Status.Annotations = map[string]string{}
	}
	t.Status.Annotations[classAnnotation] = table.Class
	t.Status.PropagateBrokerCondition(b.Status.GetTopLevelCondition())
	if err := r.identify(ctx, t); err != nil {
		return fmt.Errorf("making the service account of the Trigger: %w", err)
	}
	if err := r.resolveSubscriber(ctx, t); err != nil {
		return err
	}
	if err := r.resolveDeadLetterSink(ctx, b, t); err != nil {
		return err
	}
	r.markSubscribed(b, t)
	return r.checkDependency(ctx, t)
}

// identify makes the service account of a Trigger whose events are sent with tokens, and deletes that of another. One that it may not delete
// any more is no concern of the Trigger.
func (r *triggers) identify(ctx context.Context, t *eventingv1.Trigger) error {
	features := feature.FromContext(ctx)
	set := func(a *duckv1.AuthStatus) { t.Status.Auth = a }
	err := auth.SetupOIDCServiceAccount(ctx, features, r.accounts, r.client, triggerKind, t.ObjectMeta, &t.Status, set)
	if features.IsOIDCAuthentication() || !apierrors.IsForbidden(err) {
		return err
	}
	logging.FromContext(ctx).Warnw("a service account that no Trigger needs stays: config/broker-oidc has the right to delete it", zap.Error(err))
	set(nil)
	t.Status.MarkOIDCIdentityCreatedSucceededWithReason("NotNeeded", "%s is off", feature.OIDCAuthentication)
	return nil
}

// wasSubscribed tells whether a Trigger was served in its present generation, as its status has it.
func wasSubscribed(t *eventingv1.Trigger) bool {
	return t.Status.ObservedGeneration == t.Generation && t.Status.GetCondition(eventingv1.TriggerConditionSubscribed).IsTrue()
}

// markSubscribed says whether the data plane delivers what comes from now on. A Trigger for which it keeps as much as it may is served, and
// says so.
func (r *triggers) markSubscribed(b *eventingv1.Broker, t *eventingv1.Trigger) {
	switch v := r.pods.trigger(string(b.UID), string(t.UID), t.Generation, wasSubscribed(t)); {
	case v.ok():
		t.Status.PropagateSubscriptionCondition(&apis.Condition{Type: apis.ConditionReady, Status: corev1.ConditionTrue})
	case v.Reason == dataplane.ReasonFull:
		t.GetConditionSet().Manage(&t.Status).MarkTrueWithReason(eventingv1.TriggerConditionSubscribed, v.Reason, "%s", v.Message)
	case v.wait:
		t.Status.MarkSubscribedUnknown(v.Reason, "%s", v.Message)
	default:
		t.Status.MarkNotSubscribed(v.Reason, "%s", v.Message)
	}
}

// resolveSubscriber finds the address of the subscriber.
func (r *triggers) resolveSubscriber(ctx context.Context, t *eventingv1.Trigger) error {
	found, err := r.resolve(ctx, &t.Spec.Subscriber, t)
	if err != nil {
		t.Status.SubscriberURI, t.Status.SubscriberCACerts, t.Status.SubscriberAudience = nil, nil, nil
		t.Status.MarkSubscriberResolvedFailed("SubscriberUnresolved", "spec.subscriber: %v", err)
		t.Status.MarkSubscribedUnknown("SubscriberUnresolved", "the address of the subscriber is not known")
		return fmt.Errorf("resolving the subscriber: %w", err)
	}
	t.Status.SubscriberURI, t.Status.SubscriberCACerts, t.Status.SubscriberAudience = found.URL, found.CACerts, found.Audience
	t.Status.MarkSubscriberResolvedSucceeded()
	return nil
}

// resolve finds the address of a destination, whose namespace is by default that of the Trigger.
func (r *triggers) resolve(ctx context.Context, to *duckv1.Destination, t *eventingv1.Trigger) (*duckv1.Addressable, error) {
	to = to.DeepCopy()
	to.SetDefaults(apis.WithinParent(ctx, t.ObjectMeta))
	return r.resolver.AddressableFromDestinationV1(ctx, *to, t)
}

// resolveDeadLetterSink finds the address of the Trigger's own dead letter sink, or takes that of the Broker.
func (r *triggers) resolveDeadLetterSink(ctx context.Context, b *eventingv1.Broker, t *eventingv1.Trigger) error {
	t.Status.DeliveryStatus = eventingduckv1.DeliveryStatus{}
	switch {
	case t.Spec.Delivery != nil && t.Spec.Delivery.DeadLetterSink != nil:
		found, err := r.resolve(ctx, t.Spec.Delivery.DeadLetterSink, t)
		if err != nil {
			t.Status.MarkDeadLetterSinkResolvedFailed("DeadLetterSinkUnresolved", "spec.delivery.deadLetterSink: %v", err)
			return fmt.Errorf("resolving the dead letter sink: %w", err)
		}
		t.Status.DeliveryStatus = eventingduckv1.NewDeliveryStatusFromAddressable(found)
		t.Status.MarkDeadLetterSinkResolvedSucceeded()
	case b.Spec.Delivery == nil || b.Spec.Delivery.DeadLetterSink == nil:
		t.Status.MarkDeadLetterSinkNotConfigured()
	case b.Status.DeadLetterSinkURI != nil:
		t.Status.DeliveryStatus = b.Status.DeliveryStatus
		t.Status.MarkDeadLetterSinkResolvedSucceeded()
	default: // it is told when the Broker changes
		t.Status.MarkDeadLetterSinkResolvedFailed("DeadLetterSinkUnresolved", "that of Broker %s is not resolved", b.Name)
	}
	return nil
}
