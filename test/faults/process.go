package faults

import (
	"io"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"sync"
	"testing"

	"github.com/eventing-eventmesh/eventing-eventmesh/internal/processtest"
)

// programs is the folder that the programs are built into; TestMain makes it.
var programs string

// build builds a program once, and returns its path.
func build(t *testing.T, name string) string {
	t.Helper()
	builds.Lock()
	defer builds.Unlock()
	path := filepath.Join(programs, name)
	if _, err := os.Stat(path); err == nil {
		return path
	}
	if err := processtest.Build(t.Context(), programs, name); err != nil {
		t.Fatal(err)
	}
	return path
}

var builds sync.Mutex

// run starts a program with nothing in its environment but what is given. The test ends it at its own end at the latest.
func run(t *testing.T, name, path string, environment []string, arguments ...string) *processtest.Program {
	t.Helper()
	command := exec.Command(path, arguments...) //nolint:gosec,noctx // one of the project's own programs; the cleanup ends it
	command.Env, command.SysProcAttr = environment, attributes()
	return processtest.Start(t, name, command)
}

// status returns the status of a GET, or 0.
func status(url string) (int, string) {
	client := &http.Client{Transport: &http.Transport{DisableKeepAlives: true}, Timeout: patience}
	response, err := client.Get(url) //nolint:noctx // it has a timeout
	if err != nil {
		return 0, err.Error()
	}
	defer response.Body.Close()
	body, err := io.ReadAll(response.Body)
	if err != nil {
		return 0, err.Error()
	}
	return response.StatusCode, string(body)
}
