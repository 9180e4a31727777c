//go:build e2e

package e2e

import (
	"fmt"
	"net/http"
	"testing"
)

const several = "e2e-several"

// TestSeveral: several sinks and sources in one namespace get what is theirs, and nothing of the others.
func TestSeveral(t *testing.T) {
	t.Parallel()
	namespace(t, several)
	run(t, nil, "kustomize build test/e2e/several | ko apply -f -")
	run(t, nil, "kubectl -n "+several+" wait --for=condition=Ready broker/default trigger/orders trigger/payments trigger/audit --timeout=3m")
	awaitReady(t, several, sink, 6)
	awaitReady(t, several, source, 2)
	awaitReady(t, several, "event-display", 1)
	awaitReady(t, several, "subscriber", 1)

	const each = 100
	types := [...]string{"org.example.audit", "org.example.order", "org.example.payment"}
	for n := range len(types) * each {
		eventually(t, func() string {
			if status, err := post(t.Context(), knativeIngress, several, types[n%len(types)], n+1); status != http.StatusAccepted {
				return fmt.Sprintf("event %d: %d %v", n+1, status, err)
			}
			return ""
		})
	}
	// What another sink than its own got of a topic would have been answered 403, which Brokers do not try again.
	awaitNumbers(t, several, "subscriber", 1, len(types)*each, len(types))
	awaitNumbers(t, several, "event-display", 2, len(types)*each, len(types))
	awaitNumbers(t, several, "event-display", 3, len(types)*each, len(types))
	for program, want := range map[string]int{"subscriber": each, "event-display": 2 * each} {
		if got := len(received(t, several, program)); got != want {
			t.Errorf("%s has got %d events, want %d", program, got, want)
		}
	}
}
