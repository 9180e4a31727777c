// Package monitoring checks that what a program exports is what docs/operations.md documents, and what test/monitoring lists: there
// Prometheus' own parser, which has no place among the modules of the programs, checks the queries of config/monitoring.
package monitoring

import (
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/prometheus/client_golang/prometheus"
	dto "github.com/prometheus/client_model/go"
	"github.com/prometheus/otlptranslator"
	otelprom "go.opentelemetry.io/otel/exporters/prometheus"
	"go.opentelemetry.io/otel/metric"
	sdk "go.opentelemetry.io/otel/sdk/metric"
)

// family is what Prometheus gets to see of a metric.
type family struct {
	kind   string
	labels map[string]bool
}

// Check exports the metrics of a program, and compares them with the documents and the list. measure makes a metric of each kind, with
// each of its labels, with the provider.
func Check(t *testing.T, program string, measure func(metric.MeterProvider)) {
	t.Helper()
	exported := export(t, measure)
	if differs := compare(t, program, exported); differs != "" {
		t.Error(differs)
	}
	checkDocumentation(t, program, exported)
}

// compare compares what a program exports with the list.
func compare(t *testing.T, program string, exported map[string]family) (differs string) {
	t.Helper()
	var got strings.Builder
	for _, name := range slices.Sorted(maps.Keys(exported)) {
		f := exported[name]
		fmt.Fprintln(&got, strings.Join(append([]string{name, f.kind}, slices.Sorted(maps.Keys(f.labels))...), " "))
	}
	list := filepath.Join("test/monitoring/testdata", program+".txt")
	if got.String() == string(readFile(t, list)) {
		return ""
	}
	return fmt.Sprintf("what is exported is not what %s lists:\n%s", list, got.String())
}

// export exports metrics as Knative's framework does, but for the labels of OpenTelemetry's scopes, which nobody asks for.
func export(t *testing.T, measure func(metric.MeterProvider)) map[string]family {
	t.Helper()
	registry := prometheus.NewRegistry()
	exporter, err := otelprom.New(otelprom.WithRegisterer(registry),
		otelprom.WithTranslationStrategy(otlptranslator.UnderscoreEscapingWithSuffixes), otelprom.WithoutTargetInfo(), otelprom.WithoutScopeInfo())
	if err != nil {
		t.Fatal(err)
	}
	measure(sdk.NewMeterProvider(sdk.WithReader(exporter)))
	gathered, err := registry.Gather()
	if err != nil {
		t.Fatal(err)
	}
	families := map[string]family{}
	for _, one := range gathered {
		families[one.GetName()] = familyOf(one)
	}
	return families
}

func familyOf(one *dto.MetricFamily) family {
	f := family{strings.ToLower(one.GetType().String()), map[string]bool{}}
	for _, series := range one.GetMetric() {
		for _, label := range series.GetLabel() {
			if !strings.HasPrefix(label.GetName(), "otel_scope_") {
				f.labels[label.GetName()] = true
			}
		}
	}
	return f
}

const manifests = "config/monitoring"

// root returns the directory of the module.
func root(t *testing.T) string {
	t.Helper()
	dir, err := os.Getwd()
	if err != nil {
		t.Fatal(err)
	}
	for {
		if _, err := os.Stat(filepath.Join(dir, "go.mod")); err == nil {
			return dir
		}
		if dir == filepath.Dir(dir) {
			t.Fatal("there is no go.mod")
		}
		dir = filepath.Dir(dir)
	}
}

func readFile(t *testing.T, path ...string) []byte {
	t.Helper()
	text, err := os.ReadFile(filepath.Join(append([]string{root(t)}, path...)...))
	if err != nil {
		t.Fatal(err)
	}
	return text
}
