package telemetry

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"sync"
	"testing"

	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/metric"
	"go.opentelemetry.io/otel/metric/noop"
	sdk "go.opentelemetry.io/otel/sdk/metric"
	"go.opentelemetry.io/otel/sdk/metric/metricdata"
)

// call is a key as the programs have it.
type call struct{ topic, operation string }

func attributesOf(c call) []attribute.KeyValue {
	return []attribute.KeyValue{attribute.String("topic", c.topic), attribute.String("operation", c.operation)}
}

func TestInstruments(t *testing.T) {
	reader := sdk.NewManualReader()
	in := Instruments{Meter: sdk.NewMeterProvider(sdk.WithReader(reader)).Meter("test")}
	series := NewSeries(attributesOf)
	of := series.Of(call{"orders", "publish"})
	in.Counter("events", "{event}", "Events.").Add(t.Context(), 2, of.Add...)
	in.Histogram("sizes", "By", "Sizes.", 1, 2).Record(t.Context(), 3, of.Record...)
	in.Seconds("durations", "Durations.", 1, 2).Record(t.Context(), 3, of.Record...)
	level, yes, no, age := in.Level("level", "{event}", "Level."), in.Flag("yes", "{session}", "Yes."), in.Flag("no", "{session}", "No."), in.Age("age", "Age.")
	in.Observe(func(_ context.Context, o metric.Observer) error {
		o.ObserveInt64(level, 7)
		o.ObserveInt64(yes, OK(true))
		o.ObserveInt64(no, OK(false))
		o.ObserveFloat64(age, 1.5)
		return nil
	}, level, yes, no, age)
	if err := in.Err(); err != nil {
		t.Fatal(err)
	}
	var collected metricdata.ResourceMetrics
	if err := reader.Collect(t.Context(), &collected); err != nil {
		t.Fatal(err)
	}
	got := map[string]string{}
	for _, m := range collected.ScopeMetrics[0].Metrics {
		switch data := m.Data.(type) {
		case metricdata.Sum[int64]:
			got[m.Name] = fmt.Sprint(m.Unit, data.DataPoints[0].Value, data.DataPoints[0].Attributes.Len())
		case metricdata.Gauge[int64]:
			got[m.Name] = fmt.Sprint(m.Unit, data.DataPoints[0].Value)
		case metricdata.Gauge[float64]:
			got[m.Name] = fmt.Sprint(m.Unit, data.DataPoints[0].Value)
		case metricdata.Histogram[int64]:
			got[m.Name] = fmt.Sprint(m.Unit, data.DataPoints[0].Sum, data.DataPoints[0].Bounds)
		case metricdata.Histogram[float64]:
			got[m.Name] = fmt.Sprint(m.Unit, data.DataPoints[0].Sum, data.DataPoints[0].Bounds)
		}
	}
	for name, want := range map[string]string{
		"events": "{event}2 2", "sizes": "By3 [1 2]", "durations": "s3 [1 2]", "level": "{event}7 0", "yes": "{session}1", "no": "{session}0", "age": "s1.5",
	} {
		if got[name] != want {
			t.Errorf("%s: got %q, want %q", name, got[name], want)
		}
	}
}

// broken is a meter that makes no counters.
type broken struct{ noop.Meter }

func (broken) Int64Counter(name string, _ ...metric.Int64CounterOption) (metric.Int64Counter, error) {
	return nil, errors.New("no " + name)
}

func TestInstrumentsKeepTheFirstError(t *testing.T) {
	in := Instruments{Meter: broken{}}
	in.Histogram("fine", "", "")
	in.Counter("first", "", "")
	in.Counter("second", "", "")
	if registration := in.Observe(nil); registration != nil {
		t.Errorf("got %v, want no callback", registration)
	}
	if err := in.Err(); err == nil || !strings.Contains(err.Error(), "creating metric first: no first") {
		t.Errorf("got %v, want the error of the first", err)
	}
}

func TestSeriesAreMadeOnce(t *testing.T) {
	var made int
	series := NewSeries(func(c call) []attribute.KeyValue {
		made++
		return attributesOf(c)
	})
	var all sync.WaitGroup
	for n := range 20 {
		all.Go(func() {
			for i := range 100 {
				key := call{fmt.Sprint((n + i) % 10), "publish"}
				if first := series.Of(key); series.Of(key) != first {
					t.Error("got two of one key")
				}
			}
		})
	}
	all.Wait()
	if made != 10 {
		t.Errorf("made %d, want 10", made)
	}
}

func TestNamesAreBounded(t *testing.T) {
	var names Names
	var firsts int
	for range 2 {
		for n := range MaxNames + 10 {
			name := fmt.Sprint(n)
			got, first := names.Bound(name)
			if n >= MaxNames {
				name = ""
			}
			if got != name {
				t.Fatalf("got %q for name %d, want %q", got, n, name)
			}
			if first {
				firsts++
			}
		}
	}
	if firsts != MaxNames+1 {
		t.Errorf("got %d names for the first time, want %d and the empty one", firsts, MaxNames)
	}
}

func TestNothingIsAllocatedForWhatIsKnown(t *testing.T) {
	var names Names
	series := NewSeries(attributesOf)
	counter := Instruments{Meter: noop.Meter{}}
	sent := counter.Counter("sent", "", "")
	count := func() {
		topic, _ := names.Bound("orders")
		sent.Add(context.Background(), 1, series.Of(call{topic, "publish"}).Add...)
	}
	count()
	if got := testing.AllocsPerRun(100, count); got != 0 {
		t.Errorf("got %v allocations, want none", got)
	}
}

func BenchmarkSeries(b *testing.B) {
	series := NewSeries(attributesOf)
	b.ReportAllocs()
	b.RunParallel(func(pb *testing.PB) {
		for pb.Next() {
			series.Of(call{"orders", "publish"})
		}
	})
}
