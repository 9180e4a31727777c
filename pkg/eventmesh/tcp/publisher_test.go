package tcp

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"net"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/cloudevents/sdk-go/v2/event"

	"github.com/eventing-eventmesh/eventing-eventmesh/pkg/eventmesh"
	"github.com/eventing-eventmesh/eventing-eventmesh/pkg/eventmesh/tcp/frame"
)

// step is what EventMesh does with a publish.
type step struct {
	after   time.Duration // the answer comes
	confirm string        // the event with this id and topic
	refuse  string
}

// TestRepeats publishes events while EventMesh answers by a script, and looks when what was sent.
func TestRepeats(t *testing.T) {
	const grace = overtakenGrace
	for name, c := range map[string]struct {
		// script says what EventMesh does with the first publish of an event, the second …; and confirms further ones.
		script map[string][]step
		want   map[string][]time.Duration
		err    error // of the event a/orders
		lost   int32 // confirmations before that
	}{
		"confirmed": {nil, map[string][]time.Duration{"a/orders": {0}}, nil, 0},
		"not confirmed": {
			map[string][]step{"a/orders": {{}, {}}},
			map[string][]time.Duration{"a/orders": {0, ConfirmTimeout, 2 * ConfirmTimeout}}, nil, 0,
		},
		"confirmed late": {
			map[string][]step{"a/orders": {{after: ConfirmTimeout + time.Second, confirm: "a/orders"}, {}}},
			map[string][]time.Duration{"a/orders": {0, ConfirmTimeout}}, nil, 0,
		},
		"overtaken": {
			map[string][]step{"a/orders": {{}, {}}},
			map[string][]time.Duration{"a/orders": {0, 2 * grace, 2*grace + ConfirmTimeout}, "b/orders": {grace / 2}}, nil, 0,
		},
		"overtaken on another topic": {
			map[string][]step{"a/orders": {{}}},
			map[string][]time.Duration{"a/orders": {0, ConfirmTimeout}, "b/bills": {grace / 2}}, nil, 0,
		},
		"a later one is refused": {
			map[string][]step{"a/orders": {{after: 10 * grace, confirm: "a/orders"}}, "b/orders": {{refuse: "event size exceeds the limit: 1000"}}},
			map[string][]time.Duration{"a/orders": {0}, "b/orders": {grace / 2}}, nil, 0,
		},
		"the confirmation of somebody else's event": {
			map[string][]step{"a/orders": {{confirm: "other/orders"}}},
			map[string][]time.Duration{"a/orders": {0, ConfirmTimeout}}, nil, 0,
		},
		"a repeat without a permit, as the first is under way": {
			map[string][]step{"a/orders": {{after: 2*ConfirmTimeout - 1, confirm: "a/orders"}, {refuse: tooFast}}},
			map[string][]time.Duration{"a/orders": {0, ConfirmTimeout}}, nil, 0,
		},
		"repeats without a permit": {
			map[string][]step{"a/orders": {{}, {refuse: tooFast}, {refuse: tooFast}}},
			map[string][]time.Duration{"a/orders": {0, ConfirmTimeout, 2 * ConfirmTimeout}}, eventmesh.ErrNotConnected, 0,
		},
		"a repeat without a permit, as permits are lost": {
			map[string][]step{"a/orders": {{}, {refuse: tooFast}}},
			map[string][]time.Duration{"a/orders": {0, ConfirmTimeout}}, eventmesh.ErrNotConnected, leaking,
		},
		"no permit": {
			map[string][]step{"a/orders": {{refuse: tooFast}}},
			map[string][]time.Duration{"a/orders": {0}}, eventmesh.ErrNotConnected, 0,
		},
		"no permit beside another": {
			map[string][]step{"b/orders": {{refuse: tooFast}, {refuse: tooFast}}, "a/orders": {{after: grace, confirm: "a/orders"}}},
			map[string][]time.Duration{"a/orders": {0}, "b/orders": {grace / 2, grace / 2, grace / 2}}, nil, 0,
		},
		"refused": {
			map[string][]step{"a/orders": {{refuse: "event size exceeds the limit: 1000"}}},
			map[string][]time.Duration{"a/orders": {0}}, eventmesh.ErrTooLarge, 0,
		},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				client, server := net.Pipe()
				p := newPublisher(newConnection(client), Transport{}.Traits().Rendering)
				p.window.lost.Store(c.lost)
				began, got := time.Now(), map[string][]time.Duration{}
				go answer(server, c.script, func(event string) { got[event] = append(got[event], time.Since(began)) })
				publish := func(id, topic string) error {
					e := event.New()
					e.SetID(id)
					e.SetSource("/s")
					e.SetType("t")
					ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
					defer cancel()
					return p.Publish(ctx, topic, e)
				}
				failed := make(chan error)
				go func() { failed <- publish("a", "orders") }()
				for _, topic := range []string{"orders", "bills"} {
					if c.want["b/"+topic] != nil {
						time.Sleep(overtakenGrace / 2)
						if err := publish("b", topic); err != nil && !errors.Is(err, eventmesh.ErrTooLarge) {
							t.Errorf("the second event: %v", err)
						}
					}
				}
				if err := <-failed; !errors.Is(err, c.err) {
					t.Errorf("got %v, want %v", err, c.err)
				}
				_ = p.Close()
				_ = server.Close()
				synctest.Wait()
				if fmt.Sprint(got) != fmt.Sprint(c.want) {
					t.Errorf("published at %v, want %v", got, c.want)
				}
				time.Sleep(restTime)
			})
		})
	}
}

// answer acts for EventMesh, until the connection ends.
func answer(conn net.Conn, script map[string][]step, came func(event string)) {
	reader := bufio.NewReader(conn)
	for {
		f, err := frame.Read(reader)
		if err != nil {
			return
		}
		name := published(f.Body).id + "/" + published(f.Body).topic
		came(name)
		next := step{confirm: name}
		if steps := script[name]; len(steps) > 0 {
			next, script[name] = steps[0], steps[1:]
		}
		a := frame.Frame{Header: frame.Header{Command: frame.AsyncMessageToServerAck, Sequence: f.Header.Sequence}}
		switch id, topic, _ := strings.Cut(next.confirm, "/"); {
		case next.refuse != "":
			a.Header.Code, a.Header.Desc = 1, "java.lang.Exception: "+next.refuse
		case next.confirm != "":
			a.Body = fmt.Appendf(nil, `{"id":%q,"source":"/s","type":"t","subject":%q}`, id, topic)
		default:
			continue
		}
		go func() {
			time.Sleep(next.after)
			if encoded, err := frame.Append(nil, a); err == nil {
				_, _ = conn.Write(encoded)
			}
		}()
	}
}
