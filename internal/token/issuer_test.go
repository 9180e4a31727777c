package token

import (
	"bytes"
	"cmp"
	"encoding/json"
	"encoding/pem"
	"fmt"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/go-jose/go-jose/v4"
	"golang.org/x/time/rate"

	"github.com/eventing-eventmesh/eventing-eventmesh/internal/await"
	"github.com/eventing-eventmesh/eventing-eventmesh/internal/token/tokentest"
)

func TestIssuerThatComesLater(t *testing.T) {
	issuer := tokentest.New(t)
	issuer.BreakDown(true)
	v, logs := starting(t, Options{Issuer: issuer.URL, CAFile: issuer.CAFile})
	err := unready(t, v, func(reason string) bool { return strings.Contains(reason, "502 Bad Gateway") })
	if strings.Contains(err.Error(), "\n") {
		t.Errorf("got %q, want one line", err)
	}
	token := issuer.Token(t, nil)
	expect(t, v, "without keys", token, unknown)
	await.Until(t, await.Patience, func() string {
		if _, tokens := issuer.Seen(); len(tokens) < 3 {
			return fmt.Sprintf("%d of 3 looks", len(tokens))
		}
		return ""
	})
	issuer.BreakDown(false)
	awaitReady(t, v)
	expect(t, v, "with keys", token, valid)
	for text, want := range map[string]int{"cannot get the keys": 1, "got the keys": 1} {
		if n := logs.FilterMessageSnippet(text).Len(); n != want {
			t.Errorf("got %d lines of %q, want %d", n, text, want)
		}
	}
}

func TestKeysAreReplaced(t *testing.T) {
	issuer := tokentest.New(t)
	v, logs := started(t, issuer)
	old := issuer.Token(t, nil)
	expect(t, v, "first key", old, valid)
	before, _ := issuer.Seen()
	for range 3 {
		issuer.Rotate(t)
		token := issuer.Token(t, nil)
		var senders sync.WaitGroup
		for range 50 {
			senders.Go(func() {
				expect(t, v, "new key", token, valid)
				expect(t, v, "old key", old, valid)
			})
		}
		senders.Wait()
	}
	if looks, _ := issuer.Seen(); looks-before > 3*4 {
		t.Errorf("got %d looks at the keys for 3 new ones, want few", looks-before)
	}

	issuer.BreakDown(true)
	expect(t, v, "known key of an issuer that has gone", old, valid)
	issuer.Rotate(t)
	latest := issuer.Token(t, nil)
	made := tokentest.Sign(t, jose.JSONWebKey{Key: tokentest.NewKey(t), KeyID: issuer.Key().KeyID}, issuer.Claims(nil))
	expect(t, v, "unknown key of an issuer that has gone", latest, unknown)
	expect(t, v, "made-up key of an issuer that has gone", made, unknown)
	if err := v.Ready(); err != nil {
		t.Errorf("not ready without the issuer: %v", err)
	}
	await.Until(t, await.Patience, func() string {
		if logs.FilterMessageSnippet("cannot get the keys").Len() == 0 {
			return "a line that says why"
		}
		return ""
	})
	issuer.BreakDown(false)
	expect(t, v, "unknown key of an issuer that is back", latest, valid)
	expect(t, v, "made-up key of an issuer that is back", made, invalid)
}

// An issuer may use an ID again, or none.
func TestKeyIsReplacedUnderItsID(t *testing.T) {
	for _, id := range []string{"same", ""} {
		t.Run("ID "+id, func(t *testing.T) {
			issuer := tokentest.New(t)
			issuer.Show(jose.JSONWebKey{Key: tokentest.NewKey(t), KeyID: id})
			v, _ := started(t, issuer)
			old := issuer.Token(t, nil)
			expect(t, v, "old key", old, valid)
			issuer.Show(jose.JSONWebKey{Key: tokentest.NewKey(t), KeyID: id})
			expect(t, v, "new key", issuer.Token(t, nil), valid)
			becomesInvalid(t, v, old)
		})
	}
}

// A key that the issuer takes back is used for no longer than keys are.
func TestKeyIsTakenBack(t *testing.T) {
	issuer := tokentest.New(t)
	v, _ := started(t, issuer, func(v *Verifier) { v.age = time.Millisecond })
	token := issuer.Token(t, nil)
	expect(t, v, "key that is shown", token, valid)
	issuer.Show(jose.JSONWebKey{Key: tokentest.NewKey(t), KeyID: "another"})
	becomesInvalid(t, v, token)
}

// becomesInvalid waits until a token is refused. The library goes on with its old keys for a moment.
func becomesInvalid(t *testing.T, v *Verifier, token string) {
	t.Helper()
	await.Until(t, await.Patience, func() string {
		if got, _ := judge(t, v, token); got != invalid {
			return "still " + string(got)
		}
		return ""
	})
}

// An answer without keys is none: what an issuer says that is only half there must not make tokens invalid.
func TestAnswerWithoutKeys(t *testing.T) {
	issuer := tokentest.New(t)
	v, _ := started(t, issuer)
	old := issuer.Token(t, nil)
	issuer.Rotate(t)
	keys := issuer.Key()
	issuer.Show()
	latest := tokentest.Sign(t, keys, issuer.Claims(nil))
	expect(t, v, "unknown key", latest, unknown)
	expect(t, v, "known key", old, valid)
	issuer.Show(keys)
	expect(t, v, "unknown key that is shown", latest, valid)
}

// A token may be newer than what the issuer was asked before it came.
func TestKeyIsNewerThanAReadThatHasBegun(t *testing.T) {
	issuer := tokentest.New(t)
	reading, goOn := make(chan struct{}), make(chan struct{})
	var looks atomic.Int32
	issuer.Sending = func(path string) {
		if path == "/keys" && looks.Add(1) == 2 {
			close(reading)
			<-goOn
		}
	}
	v, _ := started(t, issuer)
	made := tokentest.Sign(t, jose.JSONWebKey{Key: tokentest.NewKey(t), KeyID: "made-up"}, issuer.Claims(nil))
	var senders sync.WaitGroup
	senders.Go(func() { expect(t, v, "made-up key", made, invalid) })
	<-reading
	issuer.Rotate(t)
	token := issuer.Token(t, nil)
	senders.Go(func() { expect(t, v, "new key", token, valid) })
	await.Until(t, await.Patience, func() string {
		stacks := make([]byte, 1<<20)
		stacks = stacks[:runtime.Stack(stacks, true)]
		if n := bytes.Count(stacks, []byte("(*RemoteKeySet).keysFromRemote(")); n != 2 {
			return fmt.Sprintf("%d of 2 wait for the read", n)
		}
		return ""
	})
	close(goOn)
	senders.Wait()
}

// Whoever makes up keys must not make the verifier attack the issuer.
func TestReadsArePaced(t *testing.T) {
	issuer := tokentest.New(t)
	v, _ := started(t, issuer, func(v *Verifier) { v.limiter, v.patience = rate.NewLimiter(rate.Every(time.Hour), 2), time.Minute })
	before, _ := issuer.Seen()
	made := tokentest.Sign(t, jose.JSONWebKey{Key: tokentest.NewKey(t), KeyID: "made-up"}, issuer.Claims(nil))
	var senders sync.WaitGroup
	for range 20 {
		senders.Go(func() { expect(t, v, "made-up key", made, unknown) }) // since nobody can tell yet
	}
	senders.Wait()
	if looks, _ := issuer.Seen(); looks != before {
		t.Errorf("got %d looks within the pause, want none", looks-before)
	}
	expect(t, v, "known key", issuer.Token(t, nil), valid)
}

// volume holds the files of a service account, which are replaced at once.
type volume string

func (v volume) write(t *testing.T, name string, content []byte) {
	t.Helper()
	file := filepath.Join(string(v), name)
	if err := os.WriteFile(file+".new", content, 0o600); err != nil {
		t.Fatal(err)
	}
	if err := os.Rename(file+".new", file); err != nil {
		t.Fatal(err)
	}
}

func TestIssuerOfTheCluster(t *testing.T) {
	issuer, stranger := tokentest.New(t), tokentest.New(t)
	issuer.Name = "https://issuer.example.com" // as a cluster of a provider calls itself
	files := volume(t.TempDir())
	authority := func(i *tokentest.Issuer) {
		content, err := os.ReadFile(i.CAFile)
		if err != nil {
			t.Fatal(err)
		}
		files.write(t, "ca.crt", content)
	}
	authority(stranger)
	files.write(t, "token", []byte("first\n"))
	v, _ := starting(t, Options{Issuer: issuer.URL, CAFile: filepath.Join(string(files), "ca.crt")}, func(v *Verifier) { v.account = string(files) })
	unready(t, v, func(reason string) bool { return strings.Contains(reason, "x509") })
	authority(issuer)
	awaitReady(t, v)
	expect(t, v, "first key", issuer.Token(t, nil), valid)
	files.write(t, "token", []byte("second"))
	issuer.Rotate(t)
	expect(t, v, "new key", issuer.Token(t, nil), valid)
	if _, tokens := issuer.Seen(); !slices.Contains(tokens, "Bearer first") || tokens[len(tokens)-1] != "Bearer second" {
		t.Errorf("got tokens %q at the issuer, want the first and in the end the second", tokens)
	}
}

// The pod's token goes to the issuer alone, and only what the issuer itself says over TLS is believed.
func TestIssuerThatIsNotBelieved(t *testing.T) {
	key := jose.JSONWebKey{Key: tokentest.NewKey(t), KeyID: "1"}
	keys, err := json.Marshal(jose.JSONWebKeySet{Keys: []jose.JSONWebKey{key.Public()}})
	if err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct {
		name      string
		issuer    string // what it calls itself, by default its URL
		keysURL   string // by default /keys
		path      string // that is answered otherwise
		otherwise func(w http.ResponseWriter, r *http.Request, elsewhere string)
		stranger  bool   // whether the issuer is not the cluster
		want      string // nothing: it is believed
	}{
		{name: "as it should be", stranger: true},
		{name: "as the cluster should be"},
		{name: "another name", issuer: "https://another.example.com", stranger: true, want: "another.example.com"},
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
		{name: "no keys", path: "/keys", otherwise: func(w http.ResponseWriter, _ *http.Request, _ string) {
			_, _ = w.Write([]byte("{}"))
		}, want: "no key"},
	} {
		t.Run(c.name, func(t *testing.T) {
			var strayed atomic.Int32
			elsewhere := httptest.NewTLSServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
				strayed.Add(1)
				_, _ = w.Write(keys)
			}))
			defer elsewhere.Close()
			var url string
			var told atomic.Int32 // how often the pod's token was
			server := httptest.NewTLSServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
				if r.Header.Get("Authorization") != "" {
					told.Add(1)
				}
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
			files := volume(t.TempDir())
			files.write(t, "ca.crt", pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: server.Certificate().Raw})) // elsewhere has the same
			files.write(t, "token", []byte(secret))
			v := New(Options{Issuer: url, CAFile: filepath.Join(string(files), "ca.crt")})
			if !c.stranger {
				v.account = string(files)
			}
			found, err := v.find(t.Context())
			if c.want == "" && (err != nil || found.issuer != url) || c.want != "" && !strings.Contains(fmt.Sprint(err), c.want) {
				t.Errorf("got %+v, %v; want %q", found, err, c.want)
			}
			if n := strayed.Load(); n != 0 {
				t.Errorf("%d requests went elsewhere", n)
			}
			if (told.Load() == 0) != c.stranger {
				t.Errorf("the pod's token was told %d times, to a stranger: %t", told.Load(), c.stranger)
			}
		})
	}
}

func redirect(w http.ResponseWriter, r *http.Request, elsewhere string) {
	http.Redirect(w, r, elsewhere+r.URL.Path, http.StatusTemporaryRedirect)
}

func TestServiceAccountIsForTheClusterAlone(t *testing.T) {
	authority := filepath.Join(serviceAccount, "ca.crt")
	for _, c := range []struct {
		issuer, caFile     string
		account, authority string
	}{
		{"https://kubernetes.default.svc", "", serviceAccount, authority},
		{"https://kubernetes.default.svc.cluster.local", "", serviceAccount, authority},
		{"https://kubernetes.default.svc", "ca.pem", serviceAccount, "ca.pem"},
		{"https://kubernetes.default.svcs.example.com", "", "", ""},
		{"https://issuer.example.com", "", "", ""},
	} {
		if got := New(Options{Issuer: c.issuer, CAFile: c.caFile}); got.account != c.account || got.options.CAFile != c.authority {
			t.Errorf("%s: got account %q and authority %q, want %+v", c.issuer, got.account, got.options.CAFile, c)
		}
	}
}
