package sink

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"net/url"
	"strings"
	"sync"
	"time"

	"github.com/coreos/go-oidc/v3/oidc"
	"github.com/go-jose/go-jose/v4"
	"go.uber.org/zap"
)

const (
	// keysAge is how long keys are used before the issuer is asked for those that it has now.
	keysAge = 10 * time.Minute
	// keysPause is the least time between two looks, so that made-up key IDs cannot make the sink attack the issuer.
	keysPause = time.Second
	// keysPatience is how long a request waits for the key that its token names.
	keysPatience = 5 * time.Second
	// keysBackoff doubles after each failure in a row, up to keysBackoffMax.
	keysBackoff    = time.Second
	keysBackoffMax = 30 * time.Second
	// clockSkew is how far the clocks of issuer and sink may be apart.
	clockSkew = 10 * time.Second
	// reasonLength bounds what is said of a failure, which holds what the issuer has answered.
	reasonLength = 300
)

// issuer knows the keys of who signs tokens. It asks for them in the background: at the start, from time to time, and when a
// token names one that it does not know. Keys that it has stay in use while the issuer cannot be reached.
type issuer struct {
	discovery discovery
	logger    *zap.SugaredLogger
	pause     time.Duration // keysPause
	patience  time.Duration // keysPatience

	wake chan struct{} // holds one while a request waits for the next look

	mu      sync.Mutex
	current *signers // nil until the first look that worked
	err     error    // why current is nil
	next    *look
}

// signers are the keys that were found by one look.
type signers struct {
	issuer     string
	algorithms []string
	keys       map[string]*oidc.StaticKeySet // by ID; all of them under ""
}

// look is one attempt to get the keys. Once done is closed, err tells how it went.
type look struct {
	done chan struct{}
	err  error
}

func newLook() *look { return &look{done: make(chan struct{})} }

func newIssuer(o OIDC, logger *zap.SugaredLogger) *issuer {
	return &issuer{
		discovery: newDiscovery(o), logger: logger, pause: keysPause, patience: keysPatience,
		wake: make(chan struct{}, 1), next: newLook(), err: errors.New("not asked yet"),
	}
}

// ready returns nil when there are keys, however old.
func (i *issuer) ready() error {
	i.mu.Lock()
	defer i.mu.Unlock()
	if i.current == nil {
		return fmt.Errorf("the keys of issuer %s are not known: %w", i.discovery.url, i.err)
	}
	return nil
}

// run looks for keys until the context ends.
func (i *issuer) run(ctx context.Context) {
	for failures := 0; ; {
		wait := keysAge
		if err := i.look(ctx); err != nil {
			wait = rand.N(min(keysBackoff<<min(failures, 10), keysBackoffMax)) //nolint:gosec // spreads load, hides nothing
			failures++
		} else {
			failures = 0
		}
		if !sleep(ctx, i.pause, nil) || !sleep(ctx, wait, i.wake) {
			return
		}
	}
}

// sleep returns after the time or when it is woken, and whether the context still lives.
func sleep(ctx context.Context, d time.Duration, woken <-chan struct{}) bool {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-ctx.Done():
		return false
	case <-woken:
	case <-timer.C:
	}
	return true
}

func (i *issuer) look(ctx context.Context) error {
	i.mu.Lock()
	this := i.next
	i.next = newLook()
	i.mu.Unlock()
	found, err := i.discovery.find(ctx)
	if err != nil {
		err = shortened(err)
	}
	i.mu.Lock()
	defer i.mu.Unlock()
	this.err = err
	close(this.done)
	switch {
	case ctx.Err() != nil:
	case err != nil:
		if i.err == nil || i.err.Error() != err.Error() {
			i.logger.Warnw("cannot get the keys of the tokens' issuer", "issuer", i.discovery.url, "known", i.current != nil, zap.Error(err))
		}
		i.err = err
	default:
		if i.err != nil {
			i.logger.Infow("got the keys of the tokens' issuer", "issuer", found.issuer, "keys", len(found.keys[""].PublicKeys))
		}
		i.current, i.err = found, nil
	}
	return err
}

// shortened makes one short line of what may be a page of a proxy.
func shortened(err error) error {
	line := strings.Join(strings.Fields(err.Error()), " ")
	if len(line) > reasonLength {
		line = strings.ToValidUTF8(line[:reasonLength], "") + "…"
	}
	return errors.New(line)
}

// verifier returns what verifies a token: an invalidTokenError if nothing does, another error if that is not known.
func (i *issuer) verifier(ctx context.Context, token, audience string) (*oidc.IDTokenVerifier, error) {
	i.mu.Lock()
	current, next := i.current, i.next
	i.mu.Unlock()
	if current == nil {
		return nil, errors.New("the keys of the tokens' issuer are not known yet")
	}
	id, err := current.keyID(token)
	if err != nil {
		return nil, err
	}
	if _, known := current.keys[id]; !known {
		if current, err = i.await(ctx, next); err != nil {
			return nil, err
		}
	}
	keys, known := current.keys[id]
	if !known {
		return nil, invalidTokenError("the token's key is not one of the issuer's")
	}
	return oidc.NewVerifier(current.issuer, keys, &oidc.Config{
		ClientID: audience, SupportedSigningAlgs: current.algorithms, Now: func() time.Time { return time.Now().Add(-clockSkew) },
	}), nil
}

// await waits for a look that began after the request had come, so that it finds every key that signed the request's token.
func (i *issuer) await(ctx context.Context, next *look) (*signers, error) {
	select {
	case i.wake <- struct{}{}:
	default:
	}
	ctx, cancel := context.WithTimeout(ctx, i.patience)
	defer cancel()
	select {
	case <-next.done:
	case <-ctx.Done():
		return nil, errors.New("the keys of the tokens' issuer could not be read in time, and the token names one that is not known")
	}
	if next.err != nil {
		return nil, errors.New("the keys of the tokens' issuer cannot be read, and the token names one that is not known")
	}
	i.mu.Lock()
	defer i.mu.Unlock()
	return i.current, nil
}

// keyID returns the ID of the key that a token names, if it is signed in a way that can be trusted.
func (s *signers) keyID(token string) (string, error) {
	algorithms := make([]jose.SignatureAlgorithm, len(s.algorithms))
	for n, name := range s.algorithms {
		algorithms[n] = jose.SignatureAlgorithm(name)
	}
	parsed, err := jose.ParseSigned(token, algorithms)
	if err != nil || len(parsed.Signatures) != 1 {
		return "", invalidTokenError("the token is malformed, or signed with an algorithm that is not the issuer's")
	}
	return parsed.Signatures[0].Header.KeyID, nil
}

// inCluster tells whether the issuer is the API server of the cluster that the sink runs in.
func inCluster(issuer string) bool {
	const host = "kubernetes.default.svc"
	u, err := url.Parse(issuer)
	return err == nil && (u.Hostname() == host || strings.HasPrefix(u.Hostname(), host+"."))
}
