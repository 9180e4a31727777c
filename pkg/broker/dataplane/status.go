package dataplane

import (
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"net/http"

	"github.com/eventing-eventmesh/eventing-eventmesh/pkg/broker/table"
)

// Status is what a replica tells the controller: what it serves at the moment.
type Status struct {
	// Brokers are those that it knows, by UID.
	Brokers map[string]BrokerStatus `json:"brokers"`
	// HTTPS says that an ingress can be reached by that, and CACerts whom senders have to trust then, if it is known.
	HTTPS   bool   `json:"https,omitempty"`
	CACerts string `json:"caCerts,omitempty"`
}

// BrokerStatus is that of a Broker.
type BrokerStatus struct {
	// Generation is that of the object that is served.
	Generation int64 `json:"generation"`
	// Topic is that of the Broker, once it has one.
	Topic string `json:"topic,omitempty"`
	// Problem says why events do not get through; without one they do.
	Problem *table.Problem `json:"problem,omitempty"`
	// Triggers are those of the Broker, by UID. The ingress knows none.
	Triggers map[string]TriggerStatus `json:"triggers,omitempty"`
}

// TriggerStatus is that of a Trigger.
type TriggerStatus struct {
	Generation int64          `json:"generation"`
	Problem    *table.Problem `json:"problem,omitempty"`
}

// StatusPath is where it is served.
const StatusPath = "/status"

// Handler serves a status. Who has seen it, by its ETag, gets 304.
func Handler(status func() Status) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path != StatusPath {
			http.NotFound(w, r)
			return
		}
		body, err := json.Marshal(status())
		if err != nil {
			http.Error(w, err.Error(), http.StatusInternalServerError)
			return
		}
		sum := sha256.Sum256(body)
		tag := `"` + hex.EncodeToString(sum[:16]) + `"`
		w.Header().Set("ETag", tag)
		if r.Header.Get("If-None-Match") == tag {
			w.WriteHeader(http.StatusNotModified)
			return
		}
		w.Header().Set("Content-Type", "application/json")
		_, _ = w.Write(append(body, '\n')) // the controller asks again
	})
}
