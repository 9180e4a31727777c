// Package processtest runs the programs of this project as processes, for tests.
package processtest

import (
	"bufio"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/eventing-eventmesh/eventing-eventmesh/internal/await"
)

// logLines is how much of a log is kept.
const logLines = 20_000

// Build builds a program, by its name in cmd/, into a folder. The error has what the compiler says.
func Build(ctx context.Context, folder, program string) error {
	//nolint:gosec // one of the project's own programs
	build := exec.CommandContext(ctx, "go", "build", "-tags=grpcnotrace", "-o", filepath.Join(folder, program), "github.com/eventing-eventmesh/eventing-eventmesh/cmd/"+program)
	if out, err := build.CombinedOutput(); err != nil {
		return fmt.Errorf("building %s: %w\n%s", program, err, out)
	}
	return nil
}

// Main runs tests of programs that it builds before, once, into the folder, and returns the exit code.
func Main(m *testing.M, folder *string, programs ...string) int {
	dir, err := os.MkdirTemp("", "eventmesh-test")
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	defer func() { _ = os.RemoveAll(dir) }()
	*folder = dir
	for _, program := range programs {
		if err := Build(context.Background(), dir, program); err != nil {
			fmt.Fprintln(os.Stderr, err)
			return 1
		}
	}
	return m.Run()
}

// Program is one that runs. Its methods may be called by several goroutines.
type Program struct {
	*exec.Cmd
	// Name is what failures call it.
	Name  string
	ended chan struct{}

	mu  sync.Mutex
	log []string // lines of both outputs
}

// Start starts a program, and reads what it writes. The test ends it at its own end at the latest, and shows its log when it has failed.
func Start(tb testing.TB, name string, c *exec.Cmd) *Program {
	tb.Helper()
	p := &Program{Cmd: c, Name: name, ended: make(chan struct{})}
	reader, writer, err := os.Pipe()
	if err != nil {
		tb.Fatal(err)
	}
	c.Stdout, c.Stderr = writer, writer
	err = c.Start()
	_ = writer.Close() // the child's is another
	if err != nil {
		_ = reader.Close()
		tb.Fatal(err)
	}
	go func() {
		defer close(p.ended)
		p.read(reader)
		_ = c.Wait() // its state tells
	}()
	tb.Cleanup(func() {
		_ = c.Process.Kill()
		<-p.ended
		if tb.Failed() {
			tb.Logf("log of %s:\n%s", name, p.Log())
		}
	})
	return p
}

func (p *Program) read(r io.ReadCloser) {
	defer func() { _ = r.Close() }()
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

// Log returns what the program has written.
func (p *Program) Log() string {
	p.mu.Lock()
	defer p.mu.Unlock()
	return strings.Join(p.log, "\n")
}

// Line returns the first line of a structured log with the message, or nil.
func (p *Program) Line(message string) map[string]any {
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

// Printed returns the rest of the first line that begins so, or "".
func (p *Program) Printed(start string) string {
	p.mu.Lock()
	defer p.mu.Unlock()
	for _, text := range p.log {
		if rest, ok := strings.CutPrefix(text, start); ok {
			return strings.TrimSpace(rest)
		}
	}
	return ""
}

// At waits until the program says by a message that it serves something, and returns the URL of that, over http.
func (p *Program) At(tb testing.TB, messages ...string) (url string) {
	tb.Helper()
	await.Until(tb, await.Patience, func() string {
		for _, message := range messages {
			address, _ := p.Line(message)["address"].(string)
			if _, port, err := net.SplitHostPort(address); err == nil {
				url = "http://" + net.JoinHostPort("127.0.0.1", port)
				return ""
			}
		}
		return fmt.Sprintf("%s is not %s:\n%s", p.Name, strings.Join(messages, " or "), p.Log())
	})
	return url
}

// Send sends a signal.
func (p *Program) Send(tb testing.TB, signal syscall.Signal) {
	tb.Helper()
	if err := p.Process.Signal(signal); err != nil {
		tb.Fatalf("%s: %v; its log:\n%s", p.Name, err, p.Log())
	}
}

// End waits for the end of the program, no longer than patience, and returns its exit code; -1 after a signal.
func (p *Program) End(tb testing.TB, patience time.Duration) int {
	tb.Helper()
	await.Until(tb, patience, func() string {
		select {
		case <-p.ended:
			return ""
		default:
			return p.Name + " goes on"
		}
	})
	return p.ProcessState.ExitCode()
}
