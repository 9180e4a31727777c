package main

import (
	"crypto/tls"
	"crypto/x509"
	"encoding/pem"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// protocol is a way to talk to the sink.
type protocol struct {
	name        string
	proto       string // of an answer
	environment []string
	transport   func() *http.Transport
}

func (p protocol) url(of *process) string {
	if len(p.environment) > 0 {
		return strings.Replace(of.url, "http:", "https:", 1)
	}
	return of.url
}

// protocols are all ways. TLS takes the certificate that comes with net/http/httptest.
func protocols(t *testing.T) []protocol {
	t.Helper()
	server := httptest.NewTLSServer(http.NotFoundHandler())
	server.Close()
	pair, dir := server.TLS.Certificates[0], t.TempDir()
	key, err := x509.MarshalPKCS8PrivateKey(pair.PrivateKey)
	if err != nil {
		t.Fatal(err)
	}
	for name, block := range map[string]*pem.Block{"tls.crt": {Type: "CERTIFICATE", Bytes: pair.Certificate[0]}, "tls.key": {Type: "PRIVATE KEY", Bytes: key}} {
		if err := os.WriteFile(filepath.Join(dir, name), pem.EncodeToMemory(block), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	roots := x509.NewCertPool()
	roots.AddCert(server.Certificate())
	secure := []string{"TLS_CERT_FILE=" + filepath.Join(dir, "tls.crt"), "TLS_KEY_FILE=" + filepath.Join(dir, "tls.key")}
	var h2c http.Protocols
	h2c.SetUnencryptedHTTP2(true)
	return []protocol{
		{"HTTP/1.1", "HTTP/1.1", nil, func() *http.Transport { return &http.Transport{} }},
		{"HTTP/2 without TLS", "HTTP/2.0", nil, func() *http.Transport { return &http.Transport{Protocols: &h2c} }},
		{"HTTP/1.1 by TLS", "HTTP/1.1", secure, func() *http.Transport { return &http.Transport{TLSClientConfig: &tls.Config{RootCAs: roots}} }},
		{"HTTP/2 by TLS", "HTTP/2.0", secure, func() *http.Transport {
			return &http.Transport{TLSClientConfig: &tls.Config{RootCAs: roots}, ForceAttemptHTTP2: true}
		}},
	}
}
