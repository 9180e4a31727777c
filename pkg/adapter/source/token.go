package source

import (
	"errors"
	"fmt"
	"os"
	"strings"
	"sync"
	"time"
)

// tokenFile is a file with a token that is replaced from time to time. Its methods may be called by several goroutines.
type tokenFile struct {
	path string

	mu      sync.Mutex
	changed time.Time
	size    int64
	token   string
}

// read returns the token, and none where there is no file. The file is read again only when it has changed.
func (f *tokenFile) read() (string, error) {
	info, err := os.Stat(f.path) // follows the links by which Kubernetes replaces a projected file
	if errors.Is(err, os.ErrNotExist) {
		return "", nil
	}
	if err != nil {
		return "", fmt.Errorf("OIDC_TOKEN_FILE: %w", err)
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.token != "" && info.ModTime().Equal(f.changed) && info.Size() == f.size {
		return f.token, nil
	}
	content, err := os.ReadFile(f.path)
	if err != nil {
		return "", fmt.Errorf("OIDC_TOKEN_FILE: %w", err)
	}
	f.token, f.changed, f.size = strings.TrimSpace(string(content)), info.ModTime(), info.Size()
	if strings.ContainsAny(f.token, "\r\n") {
		f.token = ""
		return "", fmt.Errorf("OIDC_TOKEN_FILE: %s holds more than one line", f.path)
	}
	return f.token, nil
}
