package token

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/coreos/go-oidc/v3/oidc"
	"github.com/go-jose/go-jose/v4"

	"github.com/eventing-eventmesh/eventing-eventmesh/internal/token/tokentest"
)

func TestVerify(t *testing.T) {
	issuer, stranger := tokentest.New(t), tokentest.New(t)
	encrypting := jose.JSONWebKey{Key: tokentest.NewKey(t), KeyID: "encrypting", Use: "enc"}
	wrapping := jose.JSONWebKey{Key: tokentest.NewKey(t), KeyID: "wrapping", Algorithm: "ECDH-ES"}
	nameless := jose.JSONWebKey{Key: tokentest.NewKey(t)}
	issuer.Show(encrypting, wrapping, nameless, issuer.Key())
	v, logs := started(t, issuer)
	good := issuer.Token(t, nil)
	forged := stranger.Key()
	forged.KeyID = issuer.Key().KeyID
	changed := issuer.Token(t, map[string]any{"sub": "hunter2"})
	body, signature := good[:strings.LastIndex(good, ".")], good[strings.LastIndex(good, "."):]
	with := func(claim string, value any) string { return issuer.Token(t, map[string]any{claim: value}) }
	for _, c := range []struct {
		name, token string
		subject     string
		why         string // nothing: it is valid
	}{
		{"valid", good, tokentest.Subject, ""},
		{"one audience", with("aud", tokentest.Audience), tokentest.Subject, ""},
		{"without a subject", with("sub", nil), "", ""},
		{"expired within the skew of clocks", with("exp", ago(clockSkew/2)), tokentest.Subject, ""},
		{"not valid yet, within the skew of clocks", with("nbf", ago(-clockSkew/2)), tokentest.Subject, ""},
		{"without a start", with("nbf", nil), tokentest.Subject, ""},
		{"with a start in the middle of a second", with("nbf", float64(ago(time.Minute))+0.5), tokentest.Subject, ""},
		{"by a key without an ID", tokentest.Sign(t, nameless, issuer.Claims(nil)), tokentest.Subject, ""},

		{"nothing", "", "", "malformed"},
		{"not a token", "hunter2", "", "malformed"},
		{"not a token, with dots", "hunter2.hunter2.hunter2", "", "malformed"},
		{"as JSON, with two signatures", `{"payload":"e30","signatures":[{"protected":"eyJhbGciOiJFUzI1NiJ9","signature":"AA"},{"protected":"eyJhbGciOiJFUzI1NiJ9","signature":"AA"}]}`, "", "malformed"},
		{"of the verifier's own making", noToken, "", "signature"},
		{"expired", with("exp", ago(time.Minute)), "", "expired"},
		{"expired beyond the skew of clocks", with("exp", ago(clockSkew+time.Second)), "", "expired"},
		{"without an end", with("exp", nil), "", "expired"},
		{"of the future", issuer.Token(t, map[string]any{"nbf": ago(-time.Hour), "exp": ago(-2 * time.Hour)}), "", "not valid yet"},
		{"of the near future", with("nbf", ago(-250*time.Second)), "", "not valid yet"},
		{"of the near future, as text", with("nbf", strconv.FormatInt(ago(-250*time.Second), 10)), "", "not valid yet"},
		{"of the near future, in the middle of a second", with("nbf", float64(ago(-250*time.Second))+0.5), "", "not valid yet"},
		{"with a start that is no number", with("nbf", "hunter2"), "", "malformed"},
		{"with a start that is no time", with("nbf", []string{"hunter2"}), "", "malformed"},
		{"with an end that is no number", with("exp", "hunter2"), "", "malformed"},
		{"other audience", with("aud", "hunter2"), "", "another audience"},
		{"start of the audience", with("aud", tokentest.Audience[:5]), "", "another audience"},
		{"no audience", with("aud", nil), "", "another audience"},
		{"other issuer's name", with("iss", "https://hunter2"), "", "another issuer"},
		{"no issuer", with("iss", nil), "", "another issuer"},
		{"other issuer's key under a known ID", tokentest.Sign(t, forged, issuer.Claims(nil)), "", "signature"},
		{"key that is unknown", tokentest.Sign(t, jose.JSONWebKey{Key: stranger.Key().Key, KeyID: "hunter2"}, issuer.Claims(nil)), "", "key"},
		{"key that is unknown, without an ID", tokentest.Sign(t, jose.JSONWebKey{Key: stranger.Key().Key}, issuer.Claims(nil)), "", "key"},
		{"key for something else", tokentest.Sign(t, encrypting, issuer.Claims(nil)), "", "key"},
		{"key for something else by its algorithm", tokentest.Sign(t, jose.JSONWebKey{Key: wrapping.Key, KeyID: "wrapping"}, issuer.Claims(nil)), "", "key"},
		{"changed content", changed[:strings.LastIndex(changed, ".")] + signature, "", "signature"},
		{"no signature", body + ".", "", "signature"},
		{"cut off signature", body + signature[:20], "", "signature"},
		{"algorithm none", tokentest.Unsigned(t, issuer.Key().KeyID, issuer.Claims(nil)), "", "algorithm"},
		{"shared secret", tokentest.Sign(t, jose.JSONWebKey{Key: []byte("hunter2hunter2hunter2hunter2hunter2"), KeyID: issuer.Key().KeyID}, issuer.Claims(nil)), "", "algorithm"},
	} {
		t.Run(c.name, func(t *testing.T) {
			subject, err := v.Verify(t.Context(), c.token, tokentest.Audience)
			if c.why == "" {
				if err != nil || subject != c.subject {
					t.Errorf("got %q, %v; want %q", subject, err, c.subject)
				}
				return
			}
			if refused, ok := errors.AsType[InvalidError](err); !ok || !strings.Contains(string(refused), c.why) || subject != "" {
				t.Errorf("got %q, %v; want it to be invalid: %s", subject, err, c.why)
			}
			said := fmt.Sprint(err, logs.All())
			if strings.Contains(said, secret) || strings.Contains(said, signature[1:]) || strings.Contains(said, "\n") {
				t.Errorf("error or log tells what is in the token: %s", said)
			}
		})
	}
}

func TestAudienceIsThatOfTheQuestion(t *testing.T) {
	issuer := tokentest.New(t)
	v, _ := started(t, issuer)
	for audience, want := range map[string]string{tokentest.Audience: "", "another": "", "third": "another audience", "": "malformed"} {
		_, err := v.Verify(t.Context(), issuer.Token(t, nil), audience)
		if (err == nil) != (want == "") || err != nil && !strings.Contains(err.Error(), want) {
			t.Errorf("audience %q: got %v, want %q", audience, err, want)
		}
	}
}

// The library tells by texts alone what is wrong with a token. Where a new version of it has others, people read "malformed".
func TestReasonsAreThoseOfTheLibrary(t *testing.T) {
	const version = "go-oidc v3.21.0"
	issuer := tokentest.New(t)
	v, _ := started(t, issuer)
	for claim, want := range map[string]InvalidError{"aud": "the token is for another audience", "iss": "the token is from another issuer"} {
		if _, err := v.Verify(t.Context(), issuer.Token(t, map[string]any{claim: "other"}), tokentest.Audience); !errors.Is(err, want) {
			t.Errorf("%s: got %v, want %q, which is told by a text of %s", claim, err, want, version)
		}
	}
}

// shown are keys without a server.
type shown []jose.JSONWebKey

func (s shown) RoundTrip(*http.Request) (*http.Response, error) {
	body, err := json.Marshal(jose.JSONWebKeySet{Keys: s})
	return &http.Response{StatusCode: http.StatusOK, Body: io.NopCloser(bytes.NewReader(body))}, err
}

// Whatever a token holds, it is valid or not, and no more than one is valid.
func FuzzVerify(f *testing.F) {
	issuer := tokentest.New(f)
	v := New(Options{})
	good, key := issuer.Token(f, nil), issuer.Key()
	for _, token := range []string{good, noToken, "", "..", good + ".", "." + good, `{"payload":""}`, tokentest.Unsigned(f, "key-0", issuer.Claims(nil))} {
		f.Add(token)
	}
	v.keys = &keys{issuer: issuer.URL, algorithms: []string{oidc.ES256}, transport: shown{key.Public()}}
	v.keys.set = oidc.NewRemoteKeySet(oidc.ClientContext(f.Context(), &http.Client{Transport: v.keys}), "https://issuer.example.com/keys")
	f.Fuzz(func(t *testing.T, token string) {
		subject, err := v.Verify(context.Background(), token, tokentest.Audience)
		if _, refused := errors.AsType[InvalidError](err); err != nil && !refused {
			t.Fatalf("got %v, want it to be valid or not", err)
		}
		if err == nil && subject != tokentest.Subject {
			t.Fatalf("got %q for a token that nobody has signed", subject)
		}
	})
}
