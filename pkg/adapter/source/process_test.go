package source

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"sync"
	"syscall"
	"testing"

	"github.com/cloudevents/sdk-go/v2/event"

	"github.com/eventing-eventmesh/eventing-eventmesh/pkg/adapter"
	"github.com/eventing-eventmesh/eventing-eventmesh/pkg/eventmesh"
	"github.com/eventing-eventmesh/eventing-eventmesh/pkg/eventmesh/eventmeshtest"
	"github.com/eventing-eventmesh/eventing-eventmesh/pkg/eventmesh/eventmeshtest/releases"
)

// build builds the adapters once.
var build = sync.OnceValue(func() error {
	const commands = "github.com/eventing-eventmesh/eventing-eventmesh/cmd/"
	out, err := exec.Command("go", "build", "-o", programDir+"/", commands+"source", commands+"sink").CombinedOutput()
	if err != nil {
		return fmt.Errorf("building: %w\n%s", err, out)
	}
	return nil
})

// program returns the path of the source.
func program(t *testing.T) string {
	t.Helper()
	if err := build(); err != nil {
		t.Fatal(err)
	}
	return filepath.Join(programDir, "source")
}

// required is an environment that the program starts with; later variables win.
var required = []string{
	"EVENTMESH_URL=grpc://127.0.0.1:1", "EVENTMESH_TOPICS=orders", "EVENTMESH_GROUP=g", "K_SINK=http://127.0.0.1:1", "PROBES_PORT=0",
	"EVENTMESH_CLIENT_ID=source-0", "EVENTMESH_BACKOFF_MIN=1ms", "EVENTMESH_BACKOFF_MAX=100ms",
}

// process is a running source, or a sink.
type process struct {
	command *exec.Cmd
	probes  string
	ended   chan struct{}

	mu  sync.Mutex
	log []string
}

// run starts the program with nothing in its environment but what is required and what is given, and waits until it serves
// probes.
func run(t *testing.T, environment ...string) *process {
	t.Helper()
	return runProgram(t, program(t), environment...)
}

func runProgram(t *testing.T, path string, environment ...string) *process {
	t.Helper()
	p := &process{command: exec.Command(path), ended: make(chan struct{})}
	p.command.Env = append(slices.Clone(required), environment...)
	stderr, err := p.command.StderrPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := p.command.Start(); err != nil {
		t.Fatal(err)
	}
	go func() {
		defer close(p.ended)
		p.read(stderr)
		_ = p.command.Wait() // its state tells
	}()
	t.Cleanup(func() {
		_ = p.command.Process.Kill()
		<-p.ended
		if all := p.all(); strings.Contains(all, secret) {
			t.Errorf("the log holds a secret:\n%s", all)
		} else if t.Failed() {
			t.Logf("log of the %s:\n%s", filepath.Base(path), all)
		}
	})
	eventually(t, func() string {
		for _, message := range []string{"serving probes", "serving", "serving HTTPS"} { // as the sink says
			if lines := p.lines(message); len(lines) > 0 {
				p.probes = local(lines[0]["address"].(string))
				return ""
			}
		}
		return "no probes are served:\n" + p.all()
	})
	return p
}

func (p *process) read(r io.Reader) {
	scanner := bufio.NewScanner(r)
	scanner.Buffer(nil, 1<<20)
	for scanner.Scan() {
		p.mu.Lock()
		p.log = append(p.log, scanner.Text())
		p.mu.Unlock()
	}
}

// all is the whole log.
func (p *process) all() string {
	p.mu.Lock()
	defer p.mu.Unlock()
	return strings.Join(p.log, "\n")
}

// lines are those lines of the log that have the message.
func (p *process) lines(message string) []map[string]any {
	p.mu.Lock()
	defer p.mu.Unlock()
	var lines []map[string]any
	for _, text := range p.log {
		var line map[string]any
		if json.Unmarshal([]byte(text), &line) == nil && line["message"] == message {
			lines = append(lines, line)
		}
	}
	return lines
}

func (p *process) awaitLine(t *testing.T, message string) {
	t.Helper()
	eventually(t, func() string {
		if len(p.lines(message)) == 0 {
			return "no line " + message
		}
		return ""
	})
}

func (p *process) awaitReadiness(t *testing.T, status int) string {
	t.Helper()
	says := awaitReadiness(t, p.probes, status)
	if strings.Contains(says, secret) {
		t.Errorf("readiness holds a secret: %s", says)
	}
	return says
}

// terminate asks the program to end.
func (p *process) terminate(t *testing.T) {
	t.Helper()
	if err := p.command.Process.Signal(syscall.SIGTERM); err != nil {
		t.Fatal(err)
	}
}

// awaitEnd waits for the end of the program, which has to be a success.
func (p *process) awaitEnd(t *testing.T) {
	t.Helper()
	eventually(t, func() string {
		select {
		case <-p.ended:
			return ""
		default:
			return "the process goes on"
		}
	})
	if code := p.command.ProcessState.ExitCode(); code != 0 {
		t.Errorf("got exit code %d, want 0", code)
	}
}

// execute runs the program to its end.
func execute(t *testing.T, environment []string, arguments ...string) (code int, stdout, stderr string) {
	t.Helper()
	built := program(t) // which may take longer than all that is waited for
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	command := exec.CommandContext(ctx, built, arguments...)
	command.Env = append([]string{"PATH="}, environment...)
	var out, err bytes.Buffer
	command.Stdout, command.Stderr = &out, &err
	var exit *exec.ExitError
	if e := command.Run(); e != nil && !errors.As(e, &exit) {
		t.Fatal(e)
	}
	return command.ProcessState.ExitCode(), out.String(), err.String()
}

func TestProcessRefusesItsConfiguration(t *testing.T) {
	t.Parallel()
	for _, test := range refusals {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			code, stdout, stderr := execute(t, append(slices.Clone(required), test.environment...))
			if code != 1 || stdout != "" || strings.Count(stderr, "\n") != 1 || !strings.HasPrefix(stderr, "eventmesh-source: ") {
				t.Errorf("got exit code %d, stdout %q, stderr\n%s\nwant 1, nothing, and one line", code, stdout, stderr)
			}
			checkRefusal(t, stderr, test.want)
		})
	}
	for _, name := range []string{"EVENTMESH_URL", "EVENTMESH_TOPICS", "EVENTMESH_GROUP", "K_SINK"} {
		t.Run(name+" not set", func(t *testing.T) {
			t.Parallel()
			environment := slices.DeleteFunc(slices.Clone(required), func(v string) bool { return strings.HasPrefix(v, name+"=") })
			code, stdout, stderr := execute(t, environment)
			if code != 1 || stdout != "" || strings.Count(stderr, "\n") != 1 || !strings.HasPrefix(stderr, "eventmesh-source: "+name+" is missing: want ") {
				t.Errorf("got exit code %d, stdout %q, stderr\n%s\nwant 1, nothing, and one line", code, stdout, stderr)
			}
		})
	}
}

func TestProcessRefusesTheFrameworksConfiguration(t *testing.T) {
	t.Parallel()
	for _, value := range []string{"{", `{"metrics":{"protocol":"x"}}`, `{"tracing":{"protocol":"x"}}`} {
		t.Run(value, func(t *testing.T) {
			t.Parallel()
			code, stdout, stderr := execute(t, append(slices.Clone(required), "K_OBSERVABILITY_CONFIG="+value))
			if code != 1 || stdout != "" || strings.Count(stderr, "\n") != 1 || !strings.HasPrefix(stderr, "eventmesh-source: K_OBSERVABILITY_CONFIG: ") {
				t.Errorf("got exit code %d, stdout %q, stderr\n%s\nwant 1, nothing, and one line", code, stdout, stderr)
			}
		})
	}
}

func TestProcessHelp(t *testing.T) {
	t.Parallel()
	code, stdout, stderr := execute(t, nil, "--help")
	if code != 0 {
		t.Errorf("got exit code %d, want 0", code)
	}
	for _, v := range adapter.Variables(NewConfig()) {
		if !strings.Contains(stdout+stderr, "  "+v.Name+" ") && !strings.Contains(stdout+stderr, "  "+v.Name+"\n") {
			t.Errorf("%s is not listed in\n%s%s", v.Name, stdout, stderr)
		}
	}
}

func TestProcessTellsItsVersion(t *testing.T) {
	t.Parallel()
	s := run(t)
	s.awaitLine(t, "starting")
	line := s.lines("starting")[0]
	if version, _ := line["version"].(string); version == "" || line["go"] != runtime.Version() {
		t.Errorf("got %v, want a version, and %s", line, runtime.Version())
	}
}

func TestProcessDeliversEventsWhole(t *testing.T) {
	o := eventmeshtest.Options{Credentials: map[string]string{"me": secret}}
	t.Parallel()
	for _, name := range releases.Transports {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			url := releases.New(t, name, o).URL()
			sink := newSink(t)
			s := run(t, append(showing(t, name), "EVENTMESH_URL="+url, "K_SINK="+sink.url, `K_CE_OVERRIDES={"extensions":{"tenant":"one","region":"us"}}`,
				`K_LOGGING_CONFIG={"zap-logger-config":"{\"level\":\"debug\",\"encoding\":\"json\",\"outputPaths\":[\"stderr\"],\"errorOutputPaths\":[\"stderr\"],\"encoderConfig\":{\"messageKey\":\"message\"}}"}`)...)
			s.awaitReadiness(t, http.StatusOK)
			p := connect(t, url, eventmesh.Credentials{Username: "me", Password: secret, Token: secret})
			image, noData := sample("image"), sample("no data")
			image.SetData("image/png", []byte{0, 1, 254, 255})
			noData.DataEncoded = nil
			for _, e := range []event.Event{sample("JSON"), image, noData} {
				publish(t, p, e)
				got := sink.await(t, e.ID())
				e.SetExtension("eventmeshtopic", "orders")
				e.SetExtension("tenant", "one")
				e.SetExtension("region", "us")
				if diff := same(got, e); diff != "" {
					t.Error(diff)
				}
			}
			s.terminate(t)
			s.awaitEnd(t)
		})
	}
}

// showing returns the variables with which EventMesh is shown the secret over a transport.
func showing(t *testing.T, transport string) []string {
	t.Helper()
	if transport != releases.HTTP {
		return []string{"EVENTMESH_USERNAME=me", "EVENTMESH_PASSWORD=" + secret}
	}
	file := filepath.Join(t.TempDir(), "token")
	if err := os.WriteFile(file, []byte(secret), 0o600); err != nil {
		t.Fatal(err)
	}
	return []string{"EVENTMESH_TOKEN_FILE=" + file}
}

func TestProcessWithAWrongPassword(t *testing.T) {
	o := eventmeshtest.Options{Credentials: map[string]string{"me": "another"}}
	t.Parallel()
	for _, name := range releases.Transports {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			url := releases.New(t, name, o).URL()
			s := run(t, append(showing(t, name), "EVENTMESH_URL="+url)...)
			s.awaitLine(t, "not connected to EventMesh")
			want := "not authorized by EventMesh"
			if strings.HasPrefix(url, "tcp:") {
				want = "refused by EventMesh" // which does not say more
			}
			if says := s.awaitReadiness(t, http.StatusServiceUnavailable); !strings.Contains(says, want) {
				t.Errorf("readiness says %q, want %q in it", says, want)
			}
			s.terminate(t)
			s.awaitEnd(t)
		})
	}
}

func TestProcessStartsBeforeEventMesh(t *testing.T) {
	t.Parallel()
	for _, name := range releases.Transports {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			server := releases.New(t, name, eventmeshtest.Options{})
			url := server.URL()
			server.Stop()
			sink := newSink(t)
			s := run(t, "EVENTMESH_URL="+url, "K_SINK="+sink.url)
			s.awaitLine(t, "not connected to EventMesh")
			for range 100 { // a few attempts go by
				if says := s.awaitReadiness(t, http.StatusServiceUnavailable); !strings.Contains(says, "not connected to EventMesh") || !strings.Contains(says, url) {
					t.Fatalf("readiness says %q, want the reason", says)
				}
			}
			if status, _ := get(t, s.probes+"/health"); status != http.StatusOK {
				t.Errorf("health: got %d, want 200", status)
			}
			server.MustRestart(t, false)
			s.awaitReadiness(t, http.StatusOK)
			publish(t, connect(t, url, eventmesh.Credentials{}), sample("a"))
			sink.await(t, "a")
			if got := len(s.lines("not connected to EventMesh")); got != 1 {
				t.Errorf("got %d lines of not being connected, want 1", got)
			}
			if got := len(s.lines("connected to EventMesh")); got != 1 {
				t.Errorf("got %d lines of being connected, want 1", got)
			}
		})
	}
}

func TestProcessSurvivesARestartOfEventMesh(t *testing.T) {
	t.Parallel()
	for _, name := range releases.Transports {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			server := releases.New(t, name, eventmeshtest.Options{})
			url := server.URL()
			sink := newSink(t)
			s := run(t, "EVENTMESH_URL="+url, "K_SINK="+sink.url)
			p := connect(t, url, eventmesh.Credentials{})
			for i, interrupt := range []func(){
				func() {},
				func() { server.Stop() },
				func() { server.DropConnections() },
			} {
				before := len(s.lines("not connected to EventMesh"))
				interrupt()
				if i > 0 && (i == 1 || name != releases.HTTP) { // over HTTP a connection that breaks is just another one
					eventually(t, func() string {
						if len(s.lines("not connected to EventMesh")) == before {
							return "the source has not seen the interruption"
						}
						return ""
					})
				}
				if i > 0 {
					server.MustRestart(t, false)
				}
				s.awaitReadiness(t, http.StatusOK)
				id := fmt.Sprint("after interruption ", i)
				publish(t, p, sample(id))
				sink.await(t, id)
			}
		})
	}
}

func TestProcessKeepsEventsWhileTheSinkIsAway(t *testing.T) {
	t.Parallel()
	for _, name := range releases.Transports {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			url := releases.New(t, name, eventmeshtest.Options{}).URL()
			sink := newSink(t)
			s := run(t, "EVENTMESH_URL="+url, "K_SINK="+sink.url)
			s.awaitReadiness(t, http.StatusOK)
			p := connect(t, url, eventmesh.Credentials{})
			var ids []string
			more := func() {
				for range 30 {
					id := fmt.Sprint(len(ids))
					ids = append(ids, id)
					publish(t, p, sample(id))
				}
			}
			more()
			sink.answers(always(http.StatusServiceUnavailable))
			asked := sink.requests()
			more()
			eventually(t, func() string {
				if got := sink.requests() - asked; got < 60 {
					return fmt.Sprintf("60 refused requests, got %d", got)
				}
				return ""
			})
			sink.stop()
			more()
			s.awaitLine(t, "the sink does not accept events; they are kept and tried again")
			sink.answers(nil)
			sink.start(t)
			more()
			eventually(t, func() string { return sink.missing(ids...) })
			s.awaitLine(t, "the sink answers again")
			if says := s.awaitReadiness(t, http.StatusOK); !strings.Contains(says, "ready") {
				t.Errorf("readiness says %q", says)
			}
		})
	}
}

func TestProcessGoesOnAfterARefusedEvent(t *testing.T) {
	t.Parallel()
	for retries, kept := range map[string]bool{"-1": true, "0": false} {
		t.Run("retries "+retries, func(t *testing.T) {
			t.Parallel()
			for _, name := range releases.Transports {
				t.Run(name, func(t *testing.T) {
					t.Parallel()
					url := releases.New(t, name, eventmeshtest.Options{}).URL()
					sink := newSink(t)
					sink.answers(func(_ context.Context, e event.Event) int {
						if e.ID() == "bad" {
							return http.StatusBadRequest
						}
						return http.StatusAccepted
					})
					s := run(t, "EVENTMESH_URL="+url, "K_SINK="+sink.url, "EVENTMESH_RETRIES="+retries, "EVENTMESH_MAX_IN_FLIGHT=1")
					s.awaitReadiness(t, http.StatusOK)
					p := connect(t, url, eventmesh.Credentials{})
					for _, id := range []string{"before", "bad", "after"} {
						publish(t, p, sample(id))
					}
					sink.await(t, "before")
					sink.await(t, "after")
					if sink.missing("bad") == "" {
						t.Fatal("the sink took what it refuses")
					}
					if kept {
						s.awaitLine(t, "the sink refuses an event; it is kept and tried again")
						sink.answers(nil)
						sink.await(t, "bad")
					} else {
						s.awaitLine(t, "dropping an event that the sink does not accept")
					}
					s.terminate(t)
					s.awaitEnd(t)
				})
			}
		})
	}
}

func TestProcessShutdownDuringTraffic(t *testing.T) {
	t.Parallel()
	for _, name := range []string{releases.GRPC, releases.TCP} { // over HTTP EventMesh takes events that nobody subscribes to
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			url := releases.New(t, name, eventmeshtest.Options{}).URL()
			sink := newSink(t)
			release := make(chan struct{})
			sink.answers(func(ctx context.Context, _ event.Event) int { // slow until the shutdown has begun
				select {
				case <-release:
				case <-ctx.Done():
				}
				return http.StatusAccepted
			})
			s := run(t, "EVENTMESH_URL="+url, "K_SINK="+sink.url, "EVENTMESH_MAX_IN_FLIGHT=4")
			s.awaitReadiness(t, http.StatusOK)
			p := connect(t, url, eventmesh.Credentials{})

			var mu sync.Mutex
			var confirmed []string
			var publishers sync.WaitGroup
			for publisher := range 4 {
				publishers.Go(func() {
					for i := 0; ; i++ {
						id := fmt.Sprintf("%d-%d", publisher, i)
						err := p.Publish(t.Context(), "orders", sample(id))
						if errors.Is(err, eventmesh.ErrRateLimited) {
							continue
						}
						if err != nil {
							if !errors.Is(err, eventmesh.ErrNoSubscriber) {
								t.Errorf("got %v, want that nobody subscribes any more", err)
							}
							return
						}
						mu.Lock()
						confirmed = append(confirmed, id)
						mu.Unlock()
					}
				})
			}
			eventually(t, func() string {
				mu.Lock()
				defer mu.Unlock()
				if len(confirmed) < 100 {
					return fmt.Sprintf("100 confirmed events, got %d", len(confirmed))
				}
				return ""
			})
			s.terminate(t)
			s.awaitLine(t, "shutting down")
			close(release)
			publishers.Wait()
			s.awaitEnd(t)
			t.Logf("%d events were confirmed", len(confirmed))
			if missing := sink.missing(confirmed...); missing != "" {
				t.Error(missing)
			}
			if len(s.lines("everything received has been delivered")) != 1 {
				t.Error("the log does not say that everything was delivered within the drain timeout")
			}
		})
	}
}

func TestProcessFullBuffer(t *testing.T) {
	t.Parallel()
	for _, name := range releases.Transports {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			server := releases.New(t, name, eventmeshtest.Options{})
			url := server.URL()
			for of, bound := range map[string]string{"events": "EVENTMESH_BUFFER_EVENTS=3", "bytes": "EVENTMESH_BUFFER_BYTES=3200"} {
				sink := newSink(t)
				sink.answers(always(http.StatusServiceUnavailable))
				s := run(t, "EVENTMESH_URL="+url, "K_SINK="+sink.url, bound)
				s.awaitReadiness(t, http.StatusOK)
				p := connect(t, url, eventmesh.Credentials{})
				var ids []string
				for i := range 10 {
					ids = append(ids, fmt.Sprintf("%s %d", of, i))
					publish(t, p, sample(ids[i]))
				}
				if says := s.awaitReadiness(t, http.StatusServiceUnavailable); !strings.Contains(says, "buffer is full") {
					t.Errorf("%s: readiness says %q", of, says)
				}
				if got := server.Subscribers("orders"); got != 1 && name != releases.HTTP { // which delivers again what it has waited for
					t.Errorf("%s: got %d subscribers while the buffer is full, want the source to stay", of, got)
				}
				sink.answers(nil)
				eventually(t, func() string { return sink.missing(ids...) })
				s.awaitReadiness(t, http.StatusOK)
				s.terminate(t)
				s.awaitEnd(t)
				server.MustRestart(t, false) // standalone storage has forgotten the topic
			}
		})
	}
}
