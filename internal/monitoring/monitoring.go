// Package monitoring checks that config/monitoring and the documents name only metrics that exist, and all of them.
//
// Each program's tests export its metrics with [Export], and check what there is for it.
package monitoring

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"testing"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/otlptranslator"
	otelprom "go.opentelemetry.io/otel/exporters/prometheus"
	"go.opentelemetry.io/otel/metric"
	sdk "go.opentelemetry.io/otel/sdk/metric"
)

// Exported is what Prometheus gets to see of a program.
type Exported struct {
	// Families are the names of the metrics, Samples those that a query can name, Labels those of any of them.
	Families, Samples, Labels map[string]bool
}

// Export exports metrics as Knative's framework does. measure makes a metric of each kind with the provider.
func Export(t *testing.T, measure func(metric.MeterProvider)) Exported {
	t.Helper()
	registry := prometheus.NewRegistry()
	exporter, err := otelprom.New(otelprom.WithRegisterer(registry),
		otelprom.WithTranslationStrategy(otlptranslator.UnderscoreEscapingWithSuffixes), otelprom.WithoutTargetInfo())
	if err != nil {
		t.Fatal(err)
	}
	measure(sdk.NewMeterProvider(sdk.WithReader(exporter)))
	families, err := registry.Gather()
	if err != nil {
		t.Fatal(err)
	}
	all := Exported{Families: map[string]bool{}, Samples: map[string]bool{}, Labels: map[string]bool{}}
	for _, label := range []string{"namespace", "pod", "le"} { // of the scrape, and of histograms
		all.Labels[label] = true
	}
	for _, family := range families {
		name := family.GetName()
		all.Families[name] = true
		for _, one := range family.GetMetric() {
			for _, label := range one.GetLabel() {
				all.Labels[label.GetName()] = true
			}
			if one.GetHistogram() == nil {
				all.Samples[name] = true
				continue
			}
			for _, suffix := range []string{"_bucket", "_sum", "_count"} {
				all.Samples[name+suffix] = true
			}
		}
	}
	return all
}

// Check tells what a PromQL expression names that does not exist.
func (e Exported) Check(expression string) (Query, error) {
	q, err := parseQuery(expression)
	if err != nil {
		return q, err
	}
	var errs []error
	for _, name := range q.Metrics {
		if !e.Samples[name] {
			errs = append(errs, fmt.Errorf("no metric %s", name))
		}
	}
	for _, name := range q.Labels {
		if !e.Labels[name] {
			errs = append(errs, fmt.Errorf("no label %s", name))
		}
	}
	return q, errors.Join(errs...)
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
