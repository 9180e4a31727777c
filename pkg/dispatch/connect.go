package dispatch

import (
	"cmp"
	"context"
	"crypto/tls"
	"crypto/x509"
	"net"
	"net/http"
	"time"
)

const (
	dialTimeout = 10 * time.Second
	idleTimeout = 90 * time.Second
)

// newTransport returns one whose connections all trust the same authorities, also through a proxy.
func newTransport(o HTTPOptions) *http.Transport {
	dialer, trust := &net.Dialer{Timeout: dialTimeout}, trust(o.TLS)
	if trust == nil {
		trust = func() (*tls.Config, error) { return &tls.Config{MinVersion: tls.VersionTLS12}, nil }
	}
	return &http.Transport{
		Proxy:                  o.Proxy,
		DialContext:            dialer.DialContext,
		DialTLSContext:         trust.dial(dialer),                   // to the destination, or to a proxy by https
		TLSClientConfig:        trust.throughProxy(o.URL.Hostname()), // to the destination, through a proxy
		TLSHandshakeTimeout:    dialTimeout,
		MaxConnsPerHost:        o.MaxConnections,
		MaxIdleConns:           o.MaxConnections,
		MaxIdleConnsPerHost:    o.MaxConnections, // the default of 2 opens a connection for almost every event
		MaxResponseHeaderBytes: headerLimit,
		IdleConnTimeout:        idleTimeout,
		DisableCompression:     true,
	}
}

// trust returns whom TLS connections trust. That may change, so it is asked for each connection.
type trust func() (*tls.Config, error)

// dial makes TLS connections of those that the dialer makes.
func (t trust) dial(dialer *net.Dialer) func(ctx context.Context, network, address string) (net.Conn, error) {
	return func(ctx context.Context, network, address string) (net.Conn, error) {
		config, err := t()
		if err != nil {
			return nil, err
		}
		return (&tls.Dialer{NetDialer: dialer, Config: config}).DialContext(ctx, network, address)
	}
}

// throughProxy configures connections to a host through a proxy, which net/http makes. It accepts one configuration for good, and so one
// set of authorities: they are left to VerifyConnection, which does what crypto/tls does.
func (t trust) throughProxy(host string) *tls.Config {
	config, err := t()
	if err != nil { // which fails each connection, too
		config = &tls.Config{MinVersion: tls.VersionTLS13}
	}
	config.RootCAs = nil
	config.InsecureSkipVerify = true
	config.VerifyConnection = func(state tls.ConnectionState) error {
		current, err := t()
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
