package source

import (
	"fmt"
	"net/http"
	"syscall"
	"testing"

	"github.com/eventing-eventmesh/eventing-eventmesh/pkg/eventmesh"
	"github.com/eventing-eventmesh/eventing-eventmesh/pkg/eventmesh/eventmeshtest"
	"github.com/eventing-eventmesh/eventing-eventmesh/pkg/eventmesh/eventmeshtest/releases"
)

// TestProcessIsAway ends the only source of a group, and starts it again under its name: what RocketMQ holds for it comes, and over
// gRPC nothing comes twice.
func TestProcessIsAway(t *testing.T) {
	t.Parallel()
	for _, name := range releases.Transports {
		for how, signal := range map[string]syscall.Signal{"killed": syscall.SIGKILL, "terminated": syscall.SIGTERM} {
			t.Run(name+"/"+how, func(t *testing.T) {
				t.Parallel()
				server := releases.New(t, name, eventmeshtest.Options{Storage: eventmeshtest.RocketMQ})
				sink, url, dir := newSink(t), server.URL(), t.TempDir()
				environment := []string{"EVENTMESH_URL=" + url, "K_SINK=" + sink.url, "EVENTMESH_SPOOL_DIR=" + dir}
				s, p := run(t, environment...), connect(t, url, eventmesh.Credentials{})
				s.awaitReadiness(t, http.StatusOK)
				var ids []string
				publishMore := func(n int) {
					t.Helper()
					for range n {
						ids = append(ids, fmt.Sprint(len(ids)))
						publish(t, p, sample(ids[len(ids)-1]))
					}
				}
				publishMore(500)
				eventually(t, func() string { return sink.missing(ids...) })
				awaitOnDisk(t, dir, 0)
				if err := s.command.Process.Signal(signal); err != nil {
					t.Fatal(err)
				}
				<-s.ended
				eventually(t, func() string {
					if n := server.Subscribers("orders"); n > 0 {
						return fmt.Sprintf("EventMesh takes %d subscribers for alive", n)
					}
					return ""
				})
				publishMore(300)
				s = run(t, environment...)
				s.awaitReadiness(t, http.StatusOK)
				publishMore(500)
				eventually(t, func() string { return sink.missing(ids...) })
				s.terminate(t)
				s.awaitEnd(t)
				if asked := sink.requests(); asked < len(ids) || name == "gRPC" && asked > len(ids) {
					t.Errorf("got %d requests for %d events", asked, len(ids))
				}
			})
		}
	}
}
