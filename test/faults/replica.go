package faults

import (
	"fmt"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"syscall"
	"testing"
	"time"

	"github.com/eventing-eventmesh/eventing-eventmesh/internal/processtest"
)

// replica is one member of the source's group: a client ID, a spool if it has one, and one process after the other.
type replica struct {
	t           *testing.T
	name        string
	environment []string
	// spool is the folder of its spool, or "".
	spool string

	runs []*sourceRun
}

// sourceRun is one process of a replica. It calls itself by a user name of its own, which over HTTP is its token, by which EventMesh tells
// who was handed an event, and the sink who asked.
type sourceRun struct {
	*processtest.Program
	user   string
	probes string

	killed bool
	until  time.Time // zero while it runs
	// held are events that were in the spool at some time, and left those that were when the process had ended.
	held, left map[string]bool
}

// start starts a process, and waits until it serves probes.
func (r *replica) start() {
	r.t.Helper()
	s := &sourceRun{user: fmt.Sprintf("%s-run%d", r.name, len(r.runs)+1)}
	token := filepath.Join(r.t.TempDir(), "token")
	if err := os.WriteFile(token, []byte(s.user), 0o600); err != nil {
		r.t.Fatal(err)
	}
	environment := append(slices.Clone(r.environment),
		"EVENTMESH_CLIENT_ID="+r.name, "EVENTMESH_USERNAME="+s.user, "EVENTMESH_PASSWORD=of-"+r.name, "EVENTMESH_TOKEN_FILE="+token, "PROBES_PORT=0",
		"NAMESPACE="+s.user) // comes with each request
	if r.spool != "" {
		environment = append(environment, "EVENTMESH_SPOOL_DIR="+r.spool)
	}
	s.Program = run(r.t, s.user, build(r.t, "source"), environment)
	r.runs = append(r.runs, s)
	s.probes = s.At(r.t, "serving probes")
}

// last is the newest process.
func (r *replica) last() *sourceRun { return r.runs[len(r.runs)-1] }

// awaitReadiness waits until the probe answers with the status.
func (r *replica) awaitReadiness(want int) {
	r.t.Helper()
	eventually(r.t, func() string {
		if got, says := status(r.last().probes + "/readiness"); got != want {
			return fmt.Sprintf("readiness of %s is %d, want %d: %s", r.last().user, got, want, says)
		}
		return ""
	})
}

// startReady starts a process that subscribes.
func (r *replica) startReady() {
	r.t.Helper()
	r.start()
	r.awaitReadiness(http.StatusOK)
}

// kill ends the process without a chance to do anything.
func (r *replica) kill() {
	r.t.Helper()
	s := r.last()
	s.killed = true
	s.Send(r.t, syscall.SIGKILL)
	s.End(r.t, patience)
	r.close(s)
}

// terminate asks the process to end, which has to be a success.
func (r *replica) terminate() {
	r.t.Helper()
	s := r.last()
	s.Send(r.t, syscall.SIGTERM)
	if code := s.End(r.t, patience); code != 0 {
		r.t.Errorf("%s ended with exit code %d, want 0; end of its log:\n%s", s.user, code, s.Log())
	}
	r.close(s)
}

func (r *replica) close(s *sourceRun) {
	r.t.Helper()
	s.until = time.Now()
	if r.spool != "" {
		s.left = spooled(r.t, r.spool)
	}
}

// snapshot takes down what is in the spool while the process runs: it has to come to rest. The process stands still meanwhile.
func (r *replica) snapshot() {
	r.t.Helper()
	if r.spool == "" {
		return
	}
	r.last().Send(r.t, syscall.SIGSTOP)
	defer r.last().Send(r.t, syscall.SIGCONT)
	r.last().held = spooled(r.t, r.spool)
}

func (s *sourceRun) running() bool { return s.until.IsZero() }
