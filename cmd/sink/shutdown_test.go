package main

import (
	"net/http"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/eventing-eventmesh/eventing-eventmesh/pkg/eventmesh/eventmeshtest"
)

// What has reached EventMesh has been answered, however the sender is connected: the last answer goes out before its
// connection is closed.
func TestTerminationAnswersEveryEvent(t *testing.T) {
	for _, c := range protocols(t) {
		t.Run(c.name, func(t *testing.T) {
			server := eventmeshtest.New(t, eventmeshtest.Options{Storage: eventmeshtest.RocketMQ})
			server.SetFaults(eventmeshtest.Faults{Delay: 20 * time.Millisecond}) // so that there are always some in flight
			p := start(t, append([]string{"EVENTMESH_URL=" + server.GRPCURL(), "EVENTMESH_TOPIC=orders", "EVENTMESH_SHUTDOWN_DELAY=3s"}, c.environment...)...)
			p.url = c.url(p)
			probe := &http.Client{Transport: c.transport()}
			defer probe.CloseIdleConnections()
			awaitStatus(t, probe, p.url+"/readiness", http.StatusOK, c.proto)

			const senders, perClient, before = 12, 4, 200
			accepted := make(chan string)
			var sending sync.WaitGroup
			for sender := 0; sender < senders; sender += perClient {
				client := &http.Client{Transport: c.transport()} // which keeps connections, or a single one over HTTP/2
				defer client.CloseIdleConnections()
				for n := range perClient {
					sending.Go(func() { sendUntilRefused(t, client, p.url, sender+n, accepted) })
				}
			}
			go func() {
				sending.Wait()
				close(accepted)
			}()
			answered := map[string]bool{}
			late := 0 // accepted while the readiness probe fails
			notReady := make(chan struct{})
			for id := range accepted {
				answered[id] = true
				if len(answered) == before {
					p.terminate(t)
					go func() {
						defer close(notReady)
						awaitStatus(t, probe, p.url+"/readiness", http.StatusServiceUnavailable, c.proto)
					}()
				}
				select {
				case <-notReady:
					late++
				default:
				}
			}
			<-notReady
			p.awaitExit(t)
			if late == 0 {
				t.Error("no event was taken after readiness had failed")
			}
			stored := map[string]bool{}
			for _, e := range server.Published("orders") {
				stored[e.GetId()] = true
				if !answered[e.GetId()] {
					t.Errorf("event %s is in EventMesh, and its sender got no answer", e.GetId())
				}
			}
			for id := range answered {
				if !stored[id] {
					t.Errorf("event %s was accepted, and is not in EventMesh", id)
				}
			}
			if strings.Contains(p.Log(), "cutting off") {
				t.Error("requests in flight were cut off")
			}
		})
	}
}

// awaitStatus waits until a GET is answered with a status, by the protocol that is meant.
func awaitStatus(t *testing.T, client *http.Client, url string, want int, proto string) {
	t.Helper()
	deadline := time.NewTimer(patience)
	defer deadline.Stop()
	ticker := time.NewTicker(10 * time.Millisecond)
	defer ticker.Stop()
	for {
		r, err := http.NewRequestWithContext(t.Context(), http.MethodGet, url, nil)
		if err != nil {
			t.Error(err)
			return
		}
		response, err := client.Do(r)
		if err == nil {
			_ = response.Body.Close()
			if response.Proto != proto {
				t.Errorf("got an answer by %s, want %s", response.Proto, proto)
			}
			if response.StatusCode == want {
				return
			}
		}
		select {
		case <-ticker.C:
		case <-deadline.C:
			t.Errorf("no answer with status %d within %s: %v", want, patience, err)
			return
		}
	}
}
