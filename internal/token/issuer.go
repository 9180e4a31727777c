package token

import (
	"bytes"
	"context"
	"crypto/tls"
	"crypto/x509"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"net/http"
	"net/url"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync/atomic"
	"time"

	"github.com/coreos/go-oidc/v3/oidc"
	"github.com/go-jose/go-jose/v4"
)

const (
	// serviceAccount is where Kubernetes mounts the token of a pod, and the authority of its API server.
	serviceAccount = "/var/run/secrets/kubernetes.io/serviceaccount"
	// requestTimeout bounds each request to an issuer.
	requestTimeout = 10 * time.Second
	// documentBytes bounds each answer of an issuer.
	documentBytes = 1 << 20
	// noToken has a signature by no key: the library reads keys for a token alone.
	noToken = "eyJhbGciOiJFUzI1NiJ9.e30.AA" //nolint:gosec // it says nothing
)

// asymmetric are the algorithms whose signatures can be verified by a public key.
var asymmetric = []string{
	oidc.RS256, oidc.RS384, oidc.RS512, oidc.ES256, oidc.ES384, oidc.ES512, oidc.PS256, oidc.PS384, oidc.PS512, oidc.EdDSA,
}

// inCluster tells whether the issuer is the API server of the cluster that the program runs in.
func inCluster(issuer string) bool {
	const host = "kubernetes.default.svc"
	u, err := url.Parse(issuer)
	return err == nil && (u.Hostname() == host || strings.HasPrefix(u.Hostname(), host+"."))
}

// find asks the issuer who it is and for its keys, which may be read again for as long as the context lives.
func (v *Verifier) find(ctx context.Context) (*keys, error) {
	k := &keys{transport: &transport{Verifier: v, life: ctx}}
	asking := oidc.ClientContext(ctx, &http.Client{Transport: k.transport})
	if v.account != "" {
		asking = oidc.InsecureIssuerURLContext(asking, v.options.Issuer) // skips the comparison; the name is taken from the document
	}
	provider, err := oidc.NewProvider(asking, v.options.Issuer)
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
	k.issuer = document.Issuer
	k.algorithms = slices.DeleteFunc(document.Algorithms, func(name string) bool { return !slices.Contains(asymmetric, name) })
	k.set = oidc.NewRemoteKeySet(oidc.ClientContext(ctx, &http.Client{Transport: k}), document.KeysURL)
	if _, err := k.set.VerifySignature(ctx, noToken); unread(ctx, err) {
		return nil, fmt.Errorf("reading keys: %w", err)
	}
	return k, nil
}

// keys are those that an issuer signs with, as a set that reads them again for a token that none of them has signed.
type keys struct {
	set        oidc.KeySet
	issuer     string   // its name
	algorithms []string // none: the library's default, which every issuer has
	transport  http.RoundTripper
	reads      atomic.Int64 // that have begun
}

// unread tells whether a set has failed since it could not read keys, which is all that it uses a client for.
func unread(ctx context.Context, err error) bool {
	_, failed := errors.AsType[*url.Error](err)
	return failed || ctx.Err() != nil
}

// RoundTrip is for the set, which would use keys that are for something else, fail for all because of one that is broken, and
// forget all for an answer that holds none.
func (k *keys) RoundTrip(r *http.Request) (*http.Response, error) {
	k.reads.Add(1)
	response, err := k.transport.RoundTrip(r)
	if err != nil {
		return nil, err
	}
	var document struct {
		Keys []json.RawMessage `json:"keys"`
	}
	if err := json.NewDecoder(response.Body).Decode(&document); err != nil {
		return nil, fmt.Errorf("decoding: %w", err)
	}
	document.Keys = slices.DeleteFunc(document.Keys, func(encoded json.RawMessage) bool {
		var key jose.JSONWebKey
		return key.UnmarshalJSON(encoded) != nil || !key.Valid() || !key.IsPublic() ||
			key.Use != "" && key.Use != "sig" || key.Algorithm != "" && !slices.Contains(asymmetric, key.Algorithm)
	})
	if len(document.Keys) == 0 {
		return nil, errors.New("found no key for signatures")
	}
	signing, err := json.Marshal(document)
	response.Body = io.NopCloser(bytes.NewReader(signing))
	return response, err
}

// transport makes requests to an issuer for as long as a context lives, since the library's own have no end. It reads its files
// again each time: Kubernetes replaces them.
type transport struct {
	*Verifier
	life context.Context
}

// RoundTrip answers with the whole of a 200. All else is an error, redirects among it, which would carry the token elsewhere.
func (t *transport) RoundTrip(r *http.Request) (*http.Response, error) {
	ctx, cancel := context.WithTimeout(t.life, requestTimeout)
	defer cancel()
	if err := t.limiter.Wait(ctx); err != nil {
		return nil, err
	}
	r = r.Clone(ctx)
	if t.account != "" {
		token, err := os.ReadFile(filepath.Join(t.account, "token"))
		if err != nil && !errors.Is(err, fs.ErrNotExist) {
			return nil, fmt.Errorf("reading the pod's token: %w", err)
		}
		if token = bytes.TrimSpace(token); len(token) > 0 {
			r.Header.Set("Authorization", "Bearer "+string(token))
		}
	}
	tlsConfig, err := t.tlsConfig()
	if err != nil {
		return nil, err
	}
	connection := &http.Transport{Proxy: http.ProxyFromEnvironment, ForceAttemptHTTP2: true, TLSClientConfig: tlsConfig}
	defer connection.CloseIdleConnections()
	response, err := connection.RoundTrip(r)
	if err != nil {
		return nil, err
	}
	defer func() { _ = response.Body.Close() }()
	body, err := io.ReadAll(io.LimitReader(response.Body, documentBytes))
	if err != nil {
		return nil, err
	}
	if response.StatusCode != http.StatusOK {
		return nil, fmt.Errorf("%s: %s", response.Status, body)
	}
	response.Body = io.NopCloser(bytes.NewReader(body))
	return response, nil
}

// tlsConfig asks for no more than TLS 1.2: the framework's variables are for senders and sinks, and an issuer may be older.
func (v *Verifier) tlsConfig() (*tls.Config, error) {
	config := &tls.Config{MinVersion: tls.VersionTLS12}
	if v.options.CAFile == "" {
		return config, nil
	}
	pem, err := os.ReadFile(v.options.CAFile)
	if err != nil {
		return nil, fmt.Errorf("reading the issuer's authority: %w", err)
	}
	config.RootCAs = x509.NewCertPool()
	if !config.RootCAs.AppendCertsFromPEM(pem) {
		return nil, fmt.Errorf("reading the issuer's authority from %s: no certificates in PEM", v.options.CAFile)
	}
	return config, nil
}
