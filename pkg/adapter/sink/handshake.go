package sink

import "net/http"

// eventMethods are what the paths of events answer to.
const eventMethods = http.MethodPost + ", " + http.MethodOptions

// handshake answers whether a sender may send events to the path of its request, or to the server as a whole (*), as CloudEvents'
// webhook specification has it, and as Knative's Brokers do: everybody, and as many as it likes. No token is asked for, since this
// gives nobody a right; so it does not tell either which topics are open where tokens are asked for. The answer is given at once: a
// callback that the request names is never called.
func (h *handler) handshake(w http.ResponseWriter, r *http.Request) {
	to, err := h.route(r)
	if err != nil && r.URL.Path != "*" && (h.senders == nil || statusOf(err) != http.StatusForbidden) {
		h.refuse(w, to, err)
		return
	}
	header := w.Header()
	header.Set("Allow", eventMethods)
	header.Set("WebHook-Allowed-Origin", "*")
	header.Set("WebHook-Allowed-Rate", "*")
	w.WriteHeader(http.StatusOK)
}
