package broker

import (
	"net"
	"net/http"
	"os"
	"testing"

	eventingv1 "knative.dev/eventing/pkg/apis/eventing/v1"

	"github.com/eventing-eventmesh/eventing-eventmesh/internal/await"
	"github.com/eventing-eventmesh/eventing-eventmesh/internal/ingresstest"
	"github.com/eventing-eventmesh/eventing-eventmesh/internal/monitoring"
)

// What the processes say of themselves is what has happened to them, and what is documented and alerted on.
func TestMetrics(t *testing.T) {
	t.Parallel()
	s := newStage(t, "gRPC")
	good, refuses, dies, away, dead := newSubscriber(t, nil), newSubscriber(t, says(http.StatusBadRequest)), newSubscriber(t, says(http.StatusInternalServerError)),
		newSubscriber(t, says(http.StatusServiceUnavailable)), newSubscriber(t, nil)
	s.triggers = []*eventingv1.Trigger{
		trigger("good", good), retrying(trigger("refuses", refuses), 0, nil), retrying(trigger("dies", dies), 1, dead), retrying(trigger("away", away), 1_000_000, nil),
	}
	s.write(t)
	ingress, variable := monitoring.Serve(t)
	_, port, _ := net.SplitHostPort(monitoring.FreeAddress(t)) // which metrics name
	s.startIngress(t, port, variable)
	dispatcher, variable := monitoring.Serve(t)
	s.startDispatcher(t, variable, "EVENTMESH_BUFFER_EVENTS=4")
	s.play(t)
	says := func(address string, samples ...string) {
		t.Helper()
		await.Until(t, await.Patience, func() string { return monitoring.Missing(t, address, samples...) })
	}
	says(ingress, `messaging_client_sent_messages_total error_type="unauthorized" 0`) // before there is an event
	says(dispatcher, `eventmesh_broker_dispatcher_dropped_total kn_trigger_name="refuses" 0`, `eventmesh_broker_dispatcher_connected kn_broker_name="default" 1`)

	s.mustSend(t, newEvent("1", "order"))
	ingresstest.SendBatch(t, s.address+"/shop/default", ingresstest.BatchOf("2"))
	good.awaits(t, "the subscriber", "1", "2")
	dead.awaits(t, "the dead letter sink", "1", "2")
	says(ingress, `messaging_client_sent_messages_total messaging_operation_name="publish" 2`, `eventmesh_broker_ingress_connected server_address="grpc:// 1`, "eventmesh_broker_ingress_batch_events_sum  1")
	says(dispatcher,
		`eventmesh_broker_dispatcher_delivered_total kn_trigger_name="good" 2`,
		`eventmesh_broker_dispatcher_redelivered_total kn_trigger_name="dies" 2`,
		`eventmesh_broker_dispatcher_dead_lettered_total eventmesh_reason="retries",kn_trigger_name="dies" 2`,
		`eventmesh_broker_dispatcher_dropped_total eventmesh_reason="rejected",kn_trigger_name="refuses" 2`,
		`eventmesh_broker_dispatcher_destination_events kn_trigger_name="good" 0`,
		`eventmesh_broker_dispatcher_destination_events kn_trigger_name="away" 2`,
		`eventmesh_broker_dispatcher_destination_filled_ratio kn_trigger_name="away" 0.5`,
		`eventmesh_broker_dispatcher_sink_available kn_trigger_name="away" 0`,
		`eventmesh_broker_dispatcher_sink_available kn_trigger_name="good" 1`,
		"eventmesh_broker_dispatcher_spool_writable  1",
	)
	if err := os.Rename(s.spool, s.spool+" elsewhere"); err != nil {
		t.Fatal(err)
	}
	says(dispatcher, "eventmesh_broker_dispatcher_spool_writable  0")
	s.mustSend(t, newEvent("3", "order"))
	await.Until(t, await.Patience, func() string { return monitoring.CheckProcess(t, "broker-dispatcher", dispatcher) })
	if s.mesh == nil {
		return // the rest needs an EventMesh that can be stopped
	}
	s.mesh.Stop()
	says(dispatcher, `eventmesh_broker_dispatcher_connected kn_broker_name="default" 0`)
	if status, said := s.send(t, "default", newEvent("4", "order")); status != http.StatusServiceUnavailable {
		t.Errorf("got %d %s without EventMesh, want 503", status, said)
	}
	await.Until(t, await.Patience, func() string { return monitoring.CheckProcess(t, "broker-ingress", ingress) })
}
