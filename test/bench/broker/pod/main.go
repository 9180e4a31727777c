// Pod is what the bench of Brokers runs in the cluster: it posts events, and receives what Triggers deliver, on port 8080.
package main

import (
	"log"
	"net/http"
	"time"

	"github.com/eventing-eventmesh/eventing-eventmesh/test/bench/broker/load"
)

func main() {
	server := &http.Server{Addr: ":8080", Handler: load.New(), ReadHeaderTimeout: 10 * time.Second}
	log.Fatal(server.ListenAndServe())
}
