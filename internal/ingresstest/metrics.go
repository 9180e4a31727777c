package ingresstest

import (
	"fmt"
	"testing"

	"go.opentelemetry.io/otel/attribute"
	sdk "go.opentelemetry.io/otel/sdk/metric"
	"go.opentelemetry.io/otel/sdk/metric/metricdata"
)

// Points are the values of metrics, by name and attributes: the value, in whole numbers, or how many were measured. Counters at 0 are left
// out.
type Points map[string]map[string]int64

// Collect returns what a reader has.
func Collect(t *testing.T, reader sdk.Reader) Points {
	t.Helper()
	var all metricdata.ResourceMetrics
	if err := reader.Collect(t.Context(), &all); err != nil {
		t.Fatal(err)
	}
	found := Points{}
	for _, scope := range all.ScopeMetrics {
		for _, one := range scope.Metrics {
			values := map[string]int64{}
			key := func(set attribute.Set) string { return set.Encoded(attribute.DefaultEncoder()) }
			switch data := one.Data.(type) {
			case metricdata.Sum[int64]:
				for _, p := range data.DataPoints {
					if p.Value != 0 || !data.IsMonotonic {
						values[key(p.Attributes)] = p.Value
					}
				}
			case metricdata.Gauge[int64]:
				for _, p := range data.DataPoints {
					values[key(p.Attributes)] = p.Value
				}
			case metricdata.Gauge[float64]:
				for _, p := range data.DataPoints {
					values[key(p.Attributes)] = int64(p.Value)
				}
			case metricdata.Histogram[int64]:
				for _, p := range data.DataPoints {
					values[key(p.Attributes)] = int64(p.Count) //nolint:gosec // there are few
				}
			case metricdata.Histogram[float64]:
				for _, p := range data.DataPoints {
					values[key(p.Attributes)] = int64(p.Count) //nolint:gosec // there are few
				}
			default:
				t.Fatalf("%s has data of type %T", one.Name, one.Data)
			}
			found[one.Name] = values
		}
	}
	return found
}

// Expect compares the values of one metric.
func (p Points) Expect(t *testing.T, name string, want map[string]int64) {
	t.Helper()
	if fmt.Sprint(p[name]) != fmt.Sprint(want) {
		t.Errorf("%s:\ngot  %v\nwant %v", name, p[name], want)
	}
}
