package adapter

import (
	"fmt"
	"runtime"
	"runtime/debug"
	"runtime/metrics"
	"testing"

	"github.com/eventing-eventmesh/eventing-eventmesh/internal/await"
)

func TestCollectLess(t *testing.T) {
	t.Cleanup(func() { debug.SetGCPercent(100) })

	t.Setenv("GOGC", "75")
	debug.SetGCPercent(75)
	collectLess()
	if got := gcPercent(); got != 75 {
		t.Errorf("got %d %%, want the 75 of GOGC", got)
	}

	t.Setenv("GOGC", "")
	collectLess()
	if got := gcPercent(); got <= 100 {
		t.Errorf("with little memory live got %d %%, want more than 100", got)
	}
	much := make([]byte, 2*headroom)
	awaitPercent(t, "100 with much memory live", func(percent uint64) bool { return percent == 100 })
	LimitMemory(3*headroom + uncounted)
	defer heapLimit.Store(0)
	awaitPercent(t, "less near the limit", func(percent uint64) bool { return percent < 100 })
	runtime.KeepAlive(much)
	awaitPercent(t, "more with little live", func(percent uint64) bool { return percent > 100 })
}

func awaitPercent(t *testing.T, want string, is func(percent uint64) bool) {
	t.Helper()
	await.Until(t, await.Patience, func() string {
		runtime.GC()
		if got := gcPercent(); !is(got) {
			return fmt.Sprintf("got %d %%, want %s", got, want)
		}
		return ""
	})
}

func gcPercent() uint64 {
	percent := []metrics.Sample{{Name: "/gc/gogc:percent"}}
	metrics.Read(percent)
	return percent[0].Value.Uint64()
}

func TestGarbagePercent(t *testing.T) {
	const mib, none = 1 << 20, 0
	for _, c := range []struct {
		live, limit int64
		want        int
	}{
		{0, none, 800},
		{2 * mib, none, 800},
		{8 * mib, none, 400},
		{32 * mib, none, 100},
		{500 * mib, none, 100},
		{2 * mib, 96 * mib, 800},
		{48 * mib, 96 * mib, 100},
		{64 * mib, 96 * mib, 50},
		{90 * mib, 96 * mib, 12},
		{900 * mib, 96 * mib, 12},
	} {
		if got := garbagePercent(c.live, c.limit); got != c.want {
			t.Errorf("with %d MiB live of %d: got %d %%, want %d", c.live/mib, c.limit/mib, got, c.want)
		}
	}
}
