package adapter

import (
	"context"
	"errors"
	"strings"
	"testing"

	"go.opentelemetry.io/otel"
	framework "knative.dev/eventing/pkg/adapter/v2"
	kubeclient "knative.dev/pkg/client/injection/kube/client"
	"knative.dev/pkg/observability/metrics"
)

func TestCheckFramework(t *testing.T) {
	const telemetry = "K_OBSERVABILITY_CONFIG"
	tests := []struct {
		name      string
		overrides string
		telemetry string
		want      string
	}{
		{"defaults", "", "{}", ""},
		{"all set", `{"extensions":{"a":"1"}}`, `{"metrics":{"protocol":"prometheus"},"tracing":{"protocol":"none"}}`, ""},
		{"overrides", "{", "{}", "K_CE_OVERRIDES: want JSON such as"},
		{"overrides of another shape", `{"extensions":{"a":12345}}`, "{}", "K_CE_OVERRIDES: want JSON such as"},
		{"telemetry no JSON", "", "{", telemetry + ": want JSON such as"},
		{"metrics", "", `{"metrics":{"protocol":"smoke signs"}}`, telemetry + ": "},
		{"tracing", "", `{"tracing":{"protocol":"smoke signs"}}`, telemetry + ": "},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			err := checkFramework(&framework.EnvConfig{CEOverrides: test.overrides, ObservabilityConfigJson: test.telemetry})
			if test.want == "" && err != nil || test.want != "" && (err == nil || !strings.HasPrefix(err.Error(), test.want)) {
				t.Errorf("got %v, want %q", err, test.want)
			}
			if err != nil && strings.Contains(err.Error(), "12345") {
				t.Errorf("%q holds a value", err)
			}
		})
	}
}

func TestKubeClientOutsideACluster(t *testing.T) {
	t.Setenv("KUBERNETES_SERVICE_HOST", "")
	ctx, err := withKubeClient(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	if ctx.Value(kubeclient.Key{}) == nil {
		t.Error("no client in the context, without which Knative's framework panics")
	}
}

// provider is a provider of meters that fails at its end.
type provider struct {
	*metrics.MeterProvider
	err   error
	ended int
}

func (p *provider) Shutdown(ctx context.Context) error {
	p.ended++
	if _, bounded := ctx.Deadline(); !bounded {
		return errors.New("the end has no deadline")
	}
	return p.err
}

func TestFlush(t *testing.T) {
	before := otel.GetMeterProvider()
	t.Cleanup(func() { otel.SetMeterProvider(before) })
	none, err := metrics.NewMeterProvider(t.Context(), metrics.Config{Protocol: metrics.ProtocolNone})
	if err != nil {
		t.Fatal(err)
	}
	p := &provider{MeterProvider: none, err: errors.New("collector away")}
	otel.SetMeterProvider(p)
	if err := flush(); !errors.Is(err, p.err) || p.ended != 1 {
		t.Errorf("got %v after %d shutdowns, want the provider's error after 1", err, p.ended)
	}
}
