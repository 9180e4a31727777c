package adapter

import (
	"os"
	"runtime"
	"runtime/debug"
	"runtime/metrics"
	"sync/atomic"

	"github.com/KimMachineGun/automemlimit/memlimit"
)

const (
	// headroom is how much garbage may come before it is collected, in bytes. By itself Go collects when as much has come as is
	// live, which in an adapter is next to nothing: under load that would be 50 times a second, for a seventh of the CPU.
	headroom = 32 << 20
	// uncounted is what a process has in RAM besides Go's heap: most of it are pages of the program's file.
	uncounted = 44 << 20
)

// heapLimit is how large the heap should become at most; 0 is no limit.
var heapLimit atomic.Int64

// LimitMemory makes garbage be collected the more often the nearer the process comes to so many bytes of RAM. It is no bound: an eighth
// of what is live may always come, for the collector not to take all of the CPU. Go's own limit stays in force besides.
func LimitMemory(bytes int64) { heapLimit.Store(bytes - uncounted) }

// stayInContainer makes Go collect all that it can before the process has more than 90 % of the memory that its container may have, where
// that is limited. Whoever sets GOMEMLIMIT sets the limit instead.
func stayInContainer() {
	_, _ = memlimit.SetGoMemLimitWithOpts() // fails where there is no limit
}

// collectLess gives the garbage collector headroom, for as long as less than that is live; after that it is as by itself. The process
// takes up to so much more RAM under load. Whoever sets GOGC tunes the collector without it.
func collectLess() {
	if os.Getenv("GOGC") == "" {
		adjust(struct{}{})
	}
}

// adjust sets what share of the live memory may come as garbage, again after each collection.
func adjust(struct{}) {
	live := []metrics.Sample{{Name: "/gc/heap/live:bytes"}}
	metrics.Read(live)
	debug.SetGCPercent(garbagePercent(int64(live[0].Value.Uint64()), heapLimit.Load())) //nolint:gosec // no heap is that large

	type collected struct{ _ *int } // with a pointer, as those without may share their memory with others
	runtime.AddCleanup(new(collected), adjust, struct{}{})
}

func garbagePercent(live, limit int64) int {
	live = max(live, 4<<20) // of which Go takes the percentage at least
	garbage := max(live, headroom)
	if limit != 0 {
		garbage = max(min(garbage, limit-live), live/8)
	}
	return int(garbage * 100 / live)
}
