package source

import (
	"fmt"
	"net/http"
	"strings"
	"testing"

	"github.com/eventing-eventmesh/eventing-eventmesh/pkg/eventmesh"
	"github.com/eventing-eventmesh/eventing-eventmesh/pkg/eventmesh/eventmeshtest"
)

// TestMissingTopicIsTold: over TCP a source waits for a topic that RocketMQ does not have, and says which command creates it.
func TestMissingTopicIsTold(t *testing.T) {
	server := eventmeshtest.New(t, eventmeshtest.Options{Storage: eventmeshtest.RocketMQ, UnknownTopics: true})
	sink := newSink(t)
	s := start(t, "EVENTMESH_URL="+server.TCPURL(), "K_SINK="+sink.url)
	const want = "topic does not exist: orders: create it in RocketMQ first, as by \"mqadmin updateTopic "
	eventually(t, func() string {
		if _, says := get(t, s.probes+"/readiness"); !strings.Contains(says, want) {
			return fmt.Sprintf("readiness that says %q, got %q", want, says)
		}
		return ""
	})
	eventually(t, func() string {
		for _, line := range s.logs.FilterMessage("not connected to EventMesh").All() {
			if strings.Contains(fmt.Sprint(line.ContextMap()["error"]), want) {
				return ""
			}
		}
		return fmt.Sprintf("a line that says %q, got %v", want, s.logs.All())
	})
	publish(t, connect(t, server.TCPURL(), eventmesh.Credentials{}), sample("a")) // which makes the topic
	s.awaitReadiness(t, http.StatusOK)
	eventually(t, func() string { return sink.missing("a") })
}
