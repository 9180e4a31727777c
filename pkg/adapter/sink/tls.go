package sink

import (
	"crypto/tls"
	"errors"
	"fmt"
	"os"
	"sync"
	"time"

	"go.uber.org/zap"
	knativetls "knative.dev/pkg/network/tls"
)

// certificateCheck is how often the files of a certificate are looked at, at most.
const certificateCheck = time.Second

// tlsConfig returns the configuration of TLS, and nil where requests come without. The versions and ciphers are those of
// Knative's own servers: TLS 1.3, unless TLS_MIN_VERSION and its like say otherwise.
func tlsConfig(c *Config, logger *zap.SugaredLogger) (*tls.Config, error) {
	switch {
	case c.TLSCertFile == "" && c.TLSKeyFile == "":
		return nil, nil
	case c.TLSCertFile == "":
		return nil, errors.New("TLS_CERT_FILE is missing: want it together with TLS_KEY_FILE")
	case c.TLSKeyFile == "":
		return nil, errors.New("TLS_KEY_FILE is missing: want it together with TLS_CERT_FILE")
	}
	config, err := knativetls.DefaultConfigFromEnv("")
	if err != nil {
		return nil, fmt.Errorf("configuring TLS: %w", err)
	}
	if config.MaxVersion != 0 && config.MaxVersion < config.MinVersion {
		return nil, errors.New("TLS_MAX_VERSION is below TLS_MIN_VERSION, which is 1.3 by default: no client could connect")
	}
	pair := &certificate{certFile: c.TLSCertFile, keyFile: c.TLSKeyFile, logger: logger, now: time.Now}
	if err := pair.load(); err != nil {
		return nil, err
	}
	config.GetCertificate = pair.get
	return config, nil
}

// certificate is a certificate and its key in files that are replaced from time to time. Its methods may be called by
// several goroutines.
type certificate struct {
	certFile, keyFile string
	logger            *zap.SugaredLogger
	now               func() time.Time

	mu      sync.Mutex
	checked time.Time
	// cert and key are the files that were read last, whether they could be used or not.
	cert, key os.FileInfo
	pair      *tls.Certificate
}

// get returns the certificate for a handshake: the newest that could be used.
func (c *certificate) get(*tls.ClientHelloInfo) (*tls.Certificate, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if now := c.now(); now.Sub(c.checked) >= certificateCheck {
		c.checked = now
		c.renew()
	}
	return c.pair, nil
}

// load reads the files for the first time.
func (c *certificate) load() error {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.checked = c.now()
	cert, key, err := c.stat()
	if err != nil {
		return err
	}
	return c.read(cert, key)
}

// renew reads the files again if they have changed. What cannot be used is logged once, and the old certificate stays.
func (c *certificate) renew() {
	cert, key, err := c.stat()
	if err == nil && unchanged(cert, c.cert) && unchanged(key, c.key) {
		return
	}
	if err != nil && c.cert == nil {
		return // and said so
	}
	if err == nil {
		err = c.read(cert, key)
	} else {
		c.cert, c.key = nil, nil
	}
	if err != nil {
		c.logger.Errorw("the certificate's files cannot be used; the old certificate stays", zap.Error(err))
		return
	}
	c.logger.Infow("took a new certificate from its files", "not_after", c.pair.Leaf.NotAfter)
}

// stat follows the links by which Kubernetes replaces projected files. It comes before reading: files that are replaced in
// between are then seen to have changed.
func (c *certificate) stat() (cert, key os.FileInfo, err error) {
	if cert, err = os.Stat(c.certFile); err != nil {
		return nil, nil, fmt.Errorf("TLS_CERT_FILE: %w", err)
	}
	if key, err = os.Stat(c.keyFile); err != nil {
		return nil, nil, fmt.Errorf("TLS_KEY_FILE: %w", err)
	}
	return cert, key, nil
}

func (c *certificate) read(cert, key os.FileInfo) error {
	c.cert, c.key = cert, key
	pair, err := tls.LoadX509KeyPair(c.certFile, c.keyFile)
	if err != nil {
		return fmt.Errorf("TLS_CERT_FILE %s and TLS_KEY_FILE %s hold no certificate with its key: %w", c.certFile, c.keyFile, err)
	}
	c.pair = &pair
	return nil
}

func unchanged(a, b os.FileInfo) bool {
	return b != nil && os.SameFile(a, b) && a.Size() == b.Size() && a.ModTime().Equal(b.ModTime())
}
