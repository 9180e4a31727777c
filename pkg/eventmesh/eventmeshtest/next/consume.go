package next

import (
	"net/http"
	"slices"
	"strings"

	"github.com/eventing-eventmesh/eventing-eventmesh/pkg/eventmesh/eventmeshtest"
	"github.com/eventing-eventmesh/eventing-eventmesh/pkg/eventmesh/eventmeshtest/internal/jackson"
)

func (x *exchange) subscribe() {
	members := x.members()
	f := x.s.fault()
	if f.StallSubscribe {
		x.stall()
	}
	if f.RefuseSubscribe {
		x.refuse(http.StatusInternalServerError, "refused")
		return
	}
	client, hasClient := members["clientId"]
	topic, hasTopic := members["topic"]
	mode, hasMode := members["mode"]
	if !hasClient || !hasTopic || !hasMode {
		x.refuse(http.StatusBadRequest, "missing clientId/topic/mode")
		return
	}
	if !slices.Contains(modes, mode) {
		x.hangUp("no mode is called " + mode)
	}
	o := jackson.NewObject()
	o.Set("subscriptionId", x.s.broker.subscribe(client, topic, mode))
	o.Set("instanceUrl", x.s.options.InstanceURL)
	x.answer(http.StatusOK, jackson.Append(nil, o))
}

func (x *exchange) unsubscribe() {
	members := x.members()
	if x.s.fault().StallUnsubscribe {
		x.stall()
	}
	client, hasClient := members["clientId"]
	if !hasClient {
		x.refuse(http.StatusBadRequest, "missing clientId")
		return
	}
	var removed bool
	if topic, ok := members["topic"]; ok {
		removed = x.s.broker.unsubscribe(client, topic)
	} else {
		removed = x.s.broker.leave(client)
	}
	x.say(http.StatusOK, "removed", removed)
}

func (x *exchange) poll() {
	client, ok := x.parameter("clientId")
	if !ok {
		x.refuse(http.StatusBadRequest, "missing clientId")
		return
	}
	most := x.number("max", 100, 32)
	patience := x.patience(1000)
	f := x.s.fault()
	if f.StallPoll {
		x.stall()
	}
	taken, err := x.s.broker.poll(x.running, client, patience, int(most), x.session(client))
	if err != nil {
		x.hangUp(err.Error())
	}
	body, err := renderPolled(taken)
	switch {
	case err != nil:
		x.hangUp(err.Error() + "; every event of the poll comes again later")
	case happens(f.LosePolls):
		x.hangUp("its answer is lost")
	}
	x.answer(http.StatusOK, body)
}

// session returns the client's session on the request's connection.
func (x *exchange) session(client string) *eventmeshtest.Session {
	of, ok := x.r.Context().Value(connectionKey{}).(*connection)
	if !ok {
		return nil
	}
	user, _ := strings.CutPrefix(x.r.Header.Get("Authorization"), "Bearer ")
	return x.s.broker.session(of, client, user)
}

func (x *exchange) acknowledge() {
	members := x.members()
	f := x.s.fault()
	if f.StallAcknowledge {
		x.stall()
	}
	id, ok := members["deliveryId"]
	if !ok {
		x.refuse(http.StatusBadRequest, "missing deliveryId")
		return
	}
	known, err := x.s.broker.acknowledge(id)
	switch {
	case err != nil:
		x.hangUp(err.Error())
	case happens(f.LoseAcknowledgements):
		x.hangUp("its answer is lost")
	case known:
		x.say(http.StatusOK, "status", "acked")
	default:
		x.refuse(http.StatusNotFound, "unknown deliveryId")
	}
}
