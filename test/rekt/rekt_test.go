//go:build e2e

package rekt

import (
	"context"
	"log"
	"os"
	"testing"
	"time"

	"k8s.io/apimachinery/pkg/runtime/schema"
	"knative.dev/eventing/test/rekt/features/authz"
	"knative.dev/eventing/test/rekt/features/broker"
	"knative.dev/eventing/test/rekt/features/new_trigger_filters"
	"knative.dev/eventing/test/rekt/features/oidc"
	"knative.dev/eventing/test/rekt/features/trigger"
	resources "knative.dev/eventing/test/rekt/resources/broker"
	"knative.dev/pkg/system"
	_ "knative.dev/pkg/system/testing"
	"knative.dev/reconciler-test/pkg/environment"
	"knative.dev/reconciler-test/pkg/feature"
	"knative.dev/reconciler-test/pkg/k8s"
	"knative.dev/reconciler-test/pkg/knative"
)

var global environment.GlobalEnvironment

func TestMain(m *testing.M) {
	if err := replaceChecks(context.Background()); err != nil {
		log.Fatal(err)
	}
	global = environment.NewStandardGlobalEnvironment()
	os.Exit(m.Run())
}

// stage returns a namespace of its own to test in.
func stage(t *testing.T) (context.Context, environment.Environment) {
	t.Helper()
	return patientStage(t, 4*time.Minute)
}

// patientStage returns one in which each step may take some time.
func patientStage(t *testing.T, patience time.Duration) (context.Context, environment.Environment) {
	t.Helper()
	return global.Environment(
		knative.WithKnativeNamespace(system.Namespace()), knative.WithLoggingConfig, knative.WithObservabilityConfig,
		k8s.WithEventListener, environment.Managed(t), environment.WithPollTimings(time.Second, patience),
	)
}

// Those that bring their own Brokers.
func TestFeatureSets(t *testing.T) {
	for name, set := range map[string]func() *feature.FeatureSet{
		"ManyTriggers":               broker.ManyTriggers,
		"Redelivery":                 broker.BrokerRedelivery,
		"DeadLetterSinkExtensions":   broker.BrokerDeadLetterSinkExtensions,
		"DeliverLongMessage":         broker.BrokerDeliverLongMessage,
		"DeliverLongResponseMessage": broker.BrokerDeliverLongResponseMessage,
		"WorkFlowWithTransformation": broker.BrokerWorkFlowWithTransformation,
		"TriggerDeliveryFormat":      trigger.TriggerSupportsDeliveryFormat,
		"TriggerDefaulting":          trigger.Defaulting,
	} {
		t.Run(name, func(t *testing.T) {
			ctx, env := stage(t)
			env.TestSet(ctx, t, set())
		})
	}
}

func TestFeatures(t *testing.T) {
	for name, one := range map[string]func() *feature.Feature{
		"PreferHeader":                broker.BrokerPreferHeaderCheck,
		"SourceToSinkWithDLQ":         broker.SourceToSinkWithDLQ,
		"SourceToTriggerSinkWithDLS":  trigger.SourceToTriggerSinkWithDLS,
		"DLSOfTheTriggerBeforeBroker": trigger.SourceToTriggerSinkWithDLSDontUseBrokers,
		"BadTrigger":                  trigger.BadTriggerDoesNotAffectOkTrigger,
		"DependencyAnnotation":        trigger.TriggerDependencyAnnotation,
	} {
		t.Run(name, func(t *testing.T) {
			ctx, env := stage(t)
			env.Test(ctx, t, one())
		})
	}
}

func TestConformance(t *testing.T) {
	t.Run("DataPlane", func(t *testing.T) {
		ctx, env := stage(t)
		env.Prerequisite(ctx, t, broker.GoesReady("default", resources.WithEnvConfig()...))
		env.TestSet(ctx, t, broker.DataPlaneConformance("default"))
	})
	t.Run("ControlPlane", func(t *testing.T) {
		ctx, env := stage(t)
		env.Prerequisite(ctx, t, broker.GoesReady("default", resources.WithEnvConfig()...))
		env.TestSet(ctx, t, broker.ControlPlaneConformance("default", resources.WithEnvConfig()...))
	})
	t.Run("SourceToSink", func(t *testing.T) {
		ctx, env := stage(t)
		env.Prerequisite(ctx, t, broker.GoesReady("default", resources.WithEnvConfig()...))
		env.Test(ctx, t, broker.SourceToSink("default"))
	})
}

func TestFilters(t *testing.T) {
	ctx, env := stage(t)
	env.TestSet(ctx, t, new_trigger_filters.NewFiltersFeatureSet(resources.InstallMTBrokerStepFn)) // of the class that BROKER_CLASS names
}

// Those of tokens and event policies, which are passed over where the features are off that they need.
func TestIdentity(t *testing.T) {
	for name, set := range map[string]func(gvr schema.GroupVersionResource, kind, name, namespace string) *feature.FeatureSet{
		"OIDC": oidc.AddressableOIDCConformance,
		"AuthZ": func(gvr schema.GroupVersionResource, kind, name, _ string) *feature.FeatureSet {
			return authz.AddressableAuthZConformance(gvr, kind, name)
		},
	} {
		t.Run(name, func(t *testing.T) {
			ctx, env := patientStage(t, 12*time.Minute) // no token expires before ten
			env.Prerequisite(ctx, t, broker.GoesReady("default", resources.WithEnvConfig()...))
			env.TestSet(ctx, t, set(resources.GVR(), "Broker", "default", env.Namespace()))
		})
	}
}
