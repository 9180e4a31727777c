// Package tokentest is an issuer of tokens for tests: a real server, over TLS.
package tokentest

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"encoding/base64"
	"encoding/json"
	"encoding/pem"
	"maps"
	"math/big"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strconv"
	"sync"
	"testing"
	"time"

	"github.com/go-jose/go-jose/v4"
)

const (
	// Audience is whom tokens are for, besides another.
	Audience = "eventmesh-sink"
	// Subject is whose tokens are.
	Subject = "system:serviceaccount:shop:orders"
)

// Issuer signs tokens, and shows its keys to whoever asks. It has an authority of its own.
type Issuer struct {
	*httptest.Server
	// CAFile holds its authority.
	CAFile string
	// Name is what it calls itself, by default its URL. It is set before anybody asks.
	Name string
	// Sending is called when an answer is made, and before it is sent. It is set before anybody asks.
	Sending func(path string)

	mu     sync.Mutex
	keys   []jose.JSONWebKey
	made   int
	broken bool
	tokens []string // that came with requests
	looks  int      // at its keys
}

// New returns an issuer with one key, which ends with the test.
func New(tb testing.TB) *Issuer {
	tb.Helper()
	private := NewKey(tb)
	template := &x509.Certificate{
		SerialNumber: big.NewInt(1), NotAfter: time.Now().Add(time.Hour), IPAddresses: []net.IP{net.IPv4(127, 0, 0, 1)},
		IsCA: true, BasicConstraintsValid: true, KeyUsage: x509.KeyUsageCertSign | x509.KeyUsageDigitalSignature,
	}
	der, err := x509.CreateCertificate(rand.Reader, template, template, private.Public(), private)
	if err != nil {
		tb.Fatal(err)
	}
	i := &Issuer{CAFile: filepath.Join(tb.TempDir(), "ca.crt"), Sending: func(string) {}}
	if err := os.WriteFile(i.CAFile, pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der}), 0o600); err != nil {
		tb.Fatal(err)
	}
	i.Rotate(tb)
	i.Server = httptest.NewUnstartedServer(i)
	i.TLS = &tls.Config{Certificates: []tls.Certificate{{Certificate: [][]byte{der}, PrivateKey: private}}}
	i.StartTLS()
	i.Name = i.URL
	tb.Cleanup(i.Close)
	return i
}

// ServeHTTP answers as an issuer does. Among its keys is one of a kind that nobody knows.
func (i *Issuer) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	status, document := i.answer(r)
	i.Sending(r.URL.Path)
	if status != http.StatusOK {
		http.Error(w, "a page\nof many lines", status)
		return
	}
	_ = json.NewEncoder(w).Encode(document)
}

func (i *Issuer) answer(r *http.Request) (status int, document map[string]any) {
	i.mu.Lock()
	defer i.mu.Unlock()
	i.tokens = append(i.tokens, r.Header.Get("Authorization"))
	switch {
	case i.broken:
		return http.StatusBadGateway, nil
	case r.URL.Path == "/.well-known/openid-configuration":
		return http.StatusOK, map[string]any{
			"issuer": i.Name, "jwks_uri": i.URL + "/keys", "id_token_signing_alg_values_supported": []string{"none", "HS256", "ES256"},
		}
	case r.URL.Path == "/keys":
		i.looks++
		all := []any{map[string]string{"kty": "of the future", "kid": "x"}, map[string]string{"kty": "EC", "crv": "P-256", "kid": "broken", "x": "AA", "y": "AA"}}
		for _, key := range i.keys {
			all = append(all, key.Public())
		}
		return http.StatusOK, map[string]any{"keys": all}
	}
	return http.StatusNotFound, nil
}

// NewKey returns a key that signs.
func NewKey(tb testing.TB) *ecdsa.PrivateKey {
	tb.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		tb.Fatal(err)
	}
	return key
}

// Rotate signs with a new key from now on. The old ones are still there.
func (i *Issuer) Rotate(tb testing.TB) {
	tb.Helper()
	private := NewKey(tb)
	i.mu.Lock()
	defer i.mu.Unlock()
	i.keys = append(i.keys, jose.JSONWebKey{Key: private, KeyID: "key-" + strconv.Itoa(i.made), Algorithm: string(jose.ES256), Use: "sig"})
	i.made++
}

// Key returns the key that signs.
func (i *Issuer) Key() jose.JSONWebKey {
	i.mu.Lock()
	defer i.mu.Unlock()
	return i.keys[len(i.keys)-1]
}

// Show replaces the keys. The last one signs.
func (i *Issuer) Show(keys ...jose.JSONWebKey) {
	i.mu.Lock()
	defer i.mu.Unlock()
	i.keys = keys
}

// BreakDown answers nothing but 502 from now on, or works again.
func (i *Issuer) BreakDown(broken bool) {
	i.mu.Lock()
	defer i.mu.Unlock()
	i.broken = broken
}

// Seen returns how often keys were read, and the tokens of all requests.
func (i *Issuer) Seen() (looks int, tokens []string) {
	i.mu.Lock()
	defer i.mu.Unlock()
	return i.looks, i.tokens
}

// Claims are those of a valid token, with changes; nil removes one.
func (i *Issuer) Claims(changes map[string]any) map[string]any {
	now := time.Now()
	claims := map[string]any{
		"iss": i.Name, "sub": Subject, "aud": []string{"another", Audience}, "iat": now.Unix(), "nbf": now.Unix(), "exp": now.Add(time.Hour).Unix(),
		"kubernetes.io": map[string]any{"namespace": "shop"},
	}
	maps.Copy(claims, changes)
	maps.DeleteFunc(claims, func(_ string, value any) bool { return value == nil })
	return claims
}

// Token returns a valid token, with changes.
func (i *Issuer) Token(tb testing.TB, changes map[string]any) string {
	tb.Helper()
	return Sign(tb, i.Key(), i.Claims(changes))
}

// Sign returns a token: with ES256, or with HS256 where the key is a shared secret.
func Sign(tb testing.TB, key jose.JSONWebKey, claims map[string]any) string {
	tb.Helper()
	algorithm := jose.ES256
	if _, ok := key.Key.(*ecdsa.PrivateKey); !ok {
		algorithm = jose.HS256
	}
	signer, err := jose.NewSigner(jose.SigningKey{Algorithm: algorithm, Key: key}, nil)
	if err != nil {
		tb.Fatal(err)
	}
	payload, err := json.Marshal(claims)
	if err != nil {
		tb.Fatal(err)
	}
	signed, err := signer.Sign(payload)
	if err != nil {
		tb.Fatal(err)
	}
	token, err := signed.CompactSerialize()
	if err != nil {
		tb.Fatal(err)
	}
	return token
}

// Unsigned returns a token of the algorithm none.
func Unsigned(tb testing.TB, key string, claims map[string]any) string {
	tb.Helper()
	encoded := make([]string, 2)
	for n, part := range []map[string]any{{"alg": "none", "typ": "JWT", "kid": key}, claims} {
		text, err := json.Marshal(part)
		if err != nil {
			tb.Fatal(err)
		}
		encoded[n] = base64.RawURLEncoding.EncodeToString(text)
	}
	return encoded[0] + "." + encoded[1] + "."
}
