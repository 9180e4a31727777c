package source

import (
	"context"
	"fmt"
	"net/http"
	"os"
	"path/filepath"
	"testing"

	"github.com/cloudevents/sdk-go/v2/event"

	"github.com/eventing-eventmesh/eventing-eventmesh/internal/monitoring"
	"github.com/eventing-eventmesh/eventing-eventmesh/pkg/eventmesh"
	"github.com/eventing-eventmesh/eventing-eventmesh/pkg/eventmesh/eventmeshtest"
	"github.com/eventing-eventmesh/eventing-eventmesh/pkg/eventmesh/eventmeshtest/releases"
)

// TestProcessMeasures compares what a source says of itself with what has happened to it.
func TestProcessMeasures(t *testing.T) {
	t.Parallel()
	for _, name := range releases.Transports {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			server := releases.New(t, name, eventmeshtest.Options{Storage: eventmeshtest.RocketMQ})
			endpoint, variable := monitoring.Serve(t)
			sink, dead := newSink(t), newSink(t)
			asked := map[string]int{}
			sink.answers(func(_ context.Context, e event.Event) int {
				asked[e.ID()]++ // one request at a time
				switch {
				case e.ID() == "refused":
					return http.StatusBadRequest
				case e.ID() == "late" && asked["late"] <= 2:
					return http.StatusServiceUnavailable
				default:
					return http.StatusAccepted
				}
			})
			s := run(t, "EVENTMESH_URL="+server.URL(), "K_SINK="+sink.url, "EVENTMESH_DEAD_LETTER_SINK="+dead.url, "EVENTMESH_MAX_IN_FLIGHT=1",
				"EVENTMESH_SPOOL_DIR="+t.TempDir(), variable)
			s.awaitReadiness(t, http.StatusOK)
			topic := `messaging_destination_name="orders"`
			eventually(t, func() string { // before there is an event
				return monitoring.Missing(t, endpoint, "eventmesh_source_dropped_total "+topic+" 0")
			})
			p := connect(t, server.URL(), eventmesh.Credentials{})
			for _, id := range []string{"a", "refused", "late"} {
				publish(t, p, sample(id))
			}
			sink.await(t, "late")
			dead.await(t, "refused")

			wants := []string{
				"messaging_client_consumed_messages_total " + topic + " 3",
				"eventmesh_source_delivered_total " + topic + " 2",
				"eventmesh_source_redelivered_total " + topic + " 2",
				`eventmesh_source_dead_lettered_total eventmesh_reason="rejected" 1`,
				`eventmesh_source_dead_lettered_total eventmesh_reason="retries" 0`,
				`eventmesh_source_dropped_total eventmesh_reason="rejected" 0`,
				`kn_eventing_dispatch_duration_seconds_count http_response_status_code="202" 2`,
				`kn_eventing_dispatch_duration_seconds_count http_response_status_code="503" 2`,
				`kn_eventing_dispatch_duration_seconds_count http_response_status_code="400" 1`,
				"eventmesh_source_buffer_events  0", "eventmesh_source_buffer_limit_events  10000", "eventmesh_source_in_flight  0",
				"eventmesh_source_connected  1", "eventmesh_source_sink_available  1", "eventmesh_source_spool_writable  1",
				"eventmesh_source_spool_commit_events_sum  3",
			}
			eventually(t, func() string { return monitoring.Missing(t, endpoint, wants...) })
			server.Stop()
			eventually(t, func() string { return monitoring.Missing(t, endpoint, "eventmesh_source_connected  0") })
		})
	}
}

// TestProcessContinuesTracesAndAuthenticates: the sink gets the token, as it is at the time, and the trace of the event; dead letters
// go without a token.
func TestProcessContinuesTracesAndAuthenticates(t *testing.T) {
	t.Parallel()
	server, token := eventmeshtest.New(t, eventmeshtest.Options{Storage: eventmeshtest.RocketMQ}), filepath.Join(t.TempDir(), "token")
	sink, dead := newSink(t), newSink(t)
	s := run(t, "EVENTMESH_URL="+server.GRPCURL(), "K_SINK="+sink.url, "EVENTMESH_DEAD_LETTER_SINK="+dead.url, "OIDC_TOKEN_FILE="+token)
	s.awaitReadiness(t, http.StatusOK)
	p := connect(t, server.GRPCURL(), eventmesh.Credentials{})
	const parent, state = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01", "vendor=value"
	for _, want := range []string{"", secret + "1", secret + "22"} {
		if want != "" {
			if err := os.WriteFile(token, []byte(want+"\n"), 0o600); err != nil {
				t.Fatal(err)
			}
			want = "Bearer " + want
		}
		e := sample("event with " + fmt.Sprint(len(want)))
		e.SetExtension("traceparent", parent)
		e.SetExtension("tracestate", state)
		eventually(t, func() string { // the source looks at the file once a second
			publish(t, p, e)
			sink.await(t, e.ID())
			got := sink.headers(e.ID())
			if got.Get("Authorization") != want || got.Get("Traceparent") != parent || got.Get("Tracestate") != state || got.Get("Ce-Traceparent") != parent {
				return fmt.Sprintf("got %v, want authorization %q and the event's trace", got, want)
			}
			return ""
		})
	}
	sink.answers(always(http.StatusUnauthorized))
	publish(t, p, sample("not authorized"))
	dead.await(t, "not authorized")
	if got := dead.headers("not authorized").Get("Authorization"); got != "" {
		t.Error("the token went to the dead letters")
	}
}
