package dispatcher

import (
	"crypto/tls"
	"net/http"
	"net/url"
	"strings"
	"time"

	"github.com/eventing-eventmesh/eventing-eventmesh/pkg/adapter/delivery"
	"github.com/eventing-eventmesh/eventing-eventmesh/pkg/broker/table"
	"github.com/eventing-eventmesh/eventing-eventmesh/pkg/dispatch"
)

// way is all that makes a destination what it is.
type way struct {
	// owner is the UID of the Trigger or Broker whose connections these are.
	owner, namespace string
	to               table.Endpoint
	// trust is whom to trust besides the authorities of the system and of the endpoint, in PEM.
	trust       string
	timeout     time.Duration
	mode        dispatch.ContentMode
	connections int
	// account is as whom events are sent to a place with an audience, or "".
	account string
	// replies says that the answer may be an event, and answerable whose token sends that on, if any: without it no event could be answered.
	replies    bool
	answerable identity
}

// destinations are the connections to all that there are. A destination stays the same for as long as its way does. One goroutine at a time
// uses it.
type destinations struct {
	tokens     *tokens
	trust      string
	open, next map[way]*dispatch.HTTP
}

// identity is as whom events are sent.
func (w way) identity() identity { return identity{w.namespace, w.account, w.to.Audience} }

// get returns the destination of a way, and nil where it leads nowhere.
func (d *destinations) get(w way) dispatch.Destination {
	if w.to.URL == "" {
		return nil
	}
	w.trust = d.trust
	found := d.open[w]
	if found == nil {
		u, err := url.Parse(w.to.URL)
		if err != nil {
			return nil
		}
		o := dispatch.HTTPOptions{
			URL: u, Timeout: w.timeout, Mode: w.mode, MaxConnections: w.connections, Replies: w.replies, NothingElse: w.replies,
			Header: http.Header{delivery.NamespaceHeader: {w.namespace}}, Token: d.tokens.of(w.identity(), w.answerable),
			TLS: func() (*tls.Config, error) {
				authorities := strings.Trim(w.to.CACerts+"\n"+w.trust, "\n")
				return delivery.Trusted(&authorities)
			},
		}
		found = dispatch.NewHTTP(o)
	}
	d.next[w] = found
	return found
}

// begin begins a new set, of those who trust the same bundles besides, and end closes what is not in it.
func (d *destinations) begin(trust string) {
	d.trust, d.next = trust, make(map[way]*dispatch.HTTP, len(d.open))
}

func (d *destinations) end() {
	senders := map[identity]bool{}
	for w := range d.next {
		if id := w.identity(); id.needsToken() {
			senders[id] = true
		}
	}
	d.tokens.want(senders)
	for w, one := range d.open {
		if d.next[w] == nil {
			one.Close()
		}
	}
	d.open = d.next
}
