package source

import (
	"errors"
	"fmt"
	"os"
	"strings"
	"sync"
	"time"

	"golang.org/x/net/http/httpguts"
)

// lookEvery is how long a token is used before the file is looked at again.
const lookEvery = time.Second

// tokenFile is a file with a token that is replaced from time to time. Its methods may be called by several goroutines.
type tokenFile struct {
	path string

	mu      sync.Mutex
	looked  time.Time // zero after a failure
	changed time.Time
	size    int64
	token   string
}

// read returns the token, and none where there is no file. The file is looked at again after lookEvery, and read again only when it
// has changed.
func (f *tokenFile) read() (string, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	now := time.Now()
	if now.Sub(f.looked) < lookEvery {
		return f.token, nil
	}
	if err := f.look(); err != nil {
		f.token, f.looked = "", time.Time{}
		return "", fmt.Errorf("OIDC_TOKEN_FILE: %w", err)
	}
	f.looked = now
	return f.token, nil
}

func (f *tokenFile) look() error {
	info, err := os.Stat(f.path) // follows the links by which Kubernetes replaces a projected file
	if errors.Is(err, os.ErrNotExist) {
		f.token = ""
		return nil
	}
	if err != nil {
		return err
	}
	if f.token != "" && info.ModTime().Equal(f.changed) && info.Size() == f.size {
		return nil
	}
	content, err := os.ReadFile(f.path)
	if err != nil {
		return err
	}
	token := strings.TrimSpace(string(content))
	if strings.ContainsAny(token, "\r\n") {
		return fmt.Errorf("%s holds more than one line", f.path)
	}
	if !httpguts.ValidHeaderFieldValue(token) {
		return fmt.Errorf("%s holds what HTTP does not take", f.path)
	}
	f.token, f.changed, f.size = token, info.ModTime(), info.Size()
	return nil
}
