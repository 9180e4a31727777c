package source

import (
	"fmt"
	"net/http"
	"slices"
	"strings"
	"testing"

	"github.com/eventing-eventmesh/eventing-eventmesh/pkg/eventmesh"
	"github.com/eventing-eventmesh/eventing-eventmesh/pkg/eventmesh/eventmeshtest"
)

// What is on the volume of a replica that is gone is delivered without EventMesh, and whoever waits for that hears whether it was all.
func TestProcessEmptiesASpool(t *testing.T) {
	t.Parallel()
	url, dir := eventmeshtest.New(t, eventmeshtest.Options{Storage: eventmeshtest.RocketMQ}).GRPCURL(), t.TempDir()
	sink := newSink(t)
	sink.answers(always(http.StatusServiceUnavailable))
	environment := []string{"K_SINK=" + sink.url, "EVENTMESH_SPOOL_DIR=" + dir, "EVENTMESH_DRAIN_TIMEOUT=1s"}
	s := run(t, append(environment, "EVENTMESH_URL="+url)...)
	s.awaitReadiness(t, http.StatusOK)
	p := connect(t, url, eventmesh.Credentials{})
	var ids []string
	for i := range 20 {
		ids = append(ids, fmt.Sprint(i))
		publish(t, p, sample(ids[i]))
	}
	awaitOnDisk(t, dir, 20)
	s.terminate(t)
	s.awaitEnd(t)

	emptying := slices.Concat(required, environment, []string{"EVENTMESH_SPOOL_DRAIN=true", "EVENTMESH_URL=grpc://127.0.0.1:1"})
	s = run(t, append(environment, "EVENTMESH_SPOOL_DRAIN=true", "EVENTMESH_URL=grpc://127.0.0.1:1")...)
	s.awaitReadiness(t, http.StatusOK)
	s.terminate(t)
	<-s.ended
	if code := s.command.ProcessState.ExitCode(); code != 1 || !strings.Contains(s.all(), "20 events are left in the spool") {
		t.Errorf("while the sink accepts nothing: got exit code %d, want 1, and\n%s", code, s.all())
	}
	awaitOnDisk(t, dir, 20)

	sink.answers(nil)
	for range 2 { // the second time there is nothing to do
		if code, _, stderr := execute(t, emptying); code != 0 || strings.Contains(stderr, `"level":"error"`) {
			t.Errorf("got exit code %d, want 0, and\n%s", code, stderr)
		}
		if missing := sink.missing(ids...); missing != "" {
			t.Error(missing)
		}
		awaitOnDisk(t, dir, 0)
	}
}
