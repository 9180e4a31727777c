//go:build linux

package main

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"time"
)

// build builds the adapters as their images have them.
func build(dir string, programs ...string) error {
	for _, program := range programs {
		command := exec.CommandContext(context.Background(), "go", "build", "-trimpath", "-tags=grpcnotrace", "-ldflags=-s -w", //nolint:gosec // the project's own
			"-o", filepath.Join(dir, program), "github.com/eventing-eventmesh/eventing-eventmesh/cmd/"+program)
		if out, err := command.CombinedOutput(); err != nil {
			return fmt.Errorf("building %s: %w\n%s", program, err, out)
		}
	}
	return nil
}

// adapterProcess is a source or a sink.
type adapterProcess struct {
	*process
	http, profiling string
	ready           float64 // milliseconds from its start until it was
}

// startAdapter starts a program with pprof, which costs nothing while it is not asked, and waits until it is ready. Another program may
// have got one of its ports before it: then it is started anew.
func startAdapter(on launcher, program string, environment ...string) (a *adapterProcess, err error) {
	for range 3 {
		if a, err = startOnce(on, program, environment); err == nil {
			return a, nil
		}
		if a != nil {
			_ = a.stop() // what matters is why it is not ready
		}
	}
	return nil, err
}

func startOnce(on launcher, program string, environment []string) (*adapterProcess, error) {
	port, err := freePort()
	if err != nil {
		return nil, err
	}
	profiling, err := freePort()
	if err != nil {
		return nil, err
	}
	a := &adapterProcess{http: "http://127.0.0.1:" + port, profiling: "http://127.0.0.1:" + profiling}
	environment = append([]string{
		"NAMESPACE=bench", "NAME=bench", "PROFILING_PORT=" + profiling, "PROBES_PORT=" + port, "PORT=" + port,
		`K_OBSERVABILITY_CONFIG={"runtime":{"profiling":"enabled"}}`, `K_LOGGING_CONFIG={"zap-logger-config":"{\"level\":\"error\",\"encoding\":\"json\",\"outputPaths\":[\"stderr\"]}"}`,
		"EVENTMESH_SHUTDOWN_DELAY=0s",
	}, environment...)
	if a.process, _, err = start(on, program, environment); err != nil {
		return nil, err
	}
	if err := a.awaitReady(); err != nil {
		return a, err
	}
	a.ready = float64(time.Since(a.began).Microseconds()) / 1000
	return a, a.awaitProfile()
}

func freePort() (string, error) {
	l, err := net.Listen("tcp", "127.0.0.1:0") //nolint:noctx // binding does not block
	if err != nil {
		return "", err
	}
	defer l.Close()
	_, port, err := net.SplitHostPort(l.Addr().String())
	return port, err
}

func (a *adapterProcess) awaitReady() error {
	deadline := time.Now().Add(patience)
	for {
		response, err := http.Get(a.http + "/readiness") //nolint:noctx // on loopback
		if err == nil {
			reason, _ := io.ReadAll(response.Body)
			_ = response.Body.Close()
			if response.StatusCode == http.StatusOK {
				return nil
			}
			err = errors.New(string(reason))
		}
		if time.Now().After(deadline) {
			return fmt.Errorf("not ready: %w\n%s", err, a.log.String())
		}
		time.Sleep(time.Millisecond)
	}
}

// awaitProfile waits until somebody listens for questions about the program, and fails where that is not the program.
func (a *adapterProcess) awaitProfile() error {
	deadline := time.Now().Add(patience)
	for {
		_, err := a.heap()
		if !errors.Is(err, syscall.ECONNREFUSED) || time.Now().After(deadline) {
			return err
		}
		time.Sleep(time.Millisecond)
	}
}

// heap reads what the program has allocated from its profile.
func (a *adapterProcess) heap() (h Heap, err error) {
	values := map[string]*uint64{"# Mallocs": &h.Objects, "# TotalAlloc": &h.Bytes}
	err = a.profile("heap?debug=1", func(line string) error {
		name, value, found := strings.Cut(line, " = ")
		if to := values[name]; found && to != nil {
			*to, err = strconv.ParseUint(value, 10, 64)
		}
		return err
	})
	if err == nil && (h.Objects == 0 || h.Bytes == 0) {
		err = errors.New("the profile does not tell what was allocated")
	}
	return h, err
}

// goroutines counts them.
func (a *adapterProcess) goroutines() (n int, err error) {
	err = a.profile("goroutine?debug=1", func(line string) error {
		if value, ok := strings.CutPrefix(line, "goroutine profile: total "); ok {
			n, err = strconv.Atoi(value)
		}
		return err
	})
	return n, err
}

func (a *adapterProcess) profile(path string, each func(line string) error) error {
	response, err := http.Get(a.profiling + "/debug/pprof/" + path) //nolint:noctx // on loopback
	if err != nil {
		return err
	}
	defer response.Body.Close()
	scanner := bufio.NewScanner(response.Body)
	scanner.Buffer(nil, 1<<20)
	for scanner.Scan() {
		if err := each(scanner.Text()); err != nil {
			return err
		}
	}
	return scanner.Err()
}
