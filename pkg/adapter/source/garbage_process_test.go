package source

import (
	"fmt"
	"regexp"
	"strconv"
	"strings"
	"testing"

	"github.com/eventing-eventmesh/eventing-eventmesh/internal/monitoring"
)

var nextCollection = regexp.MustCompile(`# NextGC = (\d+)`)

// TestProcessCollectsGarbage looks at how large a heap a program that does nothing lets become.
func TestProcessCollectsGarbage(t *testing.T) {
	t.Parallel()
	const mib = 1 << 20
	for name, c := range map[string]struct {
		environment   []string
		least, atMost int
	}{
		"with headroom":                      {nil, 32 * mib, 64 * mib},
		"with less, as there is less room":   {[]string{"EVENTMESH_BUFFER_BYTES=1"}, 16 * mib, 28 * mib},
		"as whoever sets GOGC would have it": {[]string{"GOGC=100"}, 0, 16 * mib},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			address := monitoring.FreeAddress(t)
			run(t, append(c.environment, "PROFILING_PORT="+address[strings.LastIndex(address, ":")+1:],
				`K_OBSERVABILITY_CONFIG={"runtime":{"profiling":"enabled"}}`)...)
			eventually(t, func() string { // it is set after a collection
				_, heap := get(t, "http://"+address+"/debug/pprof/heap?debug=1&gc=1")
				found := nextCollection.FindStringSubmatch(heap)
				if found == nil {
					return "no next collection in " + heap
				}
				if next, err := strconv.Atoi(found[1]); err != nil || next < c.least || next > c.atMost {
					return fmt.Sprintf("the next collection comes at %d bytes, want %d to %d, %v", next, c.least, c.atMost, err)
				}
				return ""
			})
		})
	}
}
