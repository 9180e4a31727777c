package main

import (
	"bufio"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/eventing-eventmesh/eventing-eventmesh/internal/await"
	"github.com/eventing-eventmesh/eventing-eventmesh/pkg/eventmesh/eventmeshtest"
)

// bin holds the demo and its programs, built for these tests.
var bin string

func TestMain(m *testing.M) {
	os.Exit(buildAndRun(m))
}

func buildAndRun(m *testing.M) int {
	dir, err := os.MkdirTemp("", "demo")
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	defer os.RemoveAll(dir)
	if bin, err = filepath.EvalSymlinks(dir); err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	build := exec.Command("go", "build", "-o", bin+"/", "../../cmd/devmesh", "../../cmd/source", "../../cmd/sink", "../../cmd/broker-ingress", "../../cmd/broker-dispatcher", ".")
	if out, err := build.CombinedOutput(); err != nil {
		fmt.Fprintf(os.Stderr, "building: %s\n%s", err, out)
		return 1
	}
	return m.Run()
}

// demo starts the demo with the programs of a folder, and more arguments.
func demo(t *testing.T, programs string, arguments ...string) (*exec.Cmd, *bufio.Scanner) {
	t.Helper()
	arguments = append([]string{"--bin", programs, "--timeout", (5 * await.Patience).String()}, arguments...)
	cmd := exec.CommandContext(t.Context(), filepath.Join(bin, "demo"), arguments...)
	cmd.Env = append(os.Environ(), "EVENTMESH_GRPC_URL=", "EVENTMESH_TCP_URL=", "EVENTMESH_HTTP_URL=", "EVENTMESH_STORAGE=")
	stdout, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	return cmd, bufio.NewScanner(stdout)
}

func readAll(lines *bufio.Scanner) string {
	var b strings.Builder
	for lines.Scan() {
		b.WriteString(lines.Text() + "\n")
	}
	return b.String()
}

func exitCode(t *testing.T, err error) int {
	t.Helper()
	var exit *exec.ExitError
	if err != nil && !errors.As(err, &exit) {
		t.Fatal(err)
	}
	return exit.ExitCode()
}

func TestDemo(t *testing.T) {
	cmd, lines := demo(t, bin)
	out := readAll(lines)
	if err := cmd.Wait(); err != nil {
		t.Errorf("the demo failed: %s\n%s", err, out)
	}
	if got := strings.Count(out, "✓"); got != 8 {
		t.Errorf("%d events ticked off, want 8\n%s", got, out)
	}
	noneLeft(t)
}

// TestGivenEventMesh plays the demo twice with the same EventMesh, whose standalone storage lets a topic die with its last subscriber.
func TestGivenEventMesh(t *testing.T) {
	for _, c := range []struct {
		name    string
		options eventmeshtest.Options
		tcp     bool
		events  int
	}{
		{"standalone", eventmeshtest.Options{}, true, 6},
		{"rocketmq", eventmeshtest.Options{Storage: eventmeshtest.RocketMQ, UnknownTopics: true}, true, 6},
		{"over one transport", eventmeshtest.Options{}, false, 4},
	} {
		t.Run(c.name, func(t *testing.T) {
			mesh := eventmeshtest.New(t, c.options)
			arguments := []string{"--grpc", mesh.GRPCURL()}
			if c.options.Storage == eventmeshtest.RocketMQ {
				arguments = append(arguments, "--storage", "rocketmq")
			}
			if c.tcp {
				arguments = append(arguments, "--tcp", mesh.TCPURL())
			}
			for range 2 {
				cmd, lines := demo(t, bin, arguments...)
				out := readAll(lines)
				if err := cmd.Wait(); err != nil {
					t.Errorf("the demo failed: %s\n%s", err, out)
				}
				if want := fmt.Sprintf("\n%d of %[1]d events arrived whole:\n", c.events); !strings.Contains(out, want) {
					t.Errorf("got\n%s\nwant it to contain %q", out, want)
				}
				if strings.Contains(out, "Starting EventMesh") {
					t.Errorf("the demo starts an EventMesh, though there is one\n%s", out)
				}
			}
			noneLeft(t)
		})
	}
}

func TestUnknownStorage(t *testing.T) {
	cmd, lines := demo(t, bin, "--storage", "RocketMQ")
	if out := readAll(lines); out != "" {
		t.Errorf("the demo plays:\n%s", out)
	}
	if got := exitCode(t, cmd.Wait()); got != 2 {
		t.Errorf("exit status %d, want 2", got)
	}
}

func TestSignalInTheMiddle(t *testing.T) {
	for _, c := range []struct {
		signal syscall.Signal
		code   int
	}{{syscall.SIGINT, 1}, {syscall.SIGTERM, 1}, {syscall.SIGKILL, -1}} {
		t.Run(c.signal.String(), func(t *testing.T) {
			if c.signal == syscall.SIGKILL && runtime.GOOS != "linux" {
				t.Skip("only Linux ends the children of a killed process")
			}
			cmd, lines := demo(t, halting(t))
			for lines.Scan() && !strings.Contains(lines.Text(), "subscribed to") {
				continue
			}
			if len(running(t)) == 0 {
				t.Error("no process runs in the middle of the demo")
			}
			if err := cmd.Process.Signal(c.signal); err != nil {
				t.Fatal(err)
			}
			out := readAll(lines)
			if got := exitCode(t, cmd.Wait()); got != c.code {
				t.Errorf("exit status %d, want %d\n%s", got, c.code, out)
			}
			noneLeft(t)
		})
	}
}

func TestProgramFails(t *testing.T) {
	programs := halting(t)
	if err := os.WriteFile(filepath.Join(programs, "sink"), []byte("#!/bin/sh\necho no such thing >&2\nexit 3\n"), 0o700); err != nil {
		t.Fatal(err)
	}
	cmd, lines := demo(t, programs)
	out := readAll(lines)
	if got := exitCode(t, cmd.Wait()); got != 1 {
		t.Errorf("exit status %d, want 1", got)
	}
	for _, want := range []string{"sink ended without its address: exit status 3", "The end of the log of sink:\n  no such thing\n", "0 of 8 events"} {
		if !strings.Contains(out, want) {
			t.Errorf("got\n%s\nwant it to contain %q", out, want)
		}
	}
	noneLeft(t)
}

// halting returns a folder with the true devmesh, and a sink that never becomes ready, so that the demo stays in the middle.
func halting(t *testing.T) string {
	t.Helper()
	dir := t.TempDir()
	if err := os.Symlink(filepath.Join(bin, "devmesh"), filepath.Join(dir, "devmesh")); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(dir, "sink"), []byte("#!/bin/sh\nexec "+filepath.Join(bin, "devmesh")+" receive --address 127.0.0.1:0\n"), 0o700); err != nil {
		t.Fatal(err)
	}
	return dir
}

// noneLeft waits until no program of bin runs; the kernel may take a moment after SIGKILL.
func noneLeft(t *testing.T) {
	t.Helper()
	ticker := time.NewTicker(10 * time.Millisecond)
	defer ticker.Stop()
	deadline := time.After(await.Patience)
	for left := running(t); len(left) > 0; left = running(t) {
		select {
		case <-ticker.C:
		case <-deadline:
			t.Fatalf("processes left: %v", left)
		}
	}
}

// running returns the command lines of the processes whose program is one of bin. A zombie has none.
func running(t *testing.T) []string {
	t.Helper()
	if runtime.GOOS != "linux" {
		out, err := exec.Command("ps", "-axo", "command").Output()
		if err != nil {
			t.Fatal(err)
		}
		return grep(string(out), bin+"/")
	}
	links, err := filepath.Glob("/proc/[0-9]*/exe")
	if err != nil {
		t.Fatal(err)
	}
	var found []string
	for _, link := range links {
		if program, err := os.Readlink(link); err == nil && strings.HasPrefix(program, bin+"/") {
			found = append(found, link+" "+program)
		}
	}
	return found
}

func grep(text, part string) []string {
	var found []string
	for line := range strings.Lines(text) {
		if strings.Contains(line, part) {
			found = append(found, line)
		}
	}
	return found
}
