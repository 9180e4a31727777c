package sink

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/coreos/go-oidc/v3/oidc"
	"github.com/go-jose/go-jose/v4"
)

const (
	// serviceAccount is where Kubernetes mounts the token of a pod, and the authority of its API server.
	serviceAccount = "/var/run/secrets/kubernetes.io/serviceaccount"
	// discoveryTimeout bounds each of the two requests to an issuer.
	discoveryTimeout = 10 * time.Second
	// documentBytes bounds each answer of an issuer.
	documentBytes = 1 << 20
)

// discovery finds the keys of an issuer. It reads its files again each time, since Kubernetes replaces them.
type discovery struct {
	url       string
	caFile    string // none: the system's authorities
	tokenFile string // none: without a token
	anyName   bool   // whether the issuer may call itself otherwise than its URL
}

func newDiscovery(o OIDC) discovery {
	d := discovery{url: o.Issuer, caFile: o.IssuerCAFile}
	if inCluster(o.Issuer) {
		d.useServiceAccount(serviceAccount)
	}
	return d
}

// useServiceAccount is for the API server of the cluster: it wants a token, has a certificate of its own, and is often the
// source of keys of an issuer by another name.
func (d *discovery) useServiceAccount(dir string) {
	if d.caFile == "" {
		d.caFile = filepath.Join(dir, "ca.crt")
	}
	d.tokenFile = filepath.Join(dir, "token")
	d.anyName = true
}

// find asks the issuer who it is and for its keys.
func (d *discovery) find(ctx context.Context) (*signers, error) {
	client, err := d.client()
	if err != nil {
		return nil, err
	}
	defer client.CloseIdleConnections()
	ctx = oidc.ClientContext(ctx, client)
	if d.anyName {
		ctx = oidc.InsecureIssuerURLContext(ctx, d.url) // skips the comparison; the name is taken from the document
	}
	provider, err := oidc.NewProvider(ctx, d.url)
	if err != nil {
		return nil, fmt.Errorf("discovering issuer: %w", err)
	}
	var document struct {
		Issuer     string   `json:"issuer"`
		KeysURL    string   `json:"jwks_uri"`
		Algorithms []string `json:"id_token_signing_alg_values_supported"`
	}
	if err := provider.Claims(&document); err != nil {
		return nil, fmt.Errorf("discovering issuer: %w", err)
	}
	if !strings.HasPrefix(document.KeysURL, "https://") {
		return nil, errors.New("discovering issuer: jwks_uri is no https URL")
	}
	keys, err := keysAt(ctx, client, document.KeysURL)
	if err != nil {
		return nil, fmt.Errorf("reading keys: %w", err)
	}
	return &signers{issuer: document.Issuer, algorithms: algorithmsOf(document.Algorithms), keys: keys}, nil
}

func keysAt(ctx context.Context, client *http.Client, url string) (map[string]*oidc.StaticKeySet, error) {
	r, err := http.NewRequestWithContext(ctx, http.MethodGet, url, nil)
	if err != nil {
		return nil, err
	}
	response, err := client.Do(r)
	if err != nil {
		return nil, err
	}
	defer func() { _ = response.Body.Close() }()
	if response.StatusCode != http.StatusOK {
		return nil, fmt.Errorf("got status %d from %s", response.StatusCode, url)
	}
	var document struct {
		Keys []json.RawMessage `json:"keys"`
	}
	if err := json.NewDecoder(response.Body).Decode(&document); err != nil {
		return nil, fmt.Errorf("decoding what %s has answered: %w", url, err)
	}
	all := &oidc.StaticKeySet{}
	keys := map[string]*oidc.StaticKeySet{"": all}
	for _, encoded := range document.Keys {
		var key jose.JSONWebKey
		if key.UnmarshalJSON(encoded) != nil || !key.Valid() || !key.IsPublic() || key.Use != "" && key.Use != "sig" {
			continue // of a kind that is not known, or for something else
		}
		all.PublicKeys = append(all.PublicKeys, key.Key)
		if key.KeyID != "" {
			if keys[key.KeyID] == nil {
				keys[key.KeyID] = &oidc.StaticKeySet{}
			}
			keys[key.KeyID].PublicKeys = append(keys[key.KeyID].PublicKeys, key.Key)
		}
	}
	if len(all.PublicKeys) == 0 {
		return nil, fmt.Errorf("found no key for signatures at %s", url)
	}
	return keys, nil
}

// client returns a client for one look. It follows no redirects, which would take the token elsewhere.
func (d *discovery) client() (*http.Client, error) {
	// The framework's variables for TLS are for senders and sinks: an issuer may be older.
	transport := &http.Transport{
		Proxy: http.ProxyFromEnvironment, ForceAttemptHTTP2: true, TLSClientConfig: &tls.Config{MinVersion: tls.VersionTLS12},
	}
	if d.caFile != "" {
		pem, err := os.ReadFile(d.caFile)
		if err != nil {
			return nil, fmt.Errorf("reading the issuer's authority: %w", err)
		}
		pool, err := poolOf(pem)
		if err != nil {
			return nil, fmt.Errorf("reading the issuer's authority from %s: %w", d.caFile, err)
		}
		transport.TLSClientConfig.RootCAs = pool
	}
	issuing := &issuerTransport{RoundTripper: transport, close: transport.CloseIdleConnections}
	if d.tokenFile != "" {
		token, err := os.ReadFile(d.tokenFile)
		if err != nil && !errors.Is(err, fs.ErrNotExist) {
			return nil, fmt.Errorf("reading the pod's token: %w", err)
		}
		issuing.token = strings.TrimSpace(string(token))
	}
	return &http.Client{
		Transport: issuing, Timeout: discoveryTimeout,
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
	}, nil
}

func poolOf(pem []byte) (*x509.CertPool, error) {
	pool := x509.NewCertPool()
	if !pool.AppendCertsFromPEM(pem) {
		return nil, errors.New("no certificates in PEM")
	}
	return pool, nil
}

// issuerTransport sends the pod's token, if there is one, and reads no endless answers.
type issuerTransport struct {
	http.RoundTripper
	token string
	close func()
}

func (t *issuerTransport) RoundTrip(r *http.Request) (*http.Response, error) {
	if t.token != "" {
		r = r.Clone(r.Context())
		r.Header.Set("Authorization", "Bearer "+t.token)
	}
	response, err := t.RoundTripper.RoundTrip(r)
	if err != nil {
		return nil, err
	}
	response.Body = struct {
		io.Reader
		io.Closer
	}{io.LimitReader(response.Body, documentBytes), response.Body}
	return response, nil
}

// CloseIdleConnections is what the client calls.
func (t *issuerTransport) CloseIdleConnections() { t.close() }
