package sink

import (
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"strings"

	"go.uber.org/zap"

	"github.com/eventing-eventmesh/eventing-eventmesh/internal/token"
	"github.com/eventing-eventmesh/eventing-eventmesh/pkg/adapter"
	"github.com/eventing-eventmesh/eventing-eventmesh/pkg/ingress"
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
		_, err := adapter.Authorities("OIDC_CA_FILE", o.IssuerCAFile)
		return err
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
	OIDC
	tokens *token.Verifier
}

// newAuthenticator returns nil where nobody is asked for a token.
func newAuthenticator(o OIDC, logger *zap.SugaredLogger) *authenticator {
	if o.Audience == "" {
		return nil
	}
	return &authenticator{o, token.New(token.Options{Issuer: o.Issuer, CAFile: o.IssuerCAFile, Logger: logger})}
}

// authenticate returns nil for a request that may be served.
func (a *authenticator) authenticate(r *http.Request) error {
	subject, err := ingress.Subject(r, a.tokens, a.Audience)
	if err == nil && len(a.Subjects) > 0 && !a.Subjects.match(subject) {
		return ingress.Refusef(http.StatusForbidden, "subject %q may not send: it is not one of OIDC_SUBJECTS", subject)
	}
	return err
}
