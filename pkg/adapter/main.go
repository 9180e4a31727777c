package adapter

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"os"
	"strings"
	"time"

	"go.opentelemetry.io/otel"
	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/rest"
	framework "knative.dev/eventing/pkg/adapter/v2"
	"knative.dev/eventing/pkg/observability"
	kubeclient "knative.dev/pkg/client/injection/kube/client"
	"knative.dev/pkg/signals"
)

// flushTimeout bounds what telemetry still has to say at the end.
const flushTimeout = 5 * time.Second

// Main runs an adapter until SIGTERM. Where the configuration is not valid it exits with code 1 and one sentence.
func Main(component, purpose string, config framework.EnvConfigAccessor, constructor framework.AdapterConstructor) {
	collectLess()
	flag.Usage = func() { fmt.Fprint(flag.CommandLine.Output(), Usage(component, purpose, config)) }
	flag.Bool("disable-ha", true, "for Knative's framework")
	flag.Parse()
	if err := errors.Join(Load(config), checkFramework(config)); err != nil {
		sentence, _, _ := strings.Cut(err.Error(), "\n")
		fmt.Fprintf(os.Stderr, "%s: %s\n", component, sentence)
		os.Exit(1)
	}
	ctx := framework.WithHealthProbesDisabled(signals.NewContext()) // ours tell the truth, on a port of choice
	ctx, err := withKubeClient(ctx)
	if err != nil {
		fmt.Fprintf(os.Stderr, "%s: %v\n", component, err)
		os.Exit(1)
	}
	framework.MainWithEnv(ctx, component, config, constructor)
	if err := flush(); err != nil {
		fmt.Fprintf(os.Stderr, "%s: flushing telemetry: %v\n", component, err)
	}
}

// checkFramework finds the values of the framework's variables that it would end with a stack trace for.
func checkFramework(config framework.EnvConfigAccessor) error {
	if _, err := config.GetCloudEventOverrides(); err != nil {
		return errors.New(`K_CE_OVERRIDES: want JSON such as {"extensions":{"name":"value"}}`) // the other error may quote values
	}
	telemetry, err := config.GetObservabilityConfig()
	if err != nil {
		return fmt.Errorf(`K_OBSERVABILITY_CONFIG: want JSON such as {"metrics":{"protocol":"prometheus"}}: %w`, err)
	}
	telemetry = observability.MergeWithDefaults(telemetry)
	for _, part := range []interface{ Validate() error }{&telemetry.Metrics, &telemetry.Runtime, &telemetry.Tracing} {
		if err := part.Validate(); err != nil {
			return fmt.Errorf("K_OBSERVABILITY_CONFIG: %w", err)
		}
	}
	return nil
}

// withKubeClient gives the framework the client that it insists on. Outside a cluster it is one that fails when it is used,
// and nothing of ours uses it.
func withKubeClient(ctx context.Context) (context.Context, error) {
	cfg, err := rest.InClusterConfig()
	if err != nil {
		cfg = &rest.Config{}
	}
	client, err := kubernetes.NewForConfig(cfg)
	if err != nil {
		return ctx, fmt.Errorf("creating Kubernetes client: %w", err)
	}
	return context.WithValue(ctx, kubeclient.Key{}, client), nil
}

// flush sends what the telemetry providers still hold: the framework leaves them running.
func flush() error {
	ctx, cancel := context.WithTimeout(context.Background(), flushTimeout)
	defer cancel()
	var errs []error
	for _, provider := range []any{otel.GetMeterProvider(), otel.GetTracerProvider()} {
		if p, ok := provider.(interface{ Shutdown(context.Context) error }); ok {
			errs = append(errs, p.Shutdown(ctx))
		}
	}
	return errors.Join(errs...)
}
