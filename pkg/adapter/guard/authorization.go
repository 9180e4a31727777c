package guard

import (
	"errors"
	"fmt"
	"sync"
	"time"

	"github.com/eventing-eventmesh/eventing-eventmesh/pkg/eventmesh"
)

// believedFor is how long a refusal makes the sink not ready. Nothing but a publish can tell that credentials are accepted, and no
// publish comes to a sink that is not ready: after this time it asks for one.
const believedFor = 30 * time.Second

// authorization remembers whether EventMesh accepts the credentials. Over gRPC it looks at them with the first publish only, so
// that a connection tells nothing about them.
type authorization struct {
	mu      sync.Mutex
	refusal error
	at      time.Time
}

// learn notes what became of a publish, and returns whether that is news: refused, or accepted again.
func (a *authorization) learn(err error, now time.Time) (refused, taken bool) {
	a.mu.Lock()
	defer a.mu.Unlock()
	was := a.refusal != nil
	switch {
	case err == nil:
		a.refusal = nil
	case errors.Is(err, eventmesh.ErrUnauthorized):
		a.refusal, a.at = err, now
	}
	return !was && a.refusal != nil, was && a.refusal == nil
}

// ready returns nil, or the latest refusal while it is believed.
func (a *authorization) ready(now time.Time) error {
	a.mu.Lock()
	defer a.mu.Unlock()
	if now.Sub(a.at) >= believedFor {
		return nil
	}
	return a.told()
}

// refused returns nil, or the latest refusal, if EventMesh has confirmed nothing since.
func (a *authorization) refused() error {
	a.mu.Lock()
	defer a.mu.Unlock()
	return a.told()
}

func (a *authorization) told() error {
	if a.refusal == nil {
		return nil
	}
	return fmt.Errorf("EventMesh does not accept the credentials: %w", a.refusal)
}
