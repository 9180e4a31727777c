package sink

import (
	"crypto/ecdsa"
	"crypto/tls"
	"encoding/base64"
	"encoding/json"
	"maps"
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
	audience = "eventmesh-sink"
	sender   = "system:serviceaccount:shop:orders"
)

// realIssuer is an issuer of tokens, over TLS.
type realIssuer struct {
	*httptest.Server
	caFile string

	mu     sync.Mutex
	name   string // by default its URL
	keys   []jose.JSONWebKey
	key    jose.JSONWebKey // that signs
	broken bool
	tokens []string // that came with requests
	looks  int      // at its keys
}

func newRealIssuer(t *testing.T) *realIssuer {
	t.Helper()
	ca := newAuthority(t)
	cert, key, _ := ca.issue(t)
	pair, err := tls.X509KeyPair(cert, key)
	if err != nil {
		t.Fatal(err)
	}
	i := &realIssuer{caFile: filepath.Join(t.TempDir(), "ca.crt")}
	if err := os.WriteFile(i.caFile, ca.pem(), 0o600); err != nil {
		t.Fatal(err)
	}
	i.rotate(t)
	i.Server = httptest.NewUnstartedServer(i)
	i.TLS = &tls.Config{Certificates: []tls.Certificate{pair}}
	i.StartTLS()
	i.name = i.URL
	t.Cleanup(i.Close)
	return i
}

func (i *realIssuer) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	i.mu.Lock()
	defer i.mu.Unlock()
	i.tokens = append(i.tokens, r.Header.Get("Authorization"))
	if i.broken {
		http.Error(w, "a page\nof many lines", http.StatusBadGateway)
		return
	}
	switch r.URL.Path {
	case "/.well-known/openid-configuration":
		_ = json.NewEncoder(w).Encode(map[string]any{
			"issuer": i.name, "jwks_uri": i.URL + "/keys", "id_token_signing_alg_values_supported": []string{"none", "HS256", "ES256"},
		})
	case "/keys":
		i.looks++
		w.Header().Set("Content-Type", "application/json")
		_ = json.NewEncoder(w).Encode(map[string]any{"keys": append([]any{map[string]string{"kty": "of the future", "kid": "x"}}, public(i.keys)...)})
	default:
		http.NotFound(w, r)
	}
}

func public(keys []jose.JSONWebKey) []any {
	var all []any
	for _, key := range keys {
		all = append(all, key.Public())
	}
	return all
}

// rotate signs with a new key from now on. The old ones are still there.
func (i *realIssuer) rotate(t *testing.T) {
	t.Helper()
	private := newKey(t)
	i.mu.Lock()
	defer i.mu.Unlock()
	i.key = jose.JSONWebKey{Key: private, KeyID: "key-" + strconv.Itoa(len(i.keys)), Algorithm: string(jose.ES256), Use: "sig"}
	i.keys = append(i.keys, i.key)
}

func (i *realIssuer) breakDown(broken bool) {
	i.mu.Lock()
	defer i.mu.Unlock()
	i.broken = broken
}

func (i *realIssuer) seen() (looks int, tokens []string) {
	i.mu.Lock()
	defer i.mu.Unlock()
	return i.looks, i.tokens
}

// claims are those of a valid token, with changes; nil removes one.
func (i *realIssuer) claims(changes map[string]any) map[string]any {
	now := time.Now()
	claims := map[string]any{
		"iss": i.name, "sub": sender, "aud": []string{"another", audience}, "iat": now.Unix(), "nbf": now.Unix(), "exp": now.Add(time.Hour).Unix(),
		"kubernetes.io": map[string]any{"namespace": "shop"},
	}
	maps.Copy(claims, changes)
	maps.DeleteFunc(claims, func(_ string, value any) bool { return value == nil })
	return claims
}

// token returns a valid token, with changes.
func (i *realIssuer) token(t *testing.T, changes map[string]any) string {
	t.Helper()
	i.mu.Lock()
	defer i.mu.Unlock()
	return sign(t, i.key, i.claims(changes))
}

func sign(t *testing.T, key jose.JSONWebKey, claims map[string]any) string {
	t.Helper()
	algorithm := jose.ES256
	if _, ok := key.Key.(*ecdsa.PrivateKey); !ok {
		algorithm = jose.HS256
	}
	signer, err := jose.NewSigner(jose.SigningKey{Algorithm: algorithm, Key: key}, nil)
	if err != nil {
		t.Fatal(err)
	}
	payload, err := json.Marshal(claims)
	if err != nil {
		t.Fatal(err)
	}
	signed, err := signer.Sign(payload)
	if err != nil {
		t.Fatal(err)
	}
	token, err := signed.CompactSerialize()
	if err != nil {
		t.Fatal(err)
	}
	return token
}

// unsigned returns a token of the algorithm none.
func unsigned(t *testing.T, key string, claims map[string]any) string {
	t.Helper()
	encoded := make([]string, 2)
	for n, part := range []map[string]any{{"alg": "none", "typ": "JWT", "kid": key}, claims} {
		text, err := json.Marshal(part)
		if err != nil {
			t.Fatal(err)
		}
		encoded[n] = base64.RawURLEncoding.EncodeToString(text)
	}
	return encoded[0] + "." + encoded[1] + "."
}

func (i *realIssuer) environment(more ...string) []string {
	return append([]string{"OIDC_AUDIENCE=" + audience, "OIDC_ISSUER=" + i.URL, "OIDC_CA_FILE=" + i.caFile}, more...)
}
