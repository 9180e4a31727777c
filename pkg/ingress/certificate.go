package ingress

import (
	"crypto/tls"
	"fmt"

	"go.uber.org/zap"

	"github.com/eventing-eventmesh/eventing-eventmesh/internal/fresh"
)

// Certificate reads a certificate and its key from files in PEM, and returns a function for [tls.Config] that reads them again, a second
// later at most, when they have changed. What cannot be used then is logged once, and the old certificate stays.
func Certificate(certFile, keyFile string, logger *zap.SugaredLogger) (func(*tls.ClientHelloInfo) (*tls.Certificate, error), error) {
	pair := fresh.New(func(contents ...[]byte) (*tls.Certificate, error) {
		pair, err := tls.X509KeyPair(contents[0], contents[1])
		return &pair, err
	}, certFile, keyFile)
	if _, err := pair.Get(); err != nil {
		return nil, fmt.Errorf("%s and %s hold no certificate with its key: %w", certFile, keyFile, err)
	}
	pair.Changed = func(newest *tls.Certificate, err error) {
		if err != nil {
			logger.Errorw("the certificate's files cannot be used; the old certificate stays", zap.Error(err))
			return
		}
		logger.Infow("took a new certificate from its files", "not_after", newest.Leaf.NotAfter)
	}
	return func(*tls.ClientHelloInfo) (*tls.Certificate, error) {
		newest, _ := pair.Get()
		return newest, nil
	}, nil
}
