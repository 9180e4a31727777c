package source

import (
	"cmp"
	"context"
	"crypto/tls"
	"crypto/x509"
	"fmt"
	"net"

	"knative.dev/eventing/pkg/eventingtls"
	knativetls "knative.dev/pkg/network/tls"
)

// trust is whom TLS connections trust: the authorities of the system, of K_CA_CERTS, and of the trust bundles that Knative mounts. The
// latter change, so they are read for each connection.
type trust struct{ caCerts *string }

func (t trust) config() (*tls.Config, error) {
	config, err := eventingtls.GetTLSClientConfig(eventingtls.ClientConfig{CACerts: t.caCerts})
	if err != nil {
		return nil, fmt.Errorf("reading certificates to trust: %w", err)
	}
	return config, nil
}

// dial makes TLS connections of those that the dialer makes.
func (t trust) dial(dialer *net.Dialer) func(ctx context.Context, network, address string) (net.Conn, error) {
	return func(ctx context.Context, network, address string) (net.Conn, error) {
		config, err := t.config()
		if err != nil {
			return nil, err
		}
		return (&tls.Dialer{NetDialer: dialer, Config: config}).DialContext(ctx, network, address)
	}
}

// throughProxy configures connections to a host through a proxy, which net/http makes. It takes one configuration for good, and so one
// set of authorities: they are left to VerifyConnection, which does what crypto/tls does.
func (t trust) throughProxy(host string) *tls.Config {
	config, err := knativetls.DefaultConfigFromEnv("")
	if err != nil { // which stops the start
		config = &tls.Config{MinVersion: tls.VersionTLS13}
	}
	config.InsecureSkipVerify = true
	config.VerifyConnection = func(state tls.ConnectionState) error {
		current, err := t.config()
		if err != nil {
			return err
		}
		options := x509.VerifyOptions{
			Roots: current.RootCAs, Intermediates: x509.NewCertPool(),
			DNSName: cmp.Or(state.ServerName, host), // an address is no server name
		}
		for _, certificate := range state.PeerCertificates[1:] {
			options.Intermediates.AddCert(certificate)
		}
		if _, err := state.PeerCertificates[0].Verify(options); err != nil {
			return &tls.CertificateVerificationError{UnverifiedCertificates: state.PeerCertificates, Err: err}
		}
		return nil
	}
	return config
}
