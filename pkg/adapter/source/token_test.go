package source

import (
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

func TestToken(t *testing.T) {
	path := filepath.Join(t.TempDir(), "token")
	f := &tokenFile{path: path}
	step := func(name, content, want, failure string) {
		t.Helper()
		if content != "" {
			next := path + ".next"
			if err := os.WriteFile(next, []byte(content), 0o600); err != nil {
				t.Fatal(err)
			}
			if err := os.Chtimes(next, time.Time{}, time.Now().Add(time.Duration(len(name))*time.Hour)); err != nil {
				t.Fatal(err)
			}
			if err := os.Rename(next, path); err != nil {
				t.Fatal(err)
			}
		}
		f.looked = f.looked.Add(-lookEvery)
		got, err := f.read()
		if got != want || (err != nil) != (failure != "") || err != nil && !strings.Contains(err.Error(), failure) {
			t.Errorf("%s: got %q, %v; want %q, %q", name, got, err, want, failure)
		}
		if err != nil && strings.Contains(err.Error(), secret) {
			t.Errorf("%s: %v holds a secret", name, err)
		}
	}
	step("no file", "", "", "")
	step("first", secret+"1\n", secret+"1", "")
	step("the same", "", secret+"1", "")
	step("replaced, as long", secret+"2\n", secret+"2", "")
	if err := os.WriteFile(path, []byte("not looked at yet"), 0o600); err != nil {
		t.Fatal(err)
	}
	if got, err := f.read(); got != secret+"2" || err != nil {
		t.Errorf("got %q, %v; want the token that was read just before", got, err)
	}
	step("two lines, which no header can hold", secret+"\nX: y", "", "more than one line")
	step("what no header can hold either", secret+"\x00y", "", "what HTTP does not take")
	step("replaced again, by a longer one", secret+"333\n", secret+"333", "")
	if err := os.Remove(path); err != nil {
		t.Fatal(err)
	}
	step("removed", "", "", "")
	if err := os.Mkdir(path, 0o700); err != nil {
		t.Fatal(err)
	}
	step("a directory", "", "", "OIDC_TOKEN_FILE")
}

func TestTokenIsSent(t *testing.T) {
	path := filepath.Join(t.TempDir(), "token")
	var got string
	s := senderTo(t, answering(t, func(_ http.ResponseWriter, r *http.Request) { got = r.Header.Get("Authorization") }))
	for _, content := range []string{"", "one", "other"} {
		want := ""
		if content != "" {
			want = "Bearer " + content
			if err := os.WriteFile(path, []byte(content), 0o600); err != nil {
				t.Fatal(err)
			}
		}
		s.token = &tokenFile{path: path}
		if _, err := s.send(t.Context(), sample("a")); err != nil || got != want {
			t.Errorf("got %q, %v; want %q", got, err, want)
		}
	}
	s.token = &tokenFile{path: filepath.Dir(path)}
	if _, err := s.send(t.Context(), sample("a")); err == nil {
		t.Error("an event was sent without the token that there should be")
	}
	s.token = nil
	if _, err := s.send(t.Context(), sample("a")); err != nil || got != "" {
		t.Errorf("got %q, %v; want no token where none belongs", got, err)
	}
}
