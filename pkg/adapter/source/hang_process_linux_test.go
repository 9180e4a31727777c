package source

import (
	"fmt"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"golang.org/x/sys/unix"

	"github.com/eventing-eventmesh/eventing-eventmesh/internal/diskfault"
	"github.com/eventing-eventmesh/eventing-eventmesh/pkg/adapter"
	"github.com/eventing-eventmesh/eventing-eventmesh/pkg/eventmesh"
	"github.com/eventing-eventmesh/eventing-eventmesh/pkg/eventmesh/eventmeshtest"
)

const (
	// hangingDisk names a file to a process of this test: once that is there, no sync of a spool returns.
	hangingDisk = "EVENTMESH_TEST_HANGING_DISK"
	// onlyTry is no file: the process tells by its exit code whether the kernel lets it.
	onlyTry = "try"
)

// The program of the tests is the source, too, with a disk that can hang.
func init() {
	file := os.Getenv(hangingDisk)
	if file == "" {
		return
	}
	err := diskfault.Watch(func(c diskfault.Call) unix.Errno {
		if _, err := os.Stat(file); err == nil && c.Kind == diskfault.Sync && filepath.Ext(c.Path) == ".journal" {
			select {}
		}
		return 0
	})
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
	if file == onlyTry {
		os.Exit(0)
	}
	adapter.Main("eventmesh-source", "is tested.", NewConfig(), NewAdapter)
}

// TestProcessEndsThoughItsDiskHangs ends a source that has an event in memory, for which it waits in a sync: the sink gets it.
func TestProcessEndsThoughItsDiskHangs(t *testing.T) {
	t.Parallel()
	program, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	try := exec.CommandContext(t.Context(), program)
	try.Env = append(os.Environ(), hangingDisk+"="+onlyTry)
	if out, err := try.CombinedOutput(); err != nil {
		t.Skipf("the kernel lets nobody stand between a program and its disk: %v: %s", err, out)
	}
	url, dir := eventmeshtest.New(t, eventmeshtest.Options{Storage: eventmeshtest.RocketMQ}).TCPURL(), t.TempDir()
	sink, hangs := newSink(t), filepath.Join(t.TempDir(), "hangs")
	s := runProgram(t, program, "EVENTMESH_URL="+url, "K_SINK="+sink.url, "EVENTMESH_SPOOL_DIR="+dir, "EVENTMESH_DRAIN_TIMEOUT=4s", hangingDisk+"="+hangs)
	s.awaitReadiness(t, http.StatusOK)
	p := connect(t, url, eventmesh.Credentials{})
	publish(t, p, sample("before"))
	sink.await(t, "before")
	if err := os.WriteFile(hangs, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	publish(t, p, sample("after"))
	if says := s.awaitReadiness(t, http.StatusServiceUnavailable); !strings.Contains(says, "hangs") {
		t.Errorf("readiness says %q", says)
	}
	s.awaitLine(t, "the disk of the spool hangs: nothing more is received until it answers")
	if missing := sink.missing("after"); missing == "" {
		t.Error("an event was sent that is not on disk")
	}
	s.terminate(t)
	sink.await(t, "after")
	s.awaitEnd(t)
	s.wantLastWord(t)
}
