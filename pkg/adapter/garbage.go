package adapter

import (
	"os"
	"runtime"
	"runtime/debug"
	"runtime/metrics"
)

// headroom is how much garbage may come before it is collected, in bytes. By itself Go collects when as much has come as is live,
// which in an adapter is next to nothing: under load that were 50 times a second, for a seventh of the CPU.
const headroom = 32 << 20

// collectLess gives the garbage collector headroom, for as long as less than that is live; after that it is as by itself. The process
// takes up to so much more RAM under load. Whoever sets GOGC tunes the collector without it, and GOMEMLIMIT stays in force.
func collectLess() {
	if os.Getenv("GOGC") == "" {
		adjust(struct{}{})
	}
}

// adjust sets the share of live memory that comes to headroom, again after each collection.
func adjust(struct{}) {
	live := []metrics.Sample{{Name: "/gc/heap/live:bytes"}}
	metrics.Read(live)
	debug.SetGCPercent(int(max(100, headroom*100/max(live[0].Value.Uint64(), 1<<20)))) //nolint:gosec // at most 3200

	type collected struct{ _ *int } // with a pointer, as those without may share their memory with others
	runtime.AddCleanup(new(collected), adjust, struct{}{})
}
