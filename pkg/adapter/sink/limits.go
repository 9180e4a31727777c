package sink

import "net/http"

// spareConnections are those that may be open besides one for each event in flight, by default.
const spareConnections = 1000

// maxConnections returns how many connections may be open.
func (c *Config) maxConnections() int {
	if c.MaxConnections > 0 {
		return c.MaxConnections
	}
	return c.MaxInFlight + spareConnections
}

// admit reads the body of a request, and then takes one of the places in flight: slow senders hold none. What it has taken is
// given back by leave.
func (h *handler) admit(w http.ResponseWriter, r *http.Request) (body []byte, leave func(), err error) {
	body, release, err := h.bodies.read(w, r, h.config.MaxEventBytes)
	if err != nil {
		return nil, nil, err
	}
	select {
	case h.inFlight <- struct{}{}:
	default:
		release()
		return nil, nil, refusef(http.StatusTooManyRequests, "%d requests are in flight, as many as EVENTMESH_MAX_IN_FLIGHT allows", h.config.MaxInFlight)
	}
	end := begin(r.Context())
	return body, func() {
		end()
		<-h.inFlight
		release()
	}, nil
}
