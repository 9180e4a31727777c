package main

import (
	"bytes"
	"context"
	"errors"
	"io"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/eventing-eventmesh/eventing-eventmesh/internal/await"
	"github.com/eventing-eventmesh/eventing-eventmesh/internal/processtest"
	"github.com/eventing-eventmesh/eventing-eventmesh/pkg/adapter"
	"github.com/eventing-eventmesh/eventing-eventmesh/pkg/adapter/sink"
	"github.com/eventing-eventmesh/eventing-eventmesh/pkg/eventmesh/eventmeshtest"
)

// patience is how long anything may take that a test waits for.
const patience = await.Patience

// programs is where the sink is, which is built once for all tests.
var programs string

func TestMain(m *testing.M) { os.Exit(processtest.Main(m, &programs, "sink")) }

// command is the program with nothing in its environment but what is given, as pairs "NAME=value".
func command(t *testing.T, environment []string, arguments ...string) *exec.Cmd {
	t.Helper()
	c := exec.CommandContext(t.Context(), filepath.Join(programs, "sink"), arguments...)
	c.Env = append([]string{"PATH=" + os.Getenv("PATH")}, environment...)
	return c
}

// process is a sink that serves.
type process struct {
	*processtest.Program
	url string
}

// start starts the program, and waits until it says where it serves.
func start(t *testing.T, environment ...string) *process {
	t.Helper()
	p := &process{Program: processtest.Start(t, "the sink", command(t, append([]string{"PORT=0", "EVENTMESH_CLIENT_ID=sink-0"}, environment...)))}
	p.url = p.At(t, "serving", "serving HTTPS")
	return p
}

func (p *process) terminate(t *testing.T) {
	t.Helper()
	p.Send(t, syscall.SIGTERM)
}

// awaitExit waits for the end of the program, with code 0.
func (p *process) awaitExit(t *testing.T) {
	t.Helper()
	if code := p.End(t, patience); code != 0 {
		t.Errorf("ended with exit code %d", code)
	}
}

// get returns the status and body for a path.
func (p *process) get(t *testing.T, path string) (int, string) {
	t.Helper()
	r, err := http.NewRequestWithContext(t.Context(), http.MethodGet, p.url+path, nil)
	if err != nil {
		t.Fatal(err)
	}
	return do(t, r)
}

// post posts a body, as the data of an event where it has an ID.
func (p *process) post(t *testing.T, id, body string) (int, string) {
	t.Helper()
	r, err := event(t.Context(), p.url, id, body)
	if err != nil {
		t.Fatal(err)
	}
	return do(t, r)
}

func event(ctx context.Context, url, id, body string) (*http.Request, error) {
	r, err := http.NewRequestWithContext(ctx, http.MethodPost, url, strings.NewReader(body))
	if err != nil {
		return nil, err
	}
	r.Header.Set("Content-Type", "application/json")
	if id != "" {
		r.Header.Set("Ce-Specversion", "1.0")
		r.Header.Set("Ce-Type", "test")
		r.Header.Set("Ce-Source", "/test")
		r.Header.Set("Ce-Id", id)
	}
	return r, nil
}

func do(t *testing.T, r *http.Request) (int, string) {
	t.Helper()
	response, err := http.DefaultClient.Do(r)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = response.Body.Close() }()
	body, err := io.ReadAll(response.Body)
	if err != nil {
		t.Fatal(err)
	}
	return response.StatusCode, string(body)
}

// awaitReadiness waits for a status of the readiness probe, and returns what it says.
func (p *process) awaitReadiness(t *testing.T, want int) string {
	t.Helper()
	deadline := time.NewTimer(patience)
	defer deadline.Stop()
	ticker := time.NewTicker(10 * time.Millisecond)
	defer ticker.Stop()
	for {
		status, body := p.get(t, "/readiness")
		if status == want {
			return body
		}
		select {
		case <-ticker.C:
		case <-deadline.C:
			t.Fatalf("readiness is %d %q after %s, want %d", status, body, patience, want)
		}
	}
}

func TestHelpListsEveryVariable(t *testing.T) {
	out, err := command(t, nil, "--help").CombinedOutput()
	if err != nil {
		t.Fatalf("got %v, want exit code 0", err)
	}
	for _, v := range adapter.Variables(sink.NewConfig()) {
		if !strings.Contains(string(out), v.Name) {
			t.Errorf("%s is not in the help", v.Name)
		}
	}
}

func TestBadConfigurationStopsTheStart(t *testing.T) {
	const password = "hunter2"
	file := filepath.Join(t.TempDir(), "password")
	if err := os.WriteFile(file, []byte(password), 0o600); err != nil {
		t.Fatal(err)
	}
	const address, topic = "EVENTMESH_URL=grpc://127.0.0.1:1", "EVENTMESH_TOPIC=orders"
	for _, c := range []struct {
		name        string
		environment []string
		want        []string
	}{
		{"no address", []string{topic}, []string{"EVENTMESH_URL", "missing", "grpc://"}},
		{"malformed address", []string{topic, "EVENTMESH_URL=eventmesh:10205"}, []string{"EVENTMESH_URL", "eventmesh:10205", "grpc://"}},
		{"unknown scheme", []string{topic, "EVENTMESH_URL=amqp://eventmesh"}, []string{"EVENTMESH_URL", "amqp://eventmesh", "grpc"}},
		{"address with a password", []string{topic, "EVENTMESH_URL=grpc://sink:" + password + "@eventmesh"}, []string{"EVENTMESH_URL", "credentials"}},
		{"limit that is no number", []string{address, topic, "EVENTMESH_MAX_IN_FLIGHT=abc"}, []string{"EVENTMESH_MAX_IN_FLIGHT", `"abc"`, "at least 1"}},
		{"negative limit", []string{address, topic, "EVENTMESH_MAX_IN_FLIGHT=-1"}, []string{"EVENTMESH_MAX_IN_FLIGHT", `"-1"`, "at least 1"}},
		{"bad duration", []string{address, topic, "EVENTMESH_PUBLISH_TIMEOUT=10"}, []string{"EVENTMESH_PUBLISH_TIMEOUT", `"10"`, "10s"}},
		{"negative duration", []string{address, topic, "EVENTMESH_SHUTDOWN_DELAY=-1s"}, []string{"EVENTMESH_SHUTDOWN_DELAY", `"-1s"`, "5s"}},
		{"bad port", []string{address, topic, "PORT=http"}, []string{"PORT", `"http"`, "65535"}},
		{"two passwords", []string{address, topic, "EVENTMESH_PASSWORD=" + password, "EVENTMESH_PASSWORD_FILE=" + file}, []string{"EVENTMESH_PASSWORD", "EVENTMESH_PASSWORD_FILE", "one of them"}},
		{"no password file", []string{address, topic, "EVENTMESH_PASSWORD_FILE=" + file + "2"}, []string{"EVENTMESH_PASSWORD_FILE", file + "2", "no such file"}},
		{"no topic", []string{address}, []string{"EVENTMESH_TOPIC", "EVENTMESH_TOPICS"}},
		{"bad topics", []string{address, "EVENTMESH_TOPICS=a b"}, []string{"EVENTMESH_TOPICS", `"a b"`, "letters"}},
	} {
		t.Run(c.name, func(t *testing.T) {
			var out, errs bytes.Buffer
			program := command(t, c.environment)
			program.Stdout, program.Stderr = &out, &errs
			err := program.Run()
			var exit *exec.ExitError
			if !errors.As(err, &exit) || exit.ExitCode() != 1 {
				t.Errorf("got %v, want exit code 1", err)
			}
			if out.Len() != 0 || strings.Count(errs.String(), "\n") != 1 || !strings.HasSuffix(errs.String(), "\n") {
				t.Errorf("got %q and %q, want one line on stderr", out.String(), errs.String())
			}
			for _, want := range c.want {
				if !strings.Contains(errs.String(), want) {
					t.Errorf("got %q, want %q in it", errs.String(), want)
				}
			}
			if strings.Contains(errs.String(), password) {
				t.Errorf("got %q, which holds the password", errs.String())
			}
		})
	}
}

func TestEventMeshThatComesLater(t *testing.T) {
	const password = "hunter2"
	server := eventmeshtest.New(t, eventmeshtest.Options{Storage: eventmeshtest.RocketMQ})
	server.Stop()
	p := start(t, "EVENTMESH_URL="+server.GRPCURL(), "EVENTMESH_TOPIC=orders", "EVENTMESH_SHUTDOWN_DELAY=0s", "EVENTMESH_USERNAME=sink", "EVENTMESH_PASSWORD="+password)

	if says := p.awaitReadiness(t, http.StatusServiceUnavailable); !strings.Contains(says, "not connected to EventMesh") {
		t.Errorf("readiness says %q", says)
	}
	if status, body := p.get(t, "/health"); status != http.StatusOK {
		t.Errorf("health: got %d %q, want 200", status, body)
	}
	if status, body := p.post(t, "1", "{}"); status != http.StatusServiceUnavailable || !strings.Contains(body, "not connected") {
		t.Errorf("event: got %d %q, want 503", status, body)
	}
	if status, body := p.post(t, "", `{"no":"event"}`); status != http.StatusBadRequest || !strings.Contains(body, "not a CloudEvent") {
		t.Errorf("no event: got %d %q, want 400", status, body)
	}
	server.MustRestart(t, false)
	p.awaitReadiness(t, http.StatusOK)
	if status, body := p.post(t, "2", "{}"); status != http.StatusAccepted || body != "" {
		t.Errorf("event: got %d %q, want 202", status, body)
	}
	if got := server.Published("orders"); len(got) != 1 || got[0].GetId() != "2" {
		t.Errorf("got %v in EventMesh, want event 2", got)
	}
	p.terminate(t)
	p.awaitExit(t)
	if n := strings.Count(p.Log(), `"not connected to EventMesh"`); n != 1 {
		t.Errorf("got %d lines of not being connected, want 1", n)
	}
	if strings.Contains(p.Log(), password) {
		t.Error("the password is in the log")
	}
}

func TestTerminationLosesNothing(t *testing.T) {
	for _, transport := range []string{"gRPC", "TCP"} {
		t.Run(transport, func(t *testing.T) {
			server := eventmeshtest.New(t, eventmeshtest.Options{Storage: eventmeshtest.RocketMQ})
			url := server.GRPCURL()
			if transport == "TCP" {
				url = server.TCPURL()
			}
			server.SetFaults(eventmeshtest.Faults{Delay: 20 * time.Millisecond}) // so that there are always some in flight
			p := start(t, "EVENTMESH_URL="+url, "EVENTMESH_TOPIC=orders", "EVENTMESH_SHUTDOWN_DELAY=3s")
			p.awaitReadiness(t, http.StatusOK)

			const senders, before = 8, 100
			accepted := make(chan string)
			var sending sync.WaitGroup
			for sender := range senders {
				client := &http.Client{Transport: &http.Transport{}}
				defer client.CloseIdleConnections()
				sending.Go(func() { sendUntilRefused(t, client, p.url, sender, accepted) })
			}
			go func() {
				sending.Wait()
				close(accepted)
			}()
			var ids []string
			terminated := 0
			for id := range accepted {
				ids = append(ids, id)
				if len(ids) == before {
					terminated = len(ids)
					p.terminate(t)
				}
			}
			p.awaitExit(t)
			if terminated == 0 || len(ids) <= terminated {
				t.Errorf("got %d events accepted, want some after SIGTERM, at %d", len(ids), before)
			}
			stored := map[string]bool{}
			for _, e := range server.Published("orders") {
				stored[e.GetId()] = true
			}
			for _, id := range ids {
				if !stored[id] {
					t.Errorf("event %s was accepted, and is not in EventMesh", id)
				}
			}
		})
	}
}

// sendUntilRefused posts numbered events one after the other, until the program takes no more connections.
func sendUntilRefused(t *testing.T, client *http.Client, url string, sender int, accepted chan<- string) {
	t.Helper()
	for n := 0; ; n++ {
		id := strconv.Itoa(sender) + "-" + strconv.Itoa(n)
		r, err := event(t.Context(), url, id, "{}")
		if err != nil {
			t.Error(err)
			return
		}
		response, err := client.Do(r)
		switch {
		case errors.Is(err, syscall.ECONNREFUSED), t.Context().Err() != nil:
			return
		case err != nil:
			continue // cut off; nothing was accepted
		}
		_ = response.Body.Close()
		if response.StatusCode != http.StatusAccepted {
			t.Errorf("event %s: got %d, want 202", id, response.StatusCode)
			continue
		}
		accepted <- id
	}
}

func TestPortInUse(t *testing.T) {
	taken, err := adapter.Listen(t.Context(), 0)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = taken.Close() }()
	_, port, err := net.SplitHostPort(taken.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	out, err := command(t, []string{"EVENTMESH_URL=grpc://127.0.0.1:1", "EVENTMESH_TOPIC=orders", "PORT=" + port}).CombinedOutput()
	var exit *exec.ExitError
	if !errors.As(err, &exit) || exit.ExitCode() != 1 || !strings.Contains(string(out), "listening on port "+port) {
		t.Errorf("got %v and %q, want exit code 1 and why", err, out)
	}
}
