package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/eventing-eventmesh/eventing-eventmesh/pkg/eventmesh/eventmeshtest"
)

// traffic is what many senders send to a sink, each event until it is accepted, and what they are told of it.
type traffic struct {
	url, topic string
	answers    chan int // a status for each answer

	mu       sync.Mutex
	accepted map[string]string // data by ID
	statuses map[int]int
	sending  sync.WaitGroup
}

const (
	senders   = 12
	batchSize = 10
	pad       = "................................................................"
)

func newTraffic(url, topic string) *traffic {
	return &traffic{url: url, topic: topic, answers: make(chan int), accepted: map[string]string{}, statuses: map[int]int{}}
}

// begin starts the senders, every third of which sends batches. They end with the context, or when nobody listens any more.
func (l *traffic) begin(t *testing.T, ctx context.Context) { //nolint:revive // as in testing
	t.Helper()
	for sender := range senders {
		l.sending.Go(func() {
			client := &http.Client{Transport: &http.Transport{}}
			defer client.CloseIdleConnections()
			for n := 0; ctx.Err() == nil; n++ {
				size := 1
				if sender%3 == 0 {
					size = batchSize
				}
				var ids []string
				for i := range size {
					ids = append(ids, fmt.Sprintf("%s-%d-%d-%d", l.topic, sender, n, i))
				}
				for again := true; again && ctx.Err() == nil; {
					var listens bool
					if again, listens = l.send(ctx, client, ids); !listens {
						return
					}
				}
			}
		})
	}
}

func data(id string) string { return fmt.Sprintf(`{"id":%q,"pad":%q}`, id, pad) }

// send sends events once. It tells whether they have to be sent again, and whether somebody listens.
func (l *traffic) send(ctx context.Context, client *http.Client, ids []string) (again, listens bool) {
	url := l.url + "/topics/" + l.topic
	r, err := event(ctx, url, ids[0], data(ids[0]))
	if len(ids) > 1 {
		var events []string
		for _, id := range ids {
			events = append(events, fmt.Sprintf(`{"specversion":"1.0","type":"test","source":"/test","id":%q,"datacontenttype":"application/json","data":%s}`, id, data(id)))
		}
		r, err = event(ctx, url, "", "["+strings.Join(events, ",")+"]")
		if err == nil {
			r.Header.Set("Content-Type", "application/cloudevents-batch+json")
		}
	}
	if err != nil {
		return false, false
	}
	response, err := client.Do(r)
	if err != nil {
		return true, !errors.Is(err, syscall.ECONNREFUSED) && ctx.Err() == nil // cut off; nothing was accepted
	}
	body, err := io.ReadAll(response.Body)
	_ = response.Body.Close()
	if err != nil {
		return true, true
	}
	l.learn(response.StatusCode, body, ids)
	select {
	case l.answers <- response.StatusCode:
	case <-ctx.Done():
	}
	return response.StatusCode != http.StatusAccepted, true
}

func (l *traffic) learn(status int, body []byte, ids []string) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.statuses[status]++
	failed := map[string]bool{}
	if status != http.StatusAccepted {
		var says struct{ Failed []struct{ ID string } }
		if json.Unmarshal(body, &says) != nil || len(says.Failed) == 0 {
			return
		}
		for _, f := range says.Failed { // the others are in EventMesh
			failed[f.ID] = true
		}
	}
	for _, id := range ids {
		if !failed[id] {
			l.accepted[id] = data(id)
		}
	}
}

// await waits for some answers, of one status unless that is 0.
func (l *traffic) await(t *testing.T, n, status int) {
	t.Helper()
	deadline := time.NewTimer(patience)
	defer deadline.Stop()
	for n > 0 {
		select {
		case got := <-l.answers:
			if status == 0 || got == status {
				n--
			}
		case <-deadline.C:
			t.Errorf("%d answers of status %d are missing after %s", n, status, patience)
			return
		}
	}
}

// drain lets the senders finish.
func (l *traffic) drain() {
	ended := make(chan struct{})
	go func() {
		l.sending.Wait()
		close(ended)
	}()
	for {
		select {
		case <-l.answers:
		case <-ended:
			return
		}
	}
}

// count compares what was accepted with what is in EventMesh.
func (l *traffic) count(t *testing.T, server *eventmeshtest.Server) {
	t.Helper()
	stored := map[string]string{}
	all := server.Published(l.topic)
	for _, e := range all {
		if e.GetSource() != "/test" || e.GetType() != "test" || e.GetTextData() != data(e.GetId()) {
			t.Errorf("event %s is not in EventMesh as it was sent: %v", e.GetId(), e)
		}
		stored[e.GetId()] = e.GetTextData()
	}
	missing := 0
	for id, sent := range l.accepted {
		if stored[id] != sent {
			missing++
		}
	}
	t.Logf("%d events accepted, %d in EventMesh, %d times again; answers %v", len(l.accepted), len(stored), len(all)-len(stored), l.statuses)
	if missing > 0 || len(l.accepted) == 0 {
		t.Errorf("%d of %d events that were accepted are not in EventMesh", missing, len(l.accepted))
	}
	for status := range l.statuses {
		switch status {
		case http.StatusAccepted, http.StatusTooManyRequests, http.StatusServiceUnavailable:
		default:
			t.Errorf("got status %d, want none but 202, 429 and 503", status)
		}
	}
}

func TestFaultsUnderLoad(t *testing.T) {
	for _, transport := range []string{"gRPC", "TCP"} {
		t.Run(transport, func(t *testing.T) {
			server := eventmeshtest.New(t, eventmeshtest.Options{Storage: eventmeshtest.RocketMQ, RecordLimit: 1_000_000})
			url := server.GRPCURL()
			if transport == "TCP" {
				url = server.TCPURL()
			}
			p := start(t, "EVENTMESH_URL="+url, "EVENTMESH_TOPICS=orders", "EVENTMESH_PUBLISH_TIMEOUT=3s", "EVENTMESH_SHUTDOWN_DELAY=100ms")
			p.awaitReadiness(t, http.StatusOK)
			l := newTraffic(p.url, "orders")
			ctx, cancel := context.WithCancel(t.Context())
			defer cancel()
			l.begin(t, ctx)
			healthy := func() {
				server.SetFaults(eventmeshtest.Faults{})
				l.await(t, 100, http.StatusAccepted)
			}
			healthy()
			for _, f := range []eventmeshtest.Faults{
				{Delay: 20 * time.Millisecond}, {LoseAnswers: 0.2}, {Refuse: "21", RefuseDescription: "Tps overload, global flow control"},
				{Refuse: "14", RefuseDescription: "disk full"}, {LoseAnswers: 1}, {Delay: 5 * time.Second},
			} {
				server.SetFaults(f)
				l.await(t, 100, 0)
				healthy()
			}
			for range 2 {
				server.DropConnections()
				l.await(t, 50, 0)
				healthy()
				server.Stop()
				l.await(t, 50, http.StatusServiceUnavailable)
				server.MustRestart(t, true)
				healthy()
			}
			server.SetFaults(eventmeshtest.Faults{Delay: 20 * time.Millisecond}) // so that there are always some in flight
			l.await(t, 20, 0)
			p.terminate(t)
			l.drain()
			p.awaitExit(t)
			l.count(t, server)
		})
	}
}

// TestMixedUpConfirmations: over TCP EventMesh can hand a confirmation to the wrong connection. None may be taken for that of an
// event that it has refused.
func TestMixedUpConfirmations(t *testing.T) {
	server := eventmeshtest.New(t, eventmeshtest.Options{Storage: eventmeshtest.RocketMQ, RecordLimit: 1_000_000})
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	var loads []*traffic
	var refused sync.WaitGroup
	enough := make(chan struct{})
	for i := range 2 {
		p := start(t, "EVENTMESH_URL="+server.TCPURL(), "EVENTMESH_TOPICS=*", fmt.Sprintf("EVENTMESH_CLIENT_ID=sink-%d", i))
		p.awaitReadiness(t, http.StatusOK)
		l := newTraffic(p.url, fmt.Sprintf("orders-%d", i))
		loads = append(loads, l)
		large := `"` + strings.Repeat("x", 2000) + `"` // more than EventMesh takes over TCP
		refused.Go(func() {
			for n := 0; ; n++ {
				select {
				case <-enough:
					return
				default:
				}
				r, err := event(ctx, p.url+"/topics/large", fmt.Sprintf("large-%d", n), large)
				if err != nil {
					t.Error(err)
					return
				}
				response, err := http.DefaultClient.Do(r)
				if err != nil {
					t.Error(err)
					return
				}
				_ = response.Body.Close()
				if response.StatusCode == http.StatusAccepted {
					t.Errorf("event %d was accepted, and refused by EventMesh", n)
				}
			}
		})
	}
	server.SetFaults(eventmeshtest.Faults{MixUpAcknowledgements: 0.1})
	for _, l := range loads {
		l.begin(t, ctx)
	}
	var waiting sync.WaitGroup
	for _, l := range loads {
		waiting.Go(func() { l.await(t, 150, http.StatusAccepted) })
	}
	waiting.Wait()
	server.SetFaults(eventmeshtest.Faults{})
	close(enough)
	refused.Wait()
	cancel()
	for _, l := range loads {
		l.drain()
		l.count(t, server)
	}
	if got := server.Published("large"); len(got) != 0 {
		t.Errorf("got %d events in EventMesh that it refuses", len(got))
	}
}
