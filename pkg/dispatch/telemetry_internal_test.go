package dispatch

import (
	"errors"
	"testing"
	"time"

	sdk "go.opentelemetry.io/otel/sdk/metric"
)

// measured is telemetry that somebody reads.
func measured(tb testing.TB) *Telemetry {
	tb.Helper()
	m, err := NewTelemetry(TelemetryOptions{Provider: sdk.NewMeterProvider(sdk.WithReader(sdk.NewManualReader())), Prefix: "shop"})
	if err != nil {
		tb.Fatal(err)
	}
	return m
}

func ofOrders() *item {
	return &item{topic: "orders", lane: newLane(New(Options{}), LaneOptions{Label: "shop/orders"})}
}

func TestTelemetryAllocatesNothing(t *testing.T) {
	m, failure, it := measured(t), errors.New("no space left on device"), ofOrders()
	for name, do := range map[string]func(){
		"requested": func() { m.requested(202, time.Millisecond) }, "no answer": func() { m.requested(0, time.Millisecond) },
		"redelivered": func() { m.redelivered(it) }, "delivered": func() { m.delivered(it) },
		"dead lettered": func() { m.deadLettered(it, reasonRetries) }, "dropped": func() { m.dropped(it, reasonRejected) },
		"committed": func() { m.committed(8, time.Millisecond, nil) }, "not committed": func() { m.committed(8, time.Millisecond, failure) },
	} {
		do()
		if got := testing.AllocsPerRun(100, do); got != 0 {
			t.Errorf("%s: got %g allocations, want none", name, got)
		}
	}
}

func BenchmarkMetrics(b *testing.B) {
	m, it := measured(b), ofOrders()
	b.ReportAllocs()
	for b.Loop() {
		m.requested(202, time.Millisecond)
		m.delivered(it)
	}
}
