package sink

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"os"
	"slices"
	"strings"
	"time"

	"github.com/coreos/go-oidc/v3/oidc"
	"go.uber.org/zap"

	"github.com/eventing-eventmesh/eventing-eventmesh/pkg/adapter"
)

// OIDC is the part of the configuration that says who may send.
type OIDC struct {
	// Audience switches authentication on.
	Audience string `envconfig:"OIDC_AUDIENCE" desc:"audience that the tokens of senders are for; with it every request needs a token" want:"the audience that the Trigger's subscriber names"`
	// Issuer signs the tokens.
	Issuer string `envconfig:"OIDC_ISSUER" default:"https://kubernetes.default.svc" desc:"issuer of the tokens; by default the cluster, whose certificate and token are those of the pod's service account" want:"an https URL, under which /.well-known/openid-configuration is found"`
	// Subjects are those that may send.
	Subjects Subjects `envconfig:"OIDC_SUBJECTS" desc:"who may send; without it everybody with a token of the issuer for the audience, which in a cluster is every pod that asks for one" want:"subjects, comma separated, such as system:serviceaccount:namespace:name; a * at the end of a subject stands for any rest"`
	// IssuerCAFile is for issuers with a certificate of their own.
	IssuerCAFile string `envconfig:"OIDC_CA_FILE" desc:"certificates to trust for the issuer, read again at every look at its keys; by default the system's, and for the cluster those of the pod's service account" want:"the path of a file in PEM"`
}

func (o *OIDC) validateTokens() error {
	if o.Audience == "" {
		if len(o.Subjects) > 0 {
			return errors.New("OIDC_SUBJECTS is set without OIDC_AUDIENCE: want both, or nobody is asked for a token")
		}
		return nil
	}
	if u, err := url.Parse(o.Issuer); err != nil || u.Scheme != "https" || u.Host == "" || u.User != nil || u.RawQuery != "" || u.Fragment != "" || !adapter.ValidPort(u) {
		return adapter.Invalid("OIDC_ISSUER", withoutUser(u), "an https URL without user, query and fragment")
	}
	if o.IssuerCAFile != "" {
		pem, err := os.ReadFile(o.IssuerCAFile)
		if err != nil {
			return fmt.Errorf("OIDC_CA_FILE: %w", err)
		}
		if _, err := poolOf(pem); err != nil {
			return adapter.Invalid("OIDC_CA_FILE", o.IssuerCAFile, "a file with certificates in PEM")
		}
	}
	return nil
}

func withoutUser(u *url.URL) string {
	if u == nil {
		return "no URL"
	}
	return u.Redacted()
}

// Subjects are patterns of subjects: whole ones, or the start of some with a * at the end.
type Subjects []string

// Decode parses patterns that are separated by commas, for envconfig.
func (s *Subjects) Decode(value string) error {
	*s = nil
	for pattern := range strings.SplitSeq(value, ",") {
		pattern = strings.TrimSpace(pattern)
		if pattern == "" {
			continue
		}
		if strings.Contains(strings.TrimSuffix(pattern, wildcard), wildcard) {
			return fmt.Errorf("subject %q has a * before its end", pattern)
		}
		*s = append(*s, pattern)
	}
	return nil
}

// match tells whether one of the patterns is for the subject.
func (s Subjects) match(subject string) bool { return Topics(s).match(subject) }

// authenticator asks senders for their tokens.
type authenticator struct {
	audience string
	subjects Subjects
	issuer   *issuer
}

func newAuthenticator(o OIDC, logger *zap.SugaredLogger) *authenticator {
	return &authenticator{audience: o.Audience, subjects: o.Subjects, issuer: newIssuer(o, logger)}
}

// start looks for the issuer's keys in the background. The returned function ends that, and waits for the end.
func (a *authenticator) start(ctx context.Context) (stop func()) {
	ctx, cancel := context.WithCancel(context.WithoutCancel(ctx)) // requests are served for longer than the context lives
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		a.issuer.run(ctx)
	}()
	return func() {
		cancel()
		<-ended
	}
}

// ready returns nil, or why no token can be verified.
func (a *authenticator) ready() error {
	if a == nil {
		return nil
	}
	return a.issuer.ready()
}

// authenticate returns nil for a request that may be served, without reading its body. What it says of a token is no more
// than its subject.
func (a *authenticator) authenticate(w http.ResponseWriter, r *http.Request) error {
	if a == nil {
		return nil
	}
	scheme, token, _ := strings.Cut(r.Header.Get("Authorization"), " ")
	if token = strings.TrimSpace(token); token == "" || !strings.EqualFold(scheme, "Bearer") {
		w.Header().Set("WWW-Authenticate", "Bearer")
		return refusef(http.StatusUnauthorized, "a bearer token is needed")
	}
	verified, err := a.verify(r.Context(), token)
	var invalid invalidTokenError
	switch {
	case errors.As(err, &invalid):
		w.Header().Set("WWW-Authenticate", fmt.Sprintf(`Bearer error="invalid_token", error_description=%q`, string(invalid)))
		return refusef(http.StatusUnauthorized, "%w", invalid)
	case err != nil:
		return refusef(http.StatusServiceUnavailable, "%w", err)
	case len(a.subjects) > 0 && !a.subjects.match(verified.Subject):
		return refusef(http.StatusForbidden, "subject %q may not send: it is not one of OIDC_SUBJECTS", verified.Subject)
	}
	return nil
}

// invalidTokenError says why a token is not taken, without anything that is in it.
type invalidTokenError string

func (e invalidTokenError) Error() string { return string(e) }

// reasons are what errors of the library mean. Their own texts hold claims of the token.
var reasons = []struct {
	start  string
	reason invalidTokenError
}{
	{"oidc: id token issued by a different provider", "the token is from another issuer"},
	{"oidc: expected audience", "the token is for another audience"},
	{"oidc: current time", "the token is not valid yet"},
	{"failed to verify signature", "the token's signature is not one of the issuer's"},
}

// verify returns the token if it is valid, an invalidTokenError if it is not, and another error if that is not known.
func (a *authenticator) verify(ctx context.Context, token string) (*oidc.IDToken, error) {
	verifier, err := a.issuer.verifier(ctx, token, a.audience)
	if err != nil {
		return nil, err
	}
	verified, err := verifier.Verify(ctx, token)
	if err == nil {
		return verified, begun(verified, time.Now())
	}
	var expired *oidc.TokenExpiredError
	if errors.As(err, &expired) {
		return nil, invalidTokenError("the token has expired")
	}
	for _, r := range reasons {
		if strings.HasPrefix(err.Error(), r.start) {
			return nil, r.reason
		}
	}
	return nil, invalidTokenError("the token is malformed")
}

// begun returns nil once a token is valid, as far as clocks may differ. The library lets them differ by minutes.
func begun(token *oidc.IDToken, now time.Time) error {
	var claims struct {
		NotBefore json.Number `json:"nbf"`
	}
	if err := token.Claims(&claims); err != nil {
		return invalidTokenError("the token is malformed")
	}
	if claims.NotBefore == "" {
		return nil
	}
	start, err := claims.NotBefore.Float64()
	switch {
	case err != nil:
		return invalidTokenError("the token is malformed")
	case start > float64(now.Add(clockSkew).Unix()):
		return invalidTokenError("the token is not valid yet")
	}
	return nil
}

// algorithmsOf returns which of an issuer's algorithms can be verified by a public key.
func algorithmsOf(announced []string) []string {
	asymmetric := []string{oidc.RS256, oidc.RS384, oidc.RS512, oidc.ES256, oidc.ES384, oidc.ES512, oidc.PS256, oidc.PS384, oidc.PS512, oidc.EdDSA}
	known := slices.DeleteFunc(slices.Clone(announced), func(name string) bool { return !slices.Contains(asymmetric, name) })
	if len(known) == 0 {
		return []string{oidc.RS256} // which every issuer has
	}
	return known
}
