package main

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"encoding/json"
	"encoding/pem"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/go-jose/go-jose/v4"

	"github.com/eventing-eventmesh/eventing-eventmesh/internal/monitoring"
	"github.com/eventing-eventmesh/eventing-eventmesh/pkg/eventmesh/eventmeshtest"
)

// tokenIssuer signs tokens, and shows its key over TLS.
type tokenIssuer struct {
	*httptest.Server
	caFile string
	key    jose.JSONWebKey
}

func newTokenIssuer(t *testing.T) *tokenIssuer {
	t.Helper()
	private, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	i := &tokenIssuer{key: jose.JSONWebKey{Key: private, KeyID: "1", Algorithm: string(jose.ES256)}, caFile: filepath.Join(t.TempDir(), "ca.crt")}
	i.Server = httptest.NewTLSServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path == "/keys" {
			_ = json.NewEncoder(w).Encode(jose.JSONWebKeySet{Keys: []jose.JSONWebKey{i.key.Public()}})
			return
		}
		_ = json.NewEncoder(w).Encode(map[string]any{"issuer": i.URL, "jwks_uri": i.URL + "/keys", "id_token_signing_alg_values_supported": []string{"ES256"}})
	}))
	t.Cleanup(i.Close)
	ca := pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: i.Certificate().Raw})
	if err := os.WriteFile(i.caFile, ca, 0o600); err != nil {
		t.Fatal(err)
	}
	return i
}

func (i *tokenIssuer) token(t *testing.T, subject string, life time.Duration) string {
	t.Helper()
	signer, err := jose.NewSigner(jose.SigningKey{Algorithm: jose.ES256, Key: i.key}, nil)
	if err != nil {
		t.Fatal(err)
	}
	claims, err := json.Marshal(map[string]any{"iss": i.URL, "sub": subject, "aud": "sink", "exp": time.Now().Add(life).Unix(), "private": "secret-claim"})
	if err != nil {
		t.Fatal(err)
	}
	signed, err := signer.Sign(claims)
	if err != nil {
		t.Fatal(err)
	}
	token, err := signed.CompactSerialize()
	if err != nil {
		t.Fatal(err)
	}
	return token
}

// The password is read again at every connect, and neither it nor a token nor data is in anything that the sink says.
func TestSecrets(t *testing.T) {
	for _, transport := range []string{"gRPC", "TCP"} {
		t.Run(transport, func(t *testing.T) {
			const data = "secret-data"
			issuer := newTokenIssuer(t)
			valid, stranger, expired := issuer.token(t, "good", time.Hour), issuer.token(t, "stranger", time.Hour), issuer.token(t, "good", -time.Hour)
			file := filepath.Join(t.TempDir(), "password")
			writePassword := func(password string) {
				t.Helper()
				if err := os.WriteFile(file+".new", []byte(password+"\n"), 0o600); err != nil {
					t.Fatal(err)
				}
				if err := os.Rename(file+".new", file); err != nil {
					t.Fatal(err)
				}
			}
			passwords := map[string]string{"sink": "secret-first"}
			server := eventmeshtest.New(t, eventmeshtest.Options{Storage: eventmeshtest.RocketMQ, Credentials: passwords})
			url := server.GRPCURL()
			if transport == "TCP" {
				url = server.TCPURL()
			}
			restart := func(password string) {
				t.Helper()
				server.Stop()
				passwords["sink"] = password
				server.MustRestart(t, true)
			}
			writePassword("secret-first")
			metrics, variable := monitoring.Serve(t)
			p := start(t, "EVENTMESH_URL="+url, "EVENTMESH_TOPIC=orders", "EVENTMESH_SHUTDOWN_DELAY=0s", "EVENTMESH_USERNAME=sink", "EVENTMESH_PASSWORD_FILE="+file,
				"EVENTMESH_MAX_EVENT_BYTES=1000", "OIDC_AUDIENCE=sink", "OIDC_SUBJECTS=good", "OIDC_ISSUER="+issuer.URL, "OIDC_CA_FILE="+issuer.caFile,
				variable, `K_LOGGING_CONFIG={"zap-logger-config":"{\"level\":\"debug\",\"encoding\":\"json\",\"outputPaths\":[\"stderr\"],\"errorOutputPaths\":[\"stderr\"]}"}`)
			var said strings.Builder
			ask := func(method, url, token, id, body string) int {
				t.Helper()
				r, err := event(t.Context(), url, id, body)
				if err != nil {
					t.Fatal(err)
				}
				r.Method = method
				if token != "" {
					r.Header.Set("Authorization", "Bearer "+token)
				}
				response, err := http.DefaultClient.Do(r)
				if err != nil {
					t.Fatal(err)
				}
				defer func() { _ = response.Body.Close() }()
				text, err := io.ReadAll(response.Body)
				if err != nil {
					t.Fatal(err)
				}
				fmt.Fprintln(&said, response.StatusCode, response.Header, string(text))
				return response.StatusCode
			}
			awaitTaken := func(password string) {
				t.Helper()
				deadline := time.Now().Add(patience)
				for ask(http.MethodPost, p.url, valid, "1", `"`+data+`"`) != http.StatusAccepted {
					if time.Now().After(deadline) {
						t.Fatalf("no event was taken with %s", password)
					}
					p.awaitReadiness(t, http.StatusOK)
				}
				if transport == "TCP" {
					return // where it is said at the connect alone, and has been right
				}
				events := server.Published("orders")
				if got := events[len(events)-1].GetAttributes()["passwd"].GetCeString(); got != password {
					t.Errorf("EventMesh got password %q, want %q", got, password)
				}
			}
			p.awaitReadiness(t, http.StatusOK)
			awaitTaken("secret-first")
			for _, c := range []struct {
				name, path, token, id, body string
				status                      int
			}{
				{"no token", "/", "", "1", data, http.StatusUnauthorized},
				{"no valid token", "/", valid + "x", "1", data, http.StatusUnauthorized},
				{"expired", "/", expired, "1", data, http.StatusUnauthorized},
				{"stranger", "/", stranger, "1", data, http.StatusForbidden},
				{"no event", "/", valid, "", data, http.StatusBadRequest},
				{"too large", "/", valid, "1", strings.Repeat(data, 1000), http.StatusRequestEntityTooLarge},
				{"topic that is not open", "/topics/hidden", valid, "1", data, http.StatusForbidden},
			} {
				if got := ask(http.MethodPost, p.url+c.path, c.token, c.id, c.body); got != c.status {
					t.Errorf("%s: got %d, want %d", c.name, got, c.status)
				}
			}

			writePassword("secret-second")
			restart("secret-second")
			awaitTaken("secret-second")

			restart("secret-third") // which the sink does not know yet
			if got := ask(http.MethodPost, p.url, valid, "1", `"`+data+`"`); got != http.StatusServiceUnavailable {
				t.Errorf("wrong password: got %d, want 503", got)
			}
			writePassword("secret-third")
			restart("secret-third")
			awaitTaken("secret-third")
			if got := ask(http.MethodGet, "http://"+metrics+"/metrics", "", "", ""); got != http.StatusOK {
				t.Errorf("metrics: got %d, want 200", got)
			}
			p.terminate(t)
			p.awaitExit(t)
			said.WriteString(p.Log())
			parts := strings.Split(valid, ".")
			for name, secret := range map[string]string{"a password, a claim or data": "secret-", "the token": parts[1][:20], "its signature": parts[2]} {
				if at := strings.Index(said.String(), secret); at >= 0 {
					t.Errorf("%s is in what the sink says: …%s", name, said.String()[max(0, at-200):at])
				}
			}
		})
	}
}
