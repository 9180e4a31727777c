package source

import (
	"bufio"
	"fmt"
	"net"
	"net/http"
	"strings"
	"sync"
	"testing"

	"github.com/eventing-eventmesh/eventing-eventmesh/pkg/eventmesh"
	"github.com/eventing-eventmesh/eventing-eventmesh/pkg/eventmesh/eventmeshtest"
)

// Whatever the sink does, SIGTERM ends the source, with a last word about the event.
func TestProcessEndsWhateverTheSinkDoes(t *testing.T) {
	t.Parallel()
	for name, serve := range hostileSinks() {
		for _, spool := range []bool{false, true} {
			if spool && !strings.Contains(name, "switches") && !strings.Contains(name, "body") {
				continue
			}
			t.Run(fmt.Sprintf("%s/spool %t", name, spool), func(t *testing.T) {
				t.Parallel()
				url := eventmeshtest.New(t, eventmeshtest.Options{Storage: eventmeshtest.RocketMQ}).TCPURL()
				asked := make(chan struct{})
				tell := sync.OnceFunc(func() { close(asked) })
				sink := rawSink(t, func(_ int, conn net.Conn, requests *bufio.Reader) {
					if request(requests) {
						tell()
						serve(conn)
					}
				})
				environment := []string{"EVENTMESH_URL=" + url, "K_SINK=" + sink, "EVENTMESH_DRAIN_TIMEOUT=1s"}
				if spool {
					environment = append(environment, "EVENTMESH_SPOOL_DIR="+t.TempDir())
				}
				s := run(t, environment...)
				s.awaitReadiness(t, http.StatusOK)
				publish(t, connect(t, url, eventmesh.Credentials{}), sample("a"))
				<-asked
				s.terminate(t)
				s.awaitEnd(t)
				s.wantLastWord(t)
			})
		}
	}
}

// wantLastWord fails unless the log says what becomes of the events.
func (p *process) wantLastWord(t *testing.T) {
	t.Helper()
	_, end, _ := strings.Cut(p.all(), "shutting down")
	for _, word := range []string{"are lost", "stay in the spool", "everything received has been delivered"} {
		if strings.Contains(end, word) {
			return
		}
	}
	t.Errorf("the log does not say what becomes of the events:\n%s", end)
}

// Nor does anything else keep it from its end that never answers.
func TestProcessEndsWhateverHangs(t *testing.T) {
	t.Parallel()
	mute := strings.TrimPrefix(rawSink(t, func(_ int, conn net.Conn, _ *bufio.Reader) { stay(conn, "") }), "http://")
	for name, environment := range map[string][]string{
		"EventMesh over TCP":  {"EVENTMESH_URL=tcp://" + mute},
		"EventMesh over gRPC": {"EVENTMESH_URL=grpc://" + mute},
		"metrics":             {`K_OBSERVABILITY_CONFIG={"metrics":{"protocol":"http/protobuf","endpoint":"http://` + mute + `/v1/metrics"}}`},
		"dead letters":        {"EVENTMESH_URL=tcp://" + mute, "EVENTMESH_DEAD_LETTER_TOPIC=dead"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s := run(t, append(environment, "EVENTMESH_DRAIN_TIMEOUT=1s")...)
			s.terminate(t)
			s.awaitEnd(t)
		})
	}
}
