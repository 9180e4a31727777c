package sink

import (
	"bytes"
	"cmp"
	"context"
	"encoding/json"
	"encoding/pem"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/go-jose/go-jose/v4"
	"go.uber.org/zap/zaptest/observer"

	"github.com/eventing-eventmesh/eventing-eventmesh/pkg/eventmesh/eventmeshtest"
)

// guarded serves a handler that wants tokens, with keys that are looked for without pauses.
func guarded(t *testing.T, p publisher, environment ...string) (*handler, *httptest.Server, *observer.ObservedLogs) {
	t.Helper()
	h, server, logs := serve(t, p, environment...)
	h.senders = newAuthenticator(h.config.OIDC, h.logger)
	h.senders.issuer.pause, h.senders.issuer.patience = time.Millisecond, patience
	ctx, cancel := context.WithCancel(t.Context())
	t.Cleanup(h.senders.start(ctx))
	cancel() // as at the start of a shutdown, during which requests are served
	return h, server, logs
}

func awaitReady(t *testing.T, h *handler) {
	t.Helper()
	eventually(t, func() string {
		if err := h.ready(); err != nil {
			return err.Error()
		}
		return ""
	})
}

func bearer(token string) http.Header { return binary("Authorization=Bearer " + token) }

// unread is a body that must not be read before the sender is known.
type unread struct{ *testing.T }

func (u unread) Read([]byte) (int, error) {
	u.Error("the body was read")
	return 0, io.EOF
}

func TestAuthentication(t *testing.T) {
	issuer, stranger := newRealIssuer(t), newRealIssuer(t)
	encrypting := jose.JSONWebKey{Key: newKey(t), KeyID: "encrypting", Use: "enc"}
	issuer.keys = append(issuer.keys, encrypting)
	valid := issuer.token(t, nil)
	forged := stranger.key
	forged.KeyID = issuer.key.KeyID
	changed := issuer.token(t, map[string]any{"sub": "hunter2"})
	body, signature := valid[:strings.LastIndex(valid, ".")], valid[strings.LastIndex(valid, "."):]
	ago := func(d time.Duration) int64 { return time.Now().Add(-d).Unix() }
	for _, c := range []struct {
		name          string
		authorization string
		status        int
		challenge     string // of a 401
		why           string
	}{
		{"valid", "Bearer " + valid, http.StatusAccepted, "", ""},
		{"scheme in lower case", "bearer " + valid, http.StatusAccepted, "", ""},
		{"one audience", "Bearer " + issuer.token(t, map[string]any{"aud": audience}), http.StatusAccepted, "", ""},
		{"subject by its start", "Bearer " + issuer.token(t, map[string]any{"sub": "system:serviceaccount:knative-eventing:filter"}), http.StatusAccepted, "", ""},
		{"expired within the skew of clocks", "Bearer " + issuer.token(t, map[string]any{"exp": ago(clockSkew / 2)}), http.StatusAccepted, "", ""},

		{"not valid yet, within the skew of clocks", "Bearer " + issuer.token(t, map[string]any{"nbf": ago(-clockSkew / 2)}), http.StatusAccepted, "", ""},
		{"without a start", "Bearer " + issuer.token(t, map[string]any{"nbf": nil}), http.StatusAccepted, "", ""},
		{"with a start in the middle of a second", "Bearer " + issuer.token(t, map[string]any{"nbf": float64(ago(time.Minute)) + 0.5}), http.StatusAccepted, "", ""},

		{"none", "", http.StatusUnauthorized, "Bearer", "is needed"},
		{"empty", "Bearer ", http.StatusUnauthorized, "Bearer", "is needed"},
		{"password", "Basic aHVudGVyMjpodW50ZXIy", http.StatusUnauthorized, "Bearer", "is needed"},
		{"not a token", "Bearer hunter2", http.StatusUnauthorized, "invalid_token", "malformed"},
		{"not a token, with dots", "Bearer hunter2.hunter2.hunter2", http.StatusUnauthorized, "invalid_token", "malformed"},
		{"expired", "Bearer " + issuer.token(t, map[string]any{"exp": ago(time.Minute)}), http.StatusUnauthorized, "invalid_token", "expired"},
		{"without an end", "Bearer " + issuer.token(t, map[string]any{"exp": nil}), http.StatusUnauthorized, "invalid_token", "expired"},
		{"of the future", "Bearer " + issuer.token(t, map[string]any{"nbf": ago(-time.Hour), "exp": ago(-2 * time.Hour)}), http.StatusUnauthorized, "invalid_token", "not valid yet"},
		{"of the near future", "Bearer " + issuer.token(t, map[string]any{"nbf": ago(-250 * time.Second)}), http.StatusUnauthorized, "invalid_token", "not valid yet"},
		{"of the near future, as text", "Bearer " + issuer.token(t, map[string]any{"nbf": strconv.FormatInt(ago(-250*time.Second), 10)}), http.StatusUnauthorized, "invalid_token", "not valid yet"},
		{"of the near future, in the middle of a second", "Bearer " + issuer.token(t, map[string]any{"nbf": float64(ago(-250*time.Second)) + 0.5}), http.StatusUnauthorized, "invalid_token", "not valid yet"},
		{"with a start that is no number", "Bearer " + issuer.token(t, map[string]any{"nbf": "hunter2"}), http.StatusUnauthorized, "invalid_token", "malformed"},
		{"other audience", "Bearer " + issuer.token(t, map[string]any{"aud": "hunter2"}), http.StatusUnauthorized, "invalid_token", "another audience"},
		{"no audience", "Bearer " + issuer.token(t, map[string]any{"aud": nil}), http.StatusUnauthorized, "invalid_token", "another audience"},
		{"other issuer's name", "Bearer " + issuer.token(t, map[string]any{"iss": "https://hunter2"}), http.StatusUnauthorized, "invalid_token", "another issuer"},
		{"other issuer's key under a known ID", "Bearer " + sign(t, forged, issuer.claims(nil)), http.StatusUnauthorized, "invalid_token", "signature"},
		{"key that is unknown", "Bearer " + sign(t, jose.JSONWebKey{Key: stranger.key.Key, KeyID: "hunter2"}, issuer.claims(nil)), http.StatusUnauthorized, "invalid_token", "key"},
		{"key for something else", "Bearer " + sign(t, encrypting, issuer.claims(nil)), http.StatusUnauthorized, "invalid_token", "key"},
		{"changed content", "Bearer " + changed[:strings.LastIndex(changed, ".")] + signature, http.StatusUnauthorized, "invalid_token", "signature"},
		{"no signature", "Bearer " + body + ".", http.StatusUnauthorized, "invalid_token", ""},
		{"cut off signature", "Bearer " + body + signature[:20], http.StatusUnauthorized, "invalid_token", ""},
		{"algorithm none", "Bearer " + unsigned(t, issuer.key.KeyID, issuer.claims(nil)), http.StatusUnauthorized, "invalid_token", "algorithm"},
		{"shared secret", "Bearer " + sign(t, jose.JSONWebKey{Key: []byte("hunter2hunter2hunter2hunter2hunter2"), KeyID: issuer.key.KeyID}, issuer.claims(nil)), http.StatusUnauthorized, "invalid_token", "algorithm"},

		{"subject that is not listed", "Bearer " + issuer.token(t, map[string]any{"sub": sender + "2"}), http.StatusForbidden, "", sender + "2"},
		{"no subject", "Bearer " + issuer.token(t, map[string]any{"sub": nil}), http.StatusForbidden, "", "OIDC_SUBJECTS"},
	} {
		t.Run(c.name, func(t *testing.T) {
			p := &fake{}
			h, server, logs := guarded(t, p, issuer.environment("OIDC_SUBJECTS="+sender+", system:serviceaccount:knative-eventing:*")...)
			awaitReady(t, h)
			header := binary()
			if c.authorization != "" {
				header.Set("Authorization", c.authorization)
			}
			got := send(t, server.Client(), http.MethodPost, server.URL, header, strings.NewReader("{}"))
			if got.status != c.status || !strings.Contains(got.body, c.why) {
				t.Errorf("got %d %q, want %d with %q", got.status, got.body, c.status, c.why)
			}
			if challenge := got.header.Get("Www-Authenticate"); !strings.Contains(challenge, c.challenge) || (challenge == "") != (c.status != http.StatusUnauthorized) {
				t.Errorf("got challenge %q, want %q", challenge, c.challenge)
			}
			events, _ := p.taken()
			if taken := len(events) == 1; taken != (c.status == http.StatusAccepted) {
				t.Errorf("got %d events published", len(events))
			}
			if strings.Count(got.body, "\n") > 1 {
				t.Errorf("got %q, want one line", got.body)
			}
			said := got.body + fmt.Sprint(got.header, logs.All())
			if strings.Contains(said, secret) || strings.Contains(said, signature[1:]) || strings.Contains(said, valid[:20]) {
				t.Errorf("answer or log tells what is in the token: %s", said)
			}
		})
	}
}

func TestAuthenticationComesFirst(t *testing.T) {
	issuer := newRealIssuer(t)
	h, server, _ := guarded(t, &fake{}, issuer.environment()...)
	awaitReady(t, h)
	for _, c := range []struct {
		name, method, path string
		status             int
	}{
		{"event", http.MethodPost, "/", http.StatusUnauthorized},
		{"topic that is not open", http.MethodPost, "/topics/hidden", http.StatusUnauthorized},
		{"no such path", http.MethodPost, "/hidden", http.StatusUnauthorized},
		{"method", http.MethodDelete, "/", http.StatusUnauthorized},
		{"liveness", http.MethodGet, "/health", http.StatusOK},
		{"readiness", http.MethodGet, "/readiness", http.StatusOK},
	} {
		t.Run(c.name, func(t *testing.T) {
			r := httptest.NewRequestWithContext(t.Context(), c.method, c.path, nil)
			r.Header = binary()
			r.Body = io.NopCloser(unread{t})
			w := httptest.NewRecorder()
			server.Config.Handler.ServeHTTP(w, r)
			if w.Code != c.status {
				t.Errorf("got %d %q, want %d", w.Code, w.Body, c.status)
			}
		})
	}
	if got := send(t, server.Client(), http.MethodPost, server.URL, bearer(issuer.token(t, map[string]any{"sub": "anybody"})), strings.NewReader("{}")); got.status != http.StatusAccepted {
		t.Errorf("any subject, without OIDC_SUBJECTS: got %d %q, want 202", got.status, got.body)
	}
}

func TestStartAsksSendersForTokens(t *testing.T) {
	issuer := newRealIssuer(t)
	server := eventmeshtest.New(t, eventmeshtest.Options{Storage: eventmeshtest.RocketMQ})
	for _, subjects := range []string{"", sender} {
		t.Run("subjects "+subjects, func(t *testing.T) {
			s := start(t, issuer.environment("EVENTMESH_URL="+server.GRPCURL(), "EVENTMESH_TOPIC=orders", "OIDC_SUBJECTS="+subjects)...)
			s.awaitReadiness(t, http.StatusOK)
			if got := post(t, s.url); got.status != http.StatusUnauthorized {
				t.Errorf("without a token: got %d %q, want 401", got.status, got.body)
			}
			if got := send(t, http.DefaultClient, http.MethodPost, s.url, bearer(issuer.token(t, nil)), strings.NewReader("{}")); got.status != http.StatusAccepted {
				t.Errorf("got %d %q, want 202", got.status, got.body)
			}
			if warned := s.logs.FilterMessageSnippet("OIDC_SUBJECTS is not set").Len() == 1; warned != (subjects == "") {
				t.Errorf("got a warning that everybody may send: %t, want %t", warned, subjects == "")
			}
		})
	}
}

func TestIssuerThatComesLater(t *testing.T) {
	issuer := newRealIssuer(t)
	issuer.breakDown(true)
	h, server, logs := guarded(t, &fake{}, issuer.environment()...)
	eventually(t, func() string {
		if err := h.ready(); err == nil || !strings.Contains(err.Error(), "502 Bad Gateway") {
			return fmt.Sprintf("ready: %v", err)
		}
		return ""
	})
	if err := h.ready(); strings.Contains(err.Error(), "\n") {
		t.Errorf("readiness says %q, want one line", err)
	}
	got := send(t, server.Client(), http.MethodPost, server.URL, bearer(issuer.token(t, nil)), strings.NewReader("{}"))
	if got.status != http.StatusServiceUnavailable || got.header.Get("Retry-After") == "" {
		t.Errorf("got %d %q, want 503 with Retry-After", got.status, got.body)
	}
	if got := send(t, server.Client(), http.MethodPost, server.URL, binary(), strings.NewReader("{}")); got.status != http.StatusUnauthorized {
		t.Errorf("without a token: got %d %q, want 401", got.status, got.body)
	}
	issuer.breakDown(false)
	awaitReady(t, h)
	if got := send(t, server.Client(), http.MethodPost, server.URL, bearer(issuer.token(t, nil)), strings.NewReader("{}")); got.status != http.StatusAccepted {
		t.Errorf("got %d %q, want 202", got.status, got.body)
	}
	if n := logs.FilterMessageSnippet("cannot get the keys").Len(); n != 1 {
		t.Errorf("got %d lines of an issuer without keys, want 1", n)
	}
}

func TestKeysAreReplaced(t *testing.T) {
	issuer := newRealIssuer(t)
	h, server, _ := guarded(t, &fake{}, issuer.environment()...)
	awaitReady(t, h)
	status := func(token string) int {
		return send(t, server.Client(), http.MethodPost, server.URL, bearer(token), strings.NewReader("{}")).status
	}
	old := issuer.token(t, nil)
	if got := status(old); got != http.StatusAccepted {
		t.Errorf("first key: got %d, want 202", got)
	}
	before, _ := issuer.seen()
	for range 3 {
		issuer.rotate(t)
		token := issuer.token(t, nil)
		var senders sync.WaitGroup
		for range 50 {
			senders.Go(func() {
				if got := status(token); got != http.StatusAccepted {
					t.Errorf("new key: got %d, want 202", got)
				}
				if got := status(old); got != http.StatusAccepted {
					t.Errorf("old key: got %d, want 202", got)
				}
			})
		}
		senders.Wait()
	}
	if looks, _ := issuer.seen(); looks-before > 3*4 {
		t.Errorf("got %d looks at the keys for 3 new ones, want few", looks-before)
	}

	issuer.breakDown(true)
	if got := status(old); got != http.StatusAccepted {
		t.Errorf("known key of an issuer that has gone: got %d, want 202", got)
	}
	issuer.rotate(t)
	unknown := issuer.token(t, nil)
	if got := status(unknown); got != http.StatusServiceUnavailable {
		t.Errorf("unknown key of an issuer that has gone: got %d, want 503", got)
	}
	if err := h.ready(); err != nil {
		t.Errorf("not ready without the issuer: %v", err)
	}
	issuer.breakDown(false)
	if got := status(unknown); got != http.StatusAccepted {
		t.Errorf("unknown key of an issuer that is back: got %d, want 202", got)
	}
}

// Whoever makes up key IDs must not make the sink attack the issuer.
func TestLooksAtKeysArePaced(t *testing.T) {
	issuer := newRealIssuer(t)
	h, server, _ := serve(t, &fake{}, issuer.environment()...)
	h.senders = newAuthenticator(h.config.OIDC, h.logger)
	h.senders.issuer.pause, h.senders.issuer.patience = time.Hour, time.Millisecond
	t.Cleanup(h.senders.start(t.Context()))
	awaitReady(t, h)
	before, _ := issuer.seen()
	made := sign(t, jose.JSONWebKey{Key: newKey(t), KeyID: "made-up"}, issuer.claims(nil))
	ctx := t.Context()
	var answers sync.WaitGroup
	for range 20 {
		answers.Go(func() {
			r := httptest.NewRequestWithContext(ctx, http.MethodPost, "/", nil)
			r.Header = bearer(made)
			w := httptest.NewRecorder()
			server.Config.Handler.ServeHTTP(w, r)
			if w.Code != http.StatusServiceUnavailable { // since nobody can tell yet
				t.Errorf("got %d, want 503", w.Code)
			}
		})
	}
	answers.Wait()
	if looks, _ := issuer.seen(); looks != before {
		t.Errorf("got %d looks within the pause, want none", looks-before)
	}
}

func TestIssuerOfTheCluster(t *testing.T) {
	issuer := newRealIssuer(t)
	issuer.name = "https://issuer.example.com" // as a cluster of a provider calls itself
	content, err := os.ReadFile(issuer.caFile)
	if err != nil {
		t.Fatal(err)
	}
	files := newSecretVolume(t, map[string][]byte{"ca.crt": newAuthority(t).pem(), "token": []byte("first\n")})
	h, server, _ := serve(t, &fake{}, "OIDC_AUDIENCE="+audience)
	h.senders = newAuthenticator(h.config.OIDC, h.logger)
	h.senders.issuer.pause = time.Millisecond
	h.senders.issuer.discovery = discovery{url: issuer.URL}
	h.senders.issuer.discovery.useServiceAccount(files.dir)
	t.Cleanup(h.senders.start(t.Context()))
	eventually(t, func() string {
		if err := h.ready(); err == nil || !strings.Contains(err.Error(), "x509") {
			return fmt.Sprintf("ready with the authority of another: %v", err)
		}
		return ""
	})
	files.replace(t, map[string][]byte{"ca.crt": content, "token": []byte("first\n")})
	awaitReady(t, h)
	if got := send(t, server.Client(), http.MethodPost, server.URL, bearer(issuer.token(t, nil)), strings.NewReader("{}")); got.status != http.StatusAccepted {
		t.Errorf("got %d %q, want 202", got.status, got.body)
	}
	files.replace(t, map[string][]byte{"ca.crt": content, "token": []byte("second")})
	issuer.rotate(t)
	if got := send(t, server.Client(), http.MethodPost, server.URL, bearer(issuer.token(t, nil)), strings.NewReader("{}")); got.status != http.StatusAccepted {
		t.Errorf("new key: got %d %q, want 202", got.status, got.body)
	}
	_, tokens := issuer.seen()
	if !slices.Contains(tokens, "Bearer first") || tokens[len(tokens)-1] != "Bearer second" {
		t.Errorf("got tokens %q at the issuer, want the first and in the end the second", tokens)
	}
}

// The pod's token goes to the issuer alone, and only what the issuer itself says over TLS is believed.
func TestIssuerThatIsNotBelieved(t *testing.T) {
	keys, err := json.Marshal(map[string]any{"keys": public([]jose.JSONWebKey{{Key: newKey(t), KeyID: "1"}})})
	if err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct {
		name      string
		issuer    string // what it calls itself, by default its URL
		keysURL   string // by default /keys
		path      string // that is answered otherwise
		otherwise func(w http.ResponseWriter, r *http.Request, elsewhere string)
		want      string // nothing: it is believed
	}{
		{name: "as it should be"},
		{name: "another name", issuer: "https://another.example.com", want: "another.example.com"},
		{name: "keys without TLS", keysURL: "http://127.0.0.1:1/keys", want: "https"},
		{name: "redirected", path: "/.well-known/openid-configuration", otherwise: redirect, want: "307"},
		{name: "keys redirected", path: "/keys", otherwise: redirect, want: "307"},
		{name: "keys refused", path: "/keys", otherwise: func(w http.ResponseWriter, _ *http.Request, _ string) {
			w.WriteHeader(http.StatusForbidden)
			_, _ = w.Write(keys)
		}, want: "403"},
		{name: "more than is read", path: "/keys", otherwise: func(w http.ResponseWriter, _ *http.Request, _ string) {
			_, _ = w.Write(append(bytes.Repeat([]byte(" "), documentBytes), keys...))
		}, want: "reading keys"},
	} {
		t.Run(c.name, func(t *testing.T) {
			var strayed atomic.Int32
			elsewhere := httptest.NewTLSServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
				strayed.Add(1)
				_, _ = w.Write(keys)
			}))
			defer elsewhere.Close()
			var url string
			server := httptest.NewTLSServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
				switch r.URL.Path {
				case c.path:
					c.otherwise(w, r, elsewhere.URL)
				case "/keys":
					_, _ = w.Write(keys)
				default:
					_ = json.NewEncoder(w).Encode(map[string]string{"issuer": cmp.Or(c.issuer, url), "jwks_uri": cmp.Or(c.keysURL, url+"/keys")})
				}
			}))
			defer server.Close()
			url = server.URL
			dir := t.TempDir()
			d := discovery{url: url, caFile: filepath.Join(dir, "ca.crt"), tokenFile: filepath.Join(dir, "token")}
			ca := pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: server.Certificate().Raw}) // elsewhere has the same
			for path, content := range map[string][]byte{d.caFile: ca, d.tokenFile: []byte(secret)} {
				if err := os.WriteFile(path, content, 0o600); err != nil {
					t.Fatal(err)
				}
			}
			found, err := d.find(t.Context())
			if c.want == "" && (err != nil || found.issuer != url) || c.want != "" && !strings.Contains(fmt.Sprint(err), c.want) {
				t.Errorf("got %+v, %v; want %q", found, err, c.want)
			}
			if n := strayed.Load(); n != 0 {
				t.Errorf("%d requests went elsewhere", n)
			}
		})
	}
}

func redirect(w http.ResponseWriter, r *http.Request, elsewhere string) {
	http.Redirect(w, r, elsewhere+r.URL.Path, http.StatusTemporaryRedirect)
}

func TestServiceAccountIsForTheClusterAlone(t *testing.T) {
	for issuer, want := range map[string]discovery{
		"https://kubernetes.default.svc":               {caFile: filepath.Join(serviceAccount, "ca.crt"), tokenFile: filepath.Join(serviceAccount, "token"), anyName: true},
		"https://kubernetes.default.svc.cluster.local": {caFile: filepath.Join(serviceAccount, "ca.crt"), tokenFile: filepath.Join(serviceAccount, "token"), anyName: true},
		"https://kubernetes.default.svcs.example.com":  {},
		"https://issuer.example.com":                   {},
	} {
		want.url = issuer
		if got := newDiscovery(OIDC{Issuer: issuer}); got != want {
			t.Errorf("got %+v, want %+v", got, want)
		}
	}
}

func TestOIDCConfiguration(t *testing.T) {
	none := filepath.Join(t.TempDir(), "none")
	for _, c := range []struct {
		name        string
		environment []string
		want        []string // nil: no error
	}{
		{"audience", []string{"OIDC_AUDIENCE=a"}, nil},
		{"subjects", []string{"OIDC_AUDIENCE=a", "OIDC_SUBJECTS=a:b, c:*,"}, nil},
		{"subjects without audience", []string{"OIDC_SUBJECTS=a"}, []string{"OIDC_SUBJECTS", "OIDC_AUDIENCE"}},
		{"star within", []string{"OIDC_AUDIENCE=a", "OIDC_SUBJECTS=a*b"}, []string{"OIDC_SUBJECTS", `"a*b"`, "end"}},
		{"issuer without TLS", []string{"OIDC_AUDIENCE=a", "OIDC_ISSUER=http://issuer"}, []string{"OIDC_ISSUER", "http://issuer", "https"}},
		{"issuer with a password", []string{"OIDC_AUDIENCE=a", "OIDC_ISSUER=https://u:hunter2@issuer"}, []string{"OIDC_ISSUER", "without user"}},
		{"no issuer", []string{"OIDC_AUDIENCE=a", "OIDC_ISSUER=:hunter2"}, []string{"OIDC_ISSUER", "https"}},
		{"no authority", []string{"OIDC_AUDIENCE=a", "OIDC_CA_FILE=" + none}, []string{"OIDC_CA_FILE", none, "no such file"}},
		{"authority that is none", []string{"OIDC_AUDIENCE=a", "OIDC_CA_FILE=oidc_test.go"}, []string{"OIDC_CA_FILE", "oidc_test.go", "PEM"}},
	} {
		t.Run(c.name, func(t *testing.T) {
			_, err := load(t, append([]string{"EVENTMESH_URL=grpc://e", "EVENTMESH_TOPIC=a"}, c.environment...)...)
			if (err == nil) != (c.want == nil) {
				t.Fatalf("got %v, want an error: %t", err, c.want != nil)
			}
			for _, want := range c.want {
				if !strings.Contains(err.Error(), want) {
					t.Errorf("got %q, want %q in it", err, want)
				}
			}
			if err != nil && (strings.Contains(err.Error(), "\n") || strings.Contains(err.Error(), secret)) {
				t.Errorf("got %q, want one line without a secret", err)
			}
		})
	}
}
