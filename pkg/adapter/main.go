package adapter

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"os"
	"runtime"
	"strings"
	"sync/atomic"
	"time"

	cloudevents "github.com/cloudevents/sdk-go/v2"
	"go.opentelemetry.io/otel"
	"go.uber.org/zap"
	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/rest"
	framework "knative.dev/eventing/pkg/adapter/v2"
	"knative.dev/eventing/pkg/observability"
	kubeclient "knative.dev/pkg/client/injection/kube/client"
	"knative.dev/pkg/logging"
	"knative.dev/pkg/signals"

	"github.com/eventing-eventmesh/eventing-eventmesh/internal/version"
	"github.com/eventing-eventmesh/eventing-eventmesh/pkg/adapter/podevents"
)

const (
	// adapterMargin and endMargin are how long after SIGTERM, and after the time-out for a shutdown, an adapter and the framework may
	// take that do not keep to it, and the whole program.
	adapterMargin = 3 * time.Second
	endMargin     = 4500 * time.Millisecond
	// flushTimeout bounds what telemetry still has to say at the end.
	flushTimeout = 5 * time.Second
)

// Config is the configuration of an adapter.
type Config interface {
	framework.EnvConfigAccessor
	// ShutdownTimeout is how long the adapter may take to end.
	ShutdownTimeout() time.Duration
}

// Main runs an adapter until SIGTERM. Where the configuration is not valid it exits with code 1 and one sentence. Whatever hangs, it
// returns or exits within 5 seconds after the adapter's time-out.
func Main(component, purpose string, config Config, constructor framework.AdapterConstructor) {
	if version.Asked(os.Args[1:]) {
		fmt.Println(version.Line(component))
		return
	}
	stayInContainer()
	collectLess()
	flag.Usage = func() { fmt.Fprint(flag.CommandLine.Output(), Usage(component, purpose, config)) }
	flag.Bool("disable-ha", true, "for Knative's framework")
	flag.Parse()
	if err := errors.Join(Load(config), checkFramework(config)); err != nil {
		sentence, _, _ := strings.Cut(err.Error(), "\n")
		fmt.Fprintf(os.Stderr, "%s: %s\n", component, sentence)
		os.Exit(1)
	}
	config.SetComponent(component) // which the logger has in each line
	captureLogs(config.GetLogger())
	ctx := framework.WithHealthProbesDisabled(signals.NewContext()) // ours tell the truth, on a port of choice
	ctx, err := withKubeClient(ctx)
	if err != nil {
		fmt.Fprintf(os.Stderr, "%s: %v\n", component, err)
		os.Exit(1)
	}
	var logger atomic.Pointer[zap.SugaredLogger]
	logger.Store(logging.FromContext(ctx))
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		framework.MainWithEnv(ctx, component, config, func(ctx context.Context, env framework.EnvConfigAccessor, client cloudevents.Client) framework.Adapter {
			logger.Store(logging.FromContext(ctx))
			logger.Load().Infow("starting", "version", version.Of(), "go", runtime.Version())
			return constructor(ctx, env, client)
		})
	}()
	code := 0
	overdue, last := after(ctx, config.ShutdownTimeout()+adapterMargin), after(ctx, config.ShutdownTimeout()+endMargin)
	select {
	case <-ended:
	case <-overdue:
		code = 1
		logger.Load().Error("the program does not end in time, and is cut off")
	}
	flushed := make(chan error, 1)
	go func() { flushed <- flush() }()
	select {
	case err := <-flushed:
		if err != nil {
			logger.Load().Warnw("telemetry is lost", zap.Error(err))
		}
	case <-last:
		logger.Load().Warn("telemetry is lost: nobody accepts it")
	}
	os.Exit(code)
}

// after is closed so long after the end of a context.
func after(ctx context.Context, d time.Duration) <-chan struct{} {
	closed := make(chan struct{})
	context.AfterFunc(ctx, func() {
		time.AfterFunc(d, func() { close(closed) })
	})
	return closed
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

// withKubeClient gives the framework the client that it insists on. Without a token of Kubernetes it is one that fails when it is used.
// Of ours, only what records Events of the pod uses it, where there is a token.
func withKubeClient(ctx context.Context) (context.Context, error) {
	cfg, missing := rest.InClusterConfig()
	if missing != nil {
		cfg = &rest.Config{}
	}
	client, err := kubernetes.NewForConfig(cfg)
	if err != nil {
		return ctx, fmt.Errorf("creating Kubernetes client: %w", err)
	}
	if missing == nil {
		ctx = podevents.WithClient(ctx, client.CoreV1())
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
