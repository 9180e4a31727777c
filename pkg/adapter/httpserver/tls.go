package httpserver

import (
	"crypto/tls"
	"errors"
	"fmt"

	"go.uber.org/zap"
	knativetls "knative.dev/pkg/network/tls"

	"github.com/eventing-eventmesh/eventing-eventmesh/pkg/ingress"
)

// TLS returns the configuration of TLS, and nil where requests come without. The versions and ciphers are those of
// Knative's own servers: TLS 1.3, unless TLS_MIN_VERSION and its like say otherwise.
func (s *Server) TLS(logger *zap.SugaredLogger) (*tls.Config, error) {
	switch {
	case s.TLSCertFile == "" && s.TLSKeyFile == "":
		return nil, nil
	case s.TLSCertFile == "":
		return nil, errors.New("TLS_CERT_FILE is missing: want it together with TLS_KEY_FILE")
	case s.TLSKeyFile == "":
		return nil, errors.New("TLS_KEY_FILE is missing: want it together with TLS_CERT_FILE")
	}
	config, err := knativetls.DefaultConfigFromEnv("")
	if err != nil {
		return nil, fmt.Errorf("configuring TLS: %w", err)
	}
	if config.MaxVersion != 0 && config.MaxVersion < config.MinVersion {
		return nil, errors.New("TLS_MAX_VERSION is below TLS_MIN_VERSION, which is 1.3 by default: no client could connect")
	}
	if config.GetCertificate, err = ingress.Certificate(s.TLSCertFile, s.TLSKeyFile, logger); err != nil {
		return nil, fmt.Errorf("TLS_CERT_FILE and TLS_KEY_FILE: %w", err)
	}
	return config, nil
}
