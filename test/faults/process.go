package faults

import (
	"bufio"
	"encoding/json"
	"io"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"testing"
)

// logLines is how much of a process' log is kept.
const logLines = 400

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
	command := exec.CommandContext(t.Context(), "go", "build", "-o", path, "github.com/eventing-eventmesh/eventing-eventmesh/cmd/"+name) //nolint:gosec // one of the project's own programs
	if out, err := command.CombinedOutput(); err != nil {
		t.Fatalf("building: %v\n%s", err, out)
	}
	return path
}

var builds sync.Mutex

// process is a running program.
type process struct {
	name    string
	command *exec.Cmd
	ended   chan struct{}

	mu  sync.Mutex
	log []string
}

// run starts a program with nothing in its environment but what is given. The test ends it at its own end at the latest.
func run(t *testing.T, name, path string, environment []string, arguments ...string) *process {
	t.Helper()
	p := &process{name: name, command: exec.Command(path, arguments...), ended: make(chan struct{})} //nolint:gosec,noctx // one of the project's own programs; the cleanup ends it
	p.command.Env = environment
	p.command.SysProcAttr = attributes()
	reader, writer, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	p.command.Stdout, p.command.Stderr = writer, writer
	err = p.command.Start()
	_ = writer.Close() // the child's is another
	if err != nil {
		_ = reader.Close()
		t.Fatal(err)
	}
	go func() {
		defer close(p.ended)
		p.read(reader)
		_ = p.command.Wait() // its state tells
	}()
	t.Cleanup(func() {
		_ = p.command.Process.Kill()
		<-p.ended
		if t.Failed() {
			t.Logf("end of the log of %s:\n%s", name, p.tail(60))
		}
	})
	return p
}

func (p *process) read(r io.ReadCloser) {
	defer r.Close()
	scanner := bufio.NewScanner(r)
	scanner.Buffer(nil, 1<<20)
	for scanner.Scan() {
		p.mu.Lock()
		if p.log = append(p.log, scanner.Text()); len(p.log) > logLines {
			p.log = append(p.log[:logLines/4], p.log[logLines/2:]...) // the start says most
		}
		p.mu.Unlock()
	}
}

func (p *process) tail(n int) string {
	p.mu.Lock()
	defer p.mu.Unlock()
	return strings.Join(p.log[max(0, len(p.log)-n):], "\n")
}

// line returns the first line of a structured log with the message, or nil.
func (p *process) line(message string) map[string]any {
	p.mu.Lock()
	defer p.mu.Unlock()
	for _, text := range p.log {
		var line map[string]any
		if json.Unmarshal([]byte(text), &line) == nil && line["message"] == message {
			return line
		}
	}
	return nil
}

// printed returns the rest of the first line that begins so, or "".
func (p *process) printed(start string) string {
	p.mu.Lock()
	defer p.mu.Unlock()
	for _, text := range p.log {
		if rest, ok := strings.CutPrefix(text, start); ok {
			return strings.TrimSpace(rest)
		}
	}
	return ""
}

func (p *process) signal(t *testing.T, s syscall.Signal) {
	t.Helper()
	if err := p.command.Process.Signal(s); err != nil {
		t.Fatalf("%s: %v; end of its log:\n%s", p.name, err, p.tail(20))
	}
}

// end waits for the end of the program, and returns its exit code; -1 after a signal.
func (p *process) end(t *testing.T) int {
	t.Helper()
	eventually(t, func() string {
		select {
		case <-p.ended:
			return ""
		default:
			return p.name + " goes on"
		}
	})
	return p.command.ProcessState.ExitCode()
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

// local returns the URL of an address that may stand for every interface.
func local(address string) string {
	return "http://127.0.0.1" + address[strings.LastIndexByte(address, ':'):]
}
