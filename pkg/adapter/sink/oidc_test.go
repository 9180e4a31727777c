package sink

import (
	"context"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/go-jose/go-jose/v4"
	"go.uber.org/zap/zaptest/observer"

	"github.com/eventing-eventmesh/eventing-eventmesh/internal/ingresstest"
	"github.com/eventing-eventmesh/eventing-eventmesh/internal/token/tokentest"
	"github.com/eventing-eventmesh/eventing-eventmesh/pkg/adapter/guard"
	"github.com/eventing-eventmesh/eventing-eventmesh/pkg/eventmesh/eventmeshtest"
)

// guarded serves a sink that wants tokens.
func guarded(t *testing.T, p guard.Publisher, environment ...string) (*served, *observer.ObservedLogs) {
	t.Helper()
	server, logs := serve(t, p, environment...)
	ctx, cancel := context.WithCancel(t.Context())
	t.Cleanup(server.senders.tokens.Start(ctx))
	cancel() // as at the start of a shutdown, during which requests are served
	return server, logs
}

// tokensOf is the environment of a sink that wants tokens of an issuer.
func tokensOf(issuer *tokentest.Issuer, more ...string) []string {
	return append([]string{"OIDC_AUDIENCE=" + tokentest.Audience, "OIDC_ISSUER=" + issuer.URL, "OIDC_CA_FILE=" + issuer.CAFile}, more...)
}

func awaitReady(t *testing.T, s *served) {
	t.Helper()
	eventually(t, func() string {
		if err := s.ready(); err != nil {
			return err.Error()
		}
		return ""
	})
}

func bearer(token string) http.Header { return ingresstest.Binary("Authorization=Bearer " + token) }

// unread is a body that must not be read before the sender is known.
type unread struct{ *testing.T }

func (u unread) Read([]byte) (int, error) {
	u.Error("the body was read")
	return 0, io.EOF
}

func TestAuthentication(t *testing.T) {
	issuer := tokentest.New(t)
	valid := issuer.Token(t, nil)
	signature := valid[strings.LastIndex(valid, "."):]
	made := jose.JSONWebKey{Key: tokentest.NewKey(t), KeyID: "hunter2"}
	with := func(claim string, value any) string { return "Bearer " + issuer.Token(t, map[string]any{claim: value}) }
	for _, c := range []struct {
		name          string
		authorization string
		status        int
		challenge     string // of a 401
		why           string
	}{
		{"valid", "Bearer " + valid, http.StatusAccepted, "", ""},
		{"scheme in lower case", "bearer " + valid, http.StatusAccepted, "", ""},
		{"subject by its start", with("sub", "system:serviceaccount:knative-eventing:filter"), http.StatusAccepted, "", ""},

		{"none", "", http.StatusUnauthorized, "Bearer", "is needed"},
		{"empty", "Bearer ", http.StatusUnauthorized, "Bearer", "is needed"},
		{"password", "Basic aHVudGVyMjpodW50ZXIy", http.StatusUnauthorized, "Bearer", "is needed"},
		{"not a token", "Bearer hunter2", http.StatusUnauthorized, "invalid_token", "malformed"},
		{"expired", with("exp", time.Now().Add(-time.Minute).Unix()), http.StatusUnauthorized, "invalid_token", "expired"},
		{"other audience", with("aud", "hunter2"), http.StatusUnauthorized, "invalid_token", "another audience"},
		{"other issuer's name", with("iss", "https://hunter2"), http.StatusUnauthorized, "invalid_token", "another issuer"},
		{"key that is unknown", "Bearer " + tokentest.Sign(t, made, issuer.Claims(nil)), http.StatusUnauthorized, "invalid_token", "signature"},

		{"subject that is not listed", with("sub", tokentest.Subject+"2"), http.StatusForbidden, "", tokentest.Subject + "2"},
		{"no subject", with("sub", nil), http.StatusForbidden, "", "OIDC_SUBJECTS"},
	} {
		t.Run(c.name, func(t *testing.T) {
			p := &fake{}
			server, logs := guarded(t, p, tokensOf(issuer, "OIDC_SUBJECTS="+tokentest.Subject+", system:serviceaccount:knative-eventing:*")...)
			awaitReady(t, server)
			header := ingresstest.Binary()
			if c.authorization != "" {
				header.Set("Authorization", c.authorization)
			}
			got := ingresstest.Send(t, server.Client(), http.MethodPost, server.URL, header, strings.NewReader("{}"))
			if got.Status != c.status || !strings.Contains(got.Body, c.why) {
				t.Errorf("got %d %q, want %d with %q", got.Status, got.Body, c.status, c.why)
			}
			if challenge := got.Header.Get("Www-Authenticate"); !strings.Contains(challenge, c.challenge) || (challenge == "") != (c.status != http.StatusUnauthorized) {
				t.Errorf("got challenge %q, want %q", challenge, c.challenge)
			}
			events, _ := p.taken()
			if taken := len(events) == 1; taken != (c.status == http.StatusAccepted) {
				t.Errorf("got %d events published", len(events))
			}
			if strings.Count(got.Body, "\n") > 1 {
				t.Errorf("got %q, want one line", got.Body)
			}
			said := got.Body + fmt.Sprint(got.Header, logs.All())
			if strings.Contains(said, secret) || strings.Contains(said, signature[1:]) || strings.Contains(said, valid[:20]) {
				t.Errorf("answer or log tells what is in the token: %s", said)
			}
		})
	}
}

func TestAuthenticationComesFirst(t *testing.T) {
	issuer := tokentest.New(t)
	server, _ := guarded(t, &fake{}, tokensOf(issuer)...)
	awaitReady(t, server)
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
			r.Header = ingresstest.Binary()
			r.Body = io.NopCloser(unread{t})
			w := httptest.NewRecorder()
			server.ServeHTTP(w, r)
			if w.Code != c.status {
				t.Errorf("got %d %q, want %d", w.Code, w.Body, c.status)
			}
		})
	}
	if got := ingresstest.Send(t, server.Client(), http.MethodPost, server.URL, bearer(issuer.Token(t, map[string]any{"sub": "anybody"})), strings.NewReader("{}")); got.Status != http.StatusAccepted {
		t.Errorf("any subject, without OIDC_SUBJECTS: got %d %q, want 202", got.Status, got.Body)
	}
}

func TestStartAsksSendersForTokens(t *testing.T) {
	issuer := tokentest.New(t)
	server := eventmeshtest.New(t, eventmeshtest.Options{Storage: eventmeshtest.RocketMQ})
	for _, subjects := range []string{"", tokentest.Subject} {
		t.Run("subjects "+subjects, func(t *testing.T) {
			s := start(t, tokensOf(issuer, "EVENTMESH_URL="+server.GRPCURL(), "EVENTMESH_TOPIC=orders", "OIDC_SUBJECTS="+subjects)...)
			s.awaitReadiness(t, http.StatusOK)
			if got := ingresstest.Post(t, s.url); got.Status != http.StatusUnauthorized {
				t.Errorf("without a token: got %d %q, want 401", got.Status, got.Body)
			}
			if got := ingresstest.Send(t, http.DefaultClient, http.MethodPost, s.url, bearer(issuer.Token(t, nil)), strings.NewReader("{}")); got.Status != http.StatusAccepted {
				t.Errorf("got %d %q, want 202", got.Status, got.Body)
			}
			if warned := s.logs.FilterMessageSnippet("OIDC_SUBJECTS is not set").Len() == 1; warned != (subjects == "") {
				t.Errorf("got a warning that everybody may send: %t, want %t", warned, subjects == "")
			}
		})
	}
}

func TestIssuerThatComesLater(t *testing.T) {
	issuer := tokentest.New(t)
	issuer.BreakDown(true)
	server, logs := guarded(t, &fake{}, tokensOf(issuer)...)
	eventually(t, func() string {
		if err := server.ready(); err == nil || !strings.Contains(err.Error(), "502 Bad Gateway") {
			return fmt.Sprintf("ready: %v", err)
		}
		return ""
	})
	if err := server.ready(); strings.Contains(err.Error(), "\n") {
		t.Errorf("readiness says %q, want one line", err)
	}
	got := ingresstest.Send(t, server.Client(), http.MethodPost, server.URL, bearer(issuer.Token(t, nil)), strings.NewReader("{}"))
	if got.Status != http.StatusServiceUnavailable || got.Header.Get("Retry-After") == "" {
		t.Errorf("got %d %q, want 503 with Retry-After", got.Status, got.Body)
	}
	if got := ingresstest.Send(t, server.Client(), http.MethodPost, server.URL, ingresstest.Binary(), strings.NewReader("{}")); got.Status != http.StatusUnauthorized {
		t.Errorf("without a token: got %d %q, want 401", got.Status, got.Body)
	}
	issuer.BreakDown(false)
	awaitReady(t, server)
	if got := ingresstest.Send(t, server.Client(), http.MethodPost, server.URL, bearer(issuer.Token(t, nil)), strings.NewReader("{}")); got.Status != http.StatusAccepted {
		t.Errorf("got %d %q, want 202", got.Status, got.Body)
	}
	if n := logs.FilterMessageSnippet("cannot get the keys").Len(); n != 1 {
		t.Errorf("got %d lines of an issuer without keys, want 1", n)
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
