package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"time"
)

const (
	// killAfter is how long a process may take to end after SIGTERM.
	killAfter = 30 * time.Second
	tailLines = 15
)

// process is a child process, with everything that it has printed.
type process struct {
	name   string
	cancel context.CancelFunc
	done   chan struct{}
	err    error // set when done is closed

	mu      sync.Mutex
	lines   []string
	changed chan struct{} // closed, and replaced, with each new line
}

// start starts a program of the folder bin. The child sees no environment but the search path and the variables given, so
// that the demo plays the same everywhere.
func start(ctx context.Context, bin, name string, out *output, env []string, program string, args ...string) (*process, error) {
	ctx, cancel := context.WithCancel(context.WithoutCancel(ctx)) // stop ends it, in order
	p := &process{name: name, cancel: cancel, done: make(chan struct{}), changed: make(chan struct{})}
	path, err := filepath.Abs(filepath.Join(bin, program))
	if err != nil {
		cancel()
		return nil, fmt.Errorf("starting %s: %w", name, err)
	}
	cmd := exec.CommandContext(ctx, path, args...) //nolint:gosec // one of the demo's own programs
	cmd.Env = append([]string{"PATH=" + os.Getenv("PATH"), "HOME=" + os.Getenv("HOME")}, env...)
	cmd.SysProcAttr = attributes()
	cmd.Cancel = func() error { return cmd.Process.Signal(syscall.SIGTERM) }
	cmd.WaitDelay = killAfter
	keep := func(line string) {
		p.add(line)
		out.line(name, line)
	}
	stdout, stderr := &lineWriter{line: keep}, &lineWriter{line: keep}
	cmd.Stdout, cmd.Stderr = stdout, stderr
	if err := cmd.Start(); err != nil {
		cancel()
		return nil, fmt.Errorf("starting %s: %w", name, err)
	}
	go func() {
		defer close(p.done)
		p.err = cmd.Wait()
		stdout.flush()
		stderr.flush()
		if ctx.Err() != nil && errors.Is(p.err, context.Canceled) {
			p.err = nil // it ended as it was told
		}
	}()
	return p, nil
}

func (p *process) add(line string) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.lines = append(p.lines, line)
	close(p.changed)
	p.changed = make(chan struct{})
}

// snapshot returns the lines so far, and a channel that is closed when there are more.
func (p *process) snapshot() ([]string, <-chan struct{}) {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.lines, p.changed
}

// await waits until found returns true for the lines that the process has printed. It fails when the process ends before.
func (p *process) await(ctx context.Context, what string, found func(lines []string) bool) error {
	for {
		ended := isClosed(p.done)
		lines, changed := p.snapshot()
		if found(lines) {
			return nil
		}
		if ended {
			return fmt.Errorf("%s ended without %s: %w", p.name, what, exitError(p.err))
		}
		select {
		case <-changed:
		case <-p.done:
		case <-ctx.Done():
			return fmt.Errorf("waiting for %s of %s: %w", what, p.name, context.Cause(ctx))
		}
	}
}

// wait waits until the process has ended by itself, with success.
func (p *process) wait(ctx context.Context) error {
	select {
	case <-p.done:
	case <-ctx.Done():
		return fmt.Errorf("waiting for the end of %s: %w", p.name, context.Cause(ctx))
	}
	if p.err != nil {
		return fmt.Errorf("%s failed: %w", p.name, p.err)
	}
	return nil
}

// tail returns the last lines that the process has printed.
func (p *process) tail() string {
	lines, _ := p.snapshot()
	var b strings.Builder
	for _, line := range lines[max(0, len(lines)-tailLines):] {
		b.WriteString("  " + line + "\n")
	}
	return b.String()
}

// stop ends the processes together, and waits for all of them. It may be called more than once.
func stop(processes ...*process) error {
	for _, p := range processes {
		p.cancel()
	}
	var err error
	for _, p := range processes {
		<-p.done
		if p.err != nil {
			err = errors.Join(err, fmt.Errorf("%s ended badly: %w", p.name, p.err))
		}
	}
	return err
}

func exitError(err error) error {
	if err == nil {
		return errors.New("exit status 0")
	}
	return err
}

func isClosed(done <-chan struct{}) bool {
	select {
	case <-done:
		return true
	default:
		return false
	}
}
