package main

import (
	"bufio"
	"context"
	"fmt"
	"io"
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

// binary is devmesh, built for these tests.
var binary string

func TestMain(m *testing.M) {
	os.Exit(buildAndRun(m))
}

func buildAndRun(m *testing.M) int {
	dir, err := os.MkdirTemp("", "devmesh")
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	defer os.RemoveAll(dir)
	binary = filepath.Join(dir, "devmesh")
	if out, err := exec.Command("go", "build", "-o", binary, ".").CombinedOutput(); err != nil {
		fmt.Fprintf(os.Stderr, "building devmesh: %s\n%s", err, out)
		return 1
	}
	return m.Run()
}

// process is a running devmesh. Its lines are those of both outputs.
type process struct {
	t       *testing.T
	name    string
	cmd     *exec.Cmd
	lines   chan string
	seen    []string
	ended   chan struct{}
	readers sync.WaitGroup
}

// start starts devmesh; it is killed at the end of the test, should it still run.
func start(t *testing.T, stdin string, args ...string) *process {
	t.Helper()
	p := &process{t: t, name: strings.Join(args, " "), cmd: exec.Command(binary, args...), lines: make(chan string, 1000), ended: make(chan struct{})}
	p.cmd.Stdin = strings.NewReader(stdin)
	stdout, err := p.cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	stderr, err := p.cmd.StderrPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := p.cmd.Start(); err != nil {
		t.Fatal(err)
	}
	for _, pipe := range []io.Reader{stdout, stderr} {
		p.readers.Go(func() {
			for scanner := bufio.NewScanner(pipe); scanner.Scan(); {
				p.lines <- scanner.Text()
			}
		})
	}
	go func() {
		defer close(p.ended)
		p.readers.Wait()
		_ = p.cmd.Wait() // ProcessState tells
		close(p.lines)
	}()
	t.Cleanup(func() {
		_ = p.cmd.Process.Kill() // it may have ended
		<-p.ended
	})
	return p
}

// await returns the next line that starts with prefix.
func (p *process) await(prefix string) string {
	p.t.Helper()
	ctx, cancel := context.WithTimeout(p.t.Context(), await.Patience)
	defer cancel()
	for {
		select {
		case line, open := <-p.lines:
			if !open {
				p.t.Fatalf("devmesh %s: ended without a line that starts with %q; it printed\n%s", p.name, prefix, p.output())
			}
			p.seen = append(p.seen, line)
			if strings.HasPrefix(line, prefix) {
				return line
			}
		case <-ctx.Done():
			p.t.Fatalf("devmesh %s: no line that starts with %q; it printed\n%s", p.name, prefix, p.output())
		}
	}
}

// exit waits for the end, checks the exit status, and returns everything that was printed.
func (p *process) exit(want int) string {
	p.t.Helper()
	select {
	case <-p.ended:
	case <-time.After(await.Patience):
		p.t.Fatalf("devmesh %s: has not ended", p.name)
	}
	for line := range p.lines {
		p.seen = append(p.seen, line)
	}
	if got := p.cmd.ProcessState.ExitCode(); got != want {
		p.t.Fatalf("devmesh %s: exit status %d, want %d; it printed\n%s", p.name, got, want, p.output())
	}
	return p.output()
}

func (p *process) signal(s syscall.Signal) {
	p.t.Helper()
	if err := p.cmd.Process.Signal(s); err != nil {
		p.t.Fatal(err)
	}
}

func (p *process) output() string { return strings.Join(p.seen, "\n") }

// serveMesh starts devmesh serve on free ports, and returns its URLs by transport.
func serveMesh(t *testing.T, args ...string) (*process, map[string]string) {
	t.Helper()
	mesh := start(t, "", append([]string{"serve", "--grpc", "127.0.0.1:0", "--tcp", "127.0.0.1:0"}, args...)...)
	urls := map[string]string{}
	for _, transport := range []string{"gRPC", "TCP"} {
		urls[transport] = strings.Fields(mesh.await(transport + " "))[1]
	}
	return mesh, urls
}

func contains(t *testing.T, got string, wants ...string) {
	t.Helper()
	for _, want := range wants {
		if !strings.Contains(got, want) {
			t.Errorf("got\n%s\nwant it to contain %q", got, want)
		}
	}
}
