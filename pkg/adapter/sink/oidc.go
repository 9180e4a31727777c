package sink

import (
	"crypto/x509"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"os"
	"strings"

	"go.uber.org/zap"

	"github.com/eventing-eventmesh/eventing-eventmesh/internal/token"
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
		if !x509.NewCertPool().AppendCertsFromPEM(pem) {
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
	tokens   *token.Verifier
}

func newAuthenticator(o OIDC, logger *zap.SugaredLogger) *authenticator {
	tokens := token.New(token.Options{Issuer: o.Issuer, CAFile: o.IssuerCAFile, Logger: logger})
	return &authenticator{audience: o.Audience, subjects: o.Subjects, tokens: tokens}
}

// ready returns nil, or why no token can be verified.
func (a *authenticator) ready() error {
	if a == nil {
		return nil
	}
	return a.tokens.Ready()
}

// authenticate returns nil for a request that may be served, without reading its body. What it says of a token is no more
// than its subject.
func (a *authenticator) authenticate(w http.ResponseWriter, r *http.Request) error {
	if a == nil {
		return nil
	}
	scheme, presented, _ := strings.Cut(r.Header.Get("Authorization"), " ")
	if presented = strings.TrimSpace(presented); presented == "" || !strings.EqualFold(scheme, "Bearer") {
		w.Header().Set("WWW-Authenticate", "Bearer")
		return refusef(http.StatusUnauthorized, "a bearer token is needed")
	}
	subject, err := a.tokens.Verify(r.Context(), presented, a.audience)
	var invalid token.InvalidError
	switch {
	case errors.As(err, &invalid):
		w.Header().Set("WWW-Authenticate", fmt.Sprintf(`Bearer error="invalid_token", error_description=%q`, string(invalid)))
		return refusef(http.StatusUnauthorized, "%w", invalid)
	case err != nil:
		return refusef(http.StatusServiceUnavailable, "%w", err)
	case len(a.subjects) > 0 && !a.subjects.match(subject):
		return refusef(http.StatusForbidden, "subject %q may not send: it is not one of OIDC_SUBJECTS", subject)
	}
	return nil
}
