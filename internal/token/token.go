// Package token verifies bearer tokens of one issuer, such as a Kubernetes cluster: those that OpenID Connect calls ID tokens.
//
// The issuer is asked for its keys at the start, every ten minutes, and for each token that none of them has signed, but not much
// oftener than once a second, so that nobody can make up tokens to attack it. Keys stay in use while it cannot be reached. The clocks
// of issuer and verifier may be apart by ten seconds.
package token

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"path/filepath"
	"strings"
	"sync"
	"time"

	"github.com/coreos/go-oidc/v3/oidc"
	"go.uber.org/zap"
	"golang.org/x/time/rate"

	"github.com/eventing-eventmesh/eventing-eventmesh/internal/backoff"
	"github.com/eventing-eventmesh/eventing-eventmesh/internal/line"
)

const (
	// keysAge is how long keys are used before the issuer is asked for those that it has now.
	keysAge = 10 * time.Minute
	// keysPatience is how long a token waits for the keys that could have signed it.
	keysPatience = 5 * time.Second
	// requestPause is the time from one request to the next once requestBurst of them came in a row: as many as the start takes, and then
	// a token with a made-up key.
	requestPause = time.Second
	requestBurst = 4
	// clockSkew is how far the clocks of issuer and verifier may be apart.
	clockSkew = 10 * time.Second
	// reasonLength bounds what is said of a failure, which holds what the issuer has answered.
	reasonLength = 300
)

// keysBackoff is for looks at the keys that failed.
var keysBackoff = backoff.Exponential{Min: time.Second, Max: 30 * time.Second}

// Options say whose tokens are verified.
type Options struct {
	// Issuer is an https URL, under which /.well-known/openid-configuration is found. The API server of the cluster is asked with the
	// token and the authority of the pod's service account, and may call itself otherwise.
	Issuer string
	// CAFile holds the certificates to trust for the issuer, in PEM; without it the system's, or those of the service account.
	CAFile string
	Logger *zap.SugaredLogger
}

// Verifier verifies tokens once it is started. Its methods may be called by several goroutines.
type Verifier struct {
	options  Options
	account  string // folder of the pod's service account; none: the issuer is not the cluster
	limiter  *rate.Limiter
	age      time.Duration // keysAge
	patience time.Duration // keysPatience

	wake chan struct{} // holds one when keys could not be read for a token

	mu   sync.Mutex
	keys *keys // nil until they were read
	err  error // of the latest look
}

// New returns a verifier that knows no keys yet.
func New(o Options) *Verifier {
	v := &Verifier{
		options: o, limiter: rate.NewLimiter(rate.Every(requestPause), requestBurst), age: keysAge, patience: keysPatience,
		wake: make(chan struct{}, 1), err: errors.New("not asked yet"),
	}
	if inCluster(o.Issuer) {
		v.account = serviceAccount
		v.options.CAFile = cmp.Or(o.CAFile, filepath.Join(serviceAccount, "ca.crt"))
	}
	return v
}

// Start reads the issuer's keys in the background. The returned function ends that, and waits for the end; the end of the context
// does not, since at a shutdown requests still come with tokens.
func (v *Verifier) Start(ctx context.Context) (stop func()) {
	ctx, cancel := context.WithCancel(context.WithoutCancel(ctx))
	var running sync.WaitGroup
	running.Go(func() { v.run(ctx) })
	return func() {
		cancel()
		running.Wait()
	}
}

// Ready returns nil when there are keys, however old.
func (v *Verifier) Ready() error {
	v.mu.Lock()
	defer v.mu.Unlock()
	if v.keys == nil {
		return fmt.Errorf("the keys of issuer %s are not known: %w", v.options.Issuer, v.err)
	}
	return nil
}

func (v *Verifier) run(ctx context.Context) {
	for failures := 0; ctx.Err() == nil; {
		wait, wake := v.age, v.wake
		if v.look(ctx) {
			failures = 0
		} else {
			failures++
			wait, wake = keysBackoff.Wait(failures, 0), nil
		}
		select {
		case <-ctx.Done():
		case <-wake:
		case <-time.After(wait):
		}
	}
}

// look reads the issuer's keys, and logs what is new.
func (v *Verifier) look(ctx context.Context) (found bool) {
	keys, err := v.find(ctx)
	v.mu.Lock()
	defer v.mu.Unlock()
	switch {
	case ctx.Err() != nil:
	case err != nil:
		reason := strings.Join(strings.Fields(err.Error()), " ") // of what may be a page of a proxy
		err = errors.New(line.First(reason, reasonLength, "…"))
		if v.err == nil || v.err.Error() != err.Error() {
			v.options.Logger.Warnw("cannot get the keys of the tokens' issuer", "issuer", v.options.Issuer, "known", v.keys != nil, zap.Error(err))
		}
		v.err = err
	default:
		if v.err != nil {
			v.options.Logger.Infow("got the keys of the tokens' issuer", "issuer", keys.issuer)
		}
		v.keys, v.err = keys, nil
	}
	return err == nil
}

// InvalidError says why a token is not valid, without anything that is in it.
type InvalidError string

func (e InvalidError) Error() string { return string(e) }

const malformed InvalidError = "the token is malformed, or signed with an algorithm that is not the issuer's"

// Verify returns the subject of a token that is valid for an audience, an InvalidError if it is not, and another error if nobody can
// tell for now, since keys of the issuer cannot be read.
func (v *Verifier) Verify(ctx context.Context, token, audience string) (subject string, err error) {
	v.mu.Lock()
	a := &attempt{verifier: v, keys: v.keys}
	v.mu.Unlock()
	if a.keys == nil {
		return "", errors.New("the keys of the tokens' issuer are not known yet")
	}
	verified, err := oidc.NewVerifier(a.keys.issuer, a, &oidc.Config{
		ClientID: audience, SupportedSigningAlgs: a.keys.algorithms, SkipExpiryCheck: true, // see current
	}).Verify(ctx, token)
	switch {
	case a.err != nil:
		return "", a.err
	case err == nil:
		return current(verified, time.Now())
	}
	// The library tells the rest by texts alone, which go on with claims of the token.
	switch said := err.Error(); {
	case strings.HasPrefix(said, "oidc: id token issued by a different provider"):
		return "", InvalidError("the token is from another issuer")
	case strings.HasPrefix(said, "oidc: expected audience"):
		return "", InvalidError("the token is for another audience")
	}
	return "", malformed
}

// current returns the subject of a token that is valid now, as far as clocks may differ. The library lets them differ by minutes at
// the start of a token, and not at all at its end.
func current(token *oidc.IDToken, now time.Time) (subject string, err error) {
	var claims struct {
		NotBefore json.Number `json:"nbf"`
	}
	if token.Claims(&claims) != nil {
		return "", malformed
	}
	start, err := cmp.Or(claims.NotBefore, "0").Float64()
	switch {
	case err != nil:
		return "", malformed
	case token.Expiry.Before(now.Add(-clockSkew)):
		return "", InvalidError("the token has expired")
	case start > float64(now.Add(clockSkew).Unix()):
		return "", InvalidError("the token is not valid yet")
	}
	return token.Subject, nil
}

// attempt looks for the key of one token. It remembers how that failed, of which the library keeps the text alone.
type attempt struct {
	verifier *Verifier
	keys     *keys
	err      error
}

// VerifySignature is for the library.
func (a *attempt) VerifySignature(ctx context.Context, token string) (payload []byte, err error) {
	ctx, cancel := context.WithTimeout(ctx, a.verifier.patience)
	defer cancel()
	begun := a.keys.reads.Load()
	for fresh := false; !fresh && ctx.Err() == nil; {
		// A read that had begun before may lack the key that has signed the token.
		fresh = a.keys.reads.Load() > begun
		if payload, err = a.keys.set.VerifySignature(ctx, token); err == nil {
			return payload, nil
		}
	}
	a.err = InvalidError("the token's signature is not by a key of the issuer")
	if unread(ctx, err) {
		a.err = errors.New("the keys of the tokens' issuer cannot be read, and none that is known has signed the token")
		select {
		case a.verifier.wake <- struct{}{}: // to tell why in the log
		default:
		}
	}
	return nil, a.err
}
