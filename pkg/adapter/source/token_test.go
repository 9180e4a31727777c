package source

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
	"testing/synctest"
	"time"
)

func TestToken(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	synctest.Test(t, func(t *testing.T) { // whose time goes on when all wait
		path := filepath.Join(dir, "token")
		read := tokenFile(path)
		step := func(name, content, want, failure string) {
			t.Helper()
			if content != "" {
				if err := os.WriteFile(path+".next", []byte(content), 0o600); err != nil {
					t.Fatal(err)
				}
				if err := os.Rename(path+".next", path); err != nil {
					t.Fatal(err)
				}
			}
			time.Sleep(time.Second) // after which the file is looked at again
			got, err := read()
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
		if got, err := read(); got != secret+"2" || err != nil {
			t.Errorf("got %q, %v; want the token that was read just before", got, err)
		}
		step("two lines, which no header can hold", secret+"\nX: y", "", "more than one line")
		step("what no header can hold either", secret+"\x00y", "", "what HTTP does not accept")
		step("replaced again, by a longer one", secret+"333\n", secret+"333", "")
		if err := os.Remove(path); err != nil {
			t.Fatal(err)
		}
		step("removed", "", "", "")
		if err := os.Mkdir(path, 0o700); err != nil {
			t.Fatal(err)
		}
		step("a directory", "", "", "OIDC_TOKEN_FILE")
	})
}
