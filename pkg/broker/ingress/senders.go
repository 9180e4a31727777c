package ingress

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"sync/atomic"

	"go.uber.org/zap"
	"knative.dev/eventing/pkg/apis/feature"

	"github.com/eventing-eventmesh/eventing-eventmesh/internal/token"
	"github.com/eventing-eventmesh/eventing-eventmesh/pkg/broker/table"
	"github.com/eventing-eventmesh/eventing-eventmesh/pkg/ingress"
)

// senders verifies the tokens of senders, once it has an issuer. One goroutine at a time sets that.
type senders struct {
	caFile string
	logger *zap.SugaredLogger

	issuer string
	stop   func()
	tokens atomic.Pointer[token.Verifier] // nil: there is no issuer, or none that can be asked
	began  atomic.Bool
}

// set has senders need tokens, as the features of Knative Eventing say.
func (s *senders) set(features feature.Flags) {
	issuer := ""
	if features.IsOIDCAuthentication() {
		issuer = features.OIDCDiscoveryBaseURL()
	}
	if issuer == s.issuer {
		return
	}
	s.close()
	s.issuer = issuer
	if u, err := url.Parse(issuer); err != nil || u.Scheme != "https" || u.Host == "" {
		return
	}
	tokens := token.New(token.Options{Issuer: issuer, CAFile: s.caFile, Logger: s.logger})
	s.stop = tokens.Start(context.Background())
	s.tokens.Store(tokens)
}

// close ends the looks at the issuer's keys.
func (s *senders) close() {
	s.tokens.Store(nil)
	if s.stop != nil {
		s.stop()
		s.stop = nil
	}
}

var errNoIssuer = errors.New("the tokens of senders cannot be verified: want an https URL as " + feature.OIDCDiscoveryBaseURL + " of config-features")

// ready returns nil when tokens can be verified.
func (s *senders) ready() error {
	tokens := s.tokens.Load()
	if tokens == nil {
		return errNoIssuer
	}
	return tokens.Ready()
}

// begun returns nil once tokens can be verified, or need not be: a replica that has not begun to has others beside it that can, and one
// that has begun has no better ones.
func (s *senders) begun() error {
	if s.began.Load() {
		return nil
	}
	if tokens := s.tokens.Load(); tokens != nil {
		if err := tokens.Ready(); err != nil {
			return err
		}
	}
	s.began.Store(true)
	return nil
}

// identify returns the subject of a request for a Broker, if there are events that it may send there.
func (s *senders) identify(r *http.Request, to *table.Broker) (subject string, err error) {
	tokens := s.tokens.Load()
	if tokens == nil {
		return "", fmt.Errorf("asking who sends to Broker %s/%s: %w", to.Namespace, to.Name, errNoIssuer)
	}
	subject, err = ingress.Subject(r, tokens, to.Access.Audience)
	if err == nil && !to.Access.Knows(subject) {
		err = ingress.Refusef(http.StatusForbidden, "subject %q may not send to Broker %s/%s: no event policy allows it", subject, to.Namespace, to.Name)
	}
	return subject, err
}
