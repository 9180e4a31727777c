package broker

import (
	"context"
	"fmt"
	"io"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"github.com/eventing-eventmesh/eventing-eventmesh/internal/await"
	"github.com/eventing-eventmesh/eventing-eventmesh/internal/processtest"
)

// programs is where the programs are, which are built once.
var programs string

func TestMain(m *testing.M) {
	os.Exit(processtest.Main(m, &programs, "broker-ingress", "broker-dispatcher"))
}

// process is a program that runs.
type process struct{ *processtest.Program }

// start starts a program with nothing in its environment but what is given, as pairs "NAME=value".
func start(t *testing.T, program string, environment ...string) *process {
	t.Helper()
	c := exec.CommandContext(context.Background(), filepath.Join(programs, program))
	c.Env = append([]string{"PATH=" + os.Getenv("PATH"), "STATUS_PORT=0"}, environment...)
	return &process{processtest.Start(t, program, c)}
}

// awaitReady waits until the program is ready.
func (p *process) awaitReady(t *testing.T) {
	t.Helper()
	url := p.At(t, "serving probes")
	await.Until(t, await.Patience, func() string {
		status, said := get(t, url+"/readiness")
		if status != http.StatusOK {
			return fmt.Sprintf("%s is not ready: %s", p.Name, said)
		}
		return ""
	})
}

// end sends a signal, and waits until the program has ended.
func (p *process) end(t *testing.T, signal syscall.Signal) {
	t.Helper()
	p.Send(t, signal)
	if code := p.End(t, await.Patience); code != 0 && signal == syscall.SIGTERM {
		t.Errorf("%s ended with exit code %d", p.Name, code)
	}
}

// get returns the status and the body of an answer, and 0 where there is none.
func get(t *testing.T, url string) (int, string) {
	t.Helper()
	request, err := http.NewRequestWithContext(t.Context(), http.MethodGet, url, nil)
	if err != nil {
		t.Fatal(err)
	}
	response, err := http.DefaultClient.Do(request)
	if err != nil {
		return 0, err.Error()
	}
	defer response.Body.Close()
	body, _ := io.ReadAll(response.Body)
	return response.StatusCode, strings.TrimSpace(string(body))
}
