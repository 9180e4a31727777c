package broker

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"testing"

	"github.com/eventing-eventmesh/eventing-eventmesh/internal/await"
)

// programs is where the programs are, which are built once.
var programs string

func TestMain(m *testing.M) { os.Exit(run(m)) }

func run(m *testing.M) int {
	dir, err := os.MkdirTemp("", "eventmesh-broker")
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	defer func() { _ = os.RemoveAll(dir) }()
	programs = dir
	build := exec.CommandContext(context.Background(), "go", "build", "-tags=grpcnotrace", "-o", dir+string(filepath.Separator), "../../cmd/broker-ingress", "../../cmd/broker-dispatcher")
	if out, err := build.CombinedOutput(); err != nil {
		fmt.Fprintf(os.Stderr, "building: %v\n%s", err, out)
		return 1
	}
	return m.Run()
}

// process is a program that runs.
type process struct {
	*exec.Cmd
	name  string
	ended chan error

	mu        sync.Mutex
	log       bytes.Buffer
	addresses map[string]string // by what the program says that it serves
}

// start starts a program with nothing in its environment but what is given, as pairs "NAME=value".
func start(t *testing.T, program string, environment ...string) *process {
	t.Helper()
	p := &process{name: program, ended: make(chan error, 1), addresses: map[string]string{}}
	p.Cmd = exec.CommandContext(context.Background(), filepath.Join(programs, program))
	p.Env = append([]string{"PATH=" + os.Getenv("PATH"), "STATUS_PORT=0"}, environment...)
	reader, writer := io.Pipe()
	p.Stdout, p.Stderr = writer, writer
	if err := p.Start(); err != nil {
		t.Fatal(err)
	}
	read := make(chan struct{})
	go func() {
		defer close(read)
		lines := bufio.NewScanner(reader)
		lines.Buffer(nil, 1<<20)
		for lines.Scan() {
			p.learn(lines.Text())
		}
	}()
	go func() {
		err := p.Wait()
		_ = writer.Close()
		<-read
		p.ended <- err
		close(p.ended)
	}()
	t.Cleanup(func() {
		_ = p.Process.Kill()
		<-p.ended
		if t.Failed() {
			t.Logf("log of %s:\n%s", program, p.said())
		}
	})
	return p
}

func (p *process) learn(text string) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.log.WriteString(text + "\n")
	var line struct{ Message, Address string }
	if json.Unmarshal([]byte(text), &line) != nil || line.Address == "" {
		return
	}
	if _, port, err := net.SplitHostPort(line.Address); err == nil {
		p.addresses[line.Message] = "http://" + net.JoinHostPort("127.0.0.1", port)
	}
}

func (p *process) said() string {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.log.String()
}

// at waits until the program serves something, and returns its URL.
func (p *process) at(t *testing.T, what string) (url string) {
	t.Helper()
	await.Until(t, await.Patience, func() string {
		p.mu.Lock()
		defer p.mu.Unlock()
		if url = p.addresses[what]; url == "" {
			return fmt.Sprintf("%s is not %s:\n%s", p.name, what, p.log.String())
		}
		return ""
	})
	return url
}

// awaitReady waits until the program is ready.
func (p *process) awaitReady(t *testing.T) {
	t.Helper()
	url := p.at(t, "serving probes")
	await.Until(t, await.Patience, func() string {
		status, said := get(t, url+"/readiness")
		if status != http.StatusOK {
			return fmt.Sprintf("%s is not ready: %s", p.name, said)
		}
		return ""
	})
}

// end sends a signal, and waits until the program has ended.
func (p *process) end(t *testing.T, signal syscall.Signal) {
	t.Helper()
	if err := p.Process.Signal(signal); err != nil {
		t.Fatal(err)
	}
	if err := <-p.ended; err != nil && signal == syscall.SIGTERM {
		t.Errorf("%s ended with %v", p.name, err)
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
