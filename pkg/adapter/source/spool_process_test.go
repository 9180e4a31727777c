package source

import (
	"bytes"
	"fmt"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/cloudevents/sdk-go/v2/event"

	"github.com/eventing-eventmesh/eventing-eventmesh/pkg/adapter/delivery"
	"github.com/eventing-eventmesh/eventing-eventmesh/pkg/dispatch"
	"github.com/eventing-eventmesh/eventing-eventmesh/pkg/eventmesh"
	"github.com/eventing-eventmesh/eventing-eventmesh/pkg/eventmesh/eventmeshtest"
	"github.com/eventing-eventmesh/eventing-eventmesh/pkg/eventmesh/eventmeshtest/releases"
)

// onDiskNow counts the events in the spool of a running process, by a copy.
func onDiskNow(t *testing.T, dir string) (int64, error) {
	t.Helper()
	copied := t.TempDir()
	if err := os.CopyFS(copied, os.DirFS(dir)); err != nil {
		return 0, err // a file has been removed meanwhile
	}
	disk, err := dispatch.OpenDisk(dispatch.DiskOptions{Dir: copied, Older: laneName})
	if err != nil {
		return 0, err
	}
	return int64(disk.Events()), disk.Close()
}

func awaitOnDisk(t *testing.T, dir string, want int64) {
	t.Helper()
	eventually(t, func() string {
		if got, err := onDiskNow(t, dir); err != nil || got != want {
			return fmt.Sprintf("%d events on disk, %v; want %d", got, err, want)
		}
		return ""
	})
}

func TestProcessKeepsEventsWhenItIsKilled(t *testing.T) {
	t.Parallel()
	for _, name := range releases.Transports {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			url, dir := releases.New(t, name, eventmeshtest.Options{Storage: eventmeshtest.RocketMQ}).URL(), t.TempDir()
			sink := newSink(t)
			sink.answers(always(http.StatusServiceUnavailable))
			environment := []string{"EVENTMESH_URL=" + url, "K_SINK=" + sink.url, "EVENTMESH_SPOOL_DIR=" + dir, "EVENTMESH_ORDERING=strict"}
			s := run(t, environment...)
			s.awaitReadiness(t, http.StatusOK)
			p := connect(t, url, eventmesh.Credentials{})
			var ids []string
			for i := range 50 {
				ids = append(ids, fmt.Sprint(i))
				publish(t, p, sample(ids[i]))
			}
			awaitOnDisk(t, dir, 50)

			second := execFailing(t, append(environment, "EVENTMESH_CLIENT_ID=source-1")...)
			if !strings.Contains(second, dir+" is in use by another process") {
				t.Errorf("a second process says\n%s", second)
			}

			if err := s.command.Process.Kill(); err != nil {
				t.Fatal(err)
			}
			<-s.ended
			var order []string
			sink.onTaken(func(e event.Event) { order = append(order, e.ID()) })
			sink.answers(nil)
			s = run(t, environment...)
			eventually(t, func() string { return sink.missing(ids...) })
			awaitOnDisk(t, dir, 0)
			s.terminate(t)
			s.awaitEnd(t)
			if slices.Equal(order, ids) || name == "gRPC" && len(order) == len(ids) { // over gRPC EventMesh keeps no order
				return
			}
			t.Errorf("got %v, want all in order", order)
		})
	}
}

// execFailing runs the program, which has to fail, and returns what it says.
func execFailing(t *testing.T, environment ...string) string {
	t.Helper()
	code, _, stderr := execute(t, append(slices.Clone(required), environment...))
	if code == 0 {
		t.Errorf("got exit code 0")
	}
	return stderr
}

func TestProcessLeavesADamagedFileAlone(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	path := filepath.Join(dir, "spool.db") // of an earlier version
	if err := os.WriteFile(path, []byte("not a spool"), 0o600); err != nil {
		t.Fatal(err)
	}
	says := execFailing(t, "EVENTMESH_SPOOL_DIR="+dir)
	if !strings.Contains(says, path+" is damaged") || !strings.Contains(says, "move it away") {
		t.Errorf("got\n%s\nwant an error that names the file, and what to do", says)
	}
	if content, err := os.ReadFile(path); err != nil || string(content) != "not a spool" {
		t.Errorf("got %q, %v; want the file as it was", content, err)
	}
}

func TestProcessKeepsTheRestAtShutdown(t *testing.T) {
	t.Parallel()
	for _, name := range releases.Transports {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			url, dir := releases.New(t, name, eventmeshtest.Options{Storage: eventmeshtest.RocketMQ}).URL(), t.TempDir()
			sink := newSink(t)
			sink.answers(always(http.StatusServiceUnavailable))
			environment := []string{"EVENTMESH_URL=" + url, "K_SINK=" + sink.url, "EVENTMESH_SPOOL_DIR=" + dir}
			s := run(t, environment...)
			s.awaitReadiness(t, http.StatusOK)
			p := connect(t, url, eventmesh.Credentials{})
			var ids []string
			for i := range 30 {
				ids = append(ids, fmt.Sprint(i))
				publish(t, p, sample(ids[i]))
			}
			if name == releases.HTTP { // over which EventMesh keeps what it has not delivered
				awaitOnDisk(t, dir, 30)
			}
			s.terminate(t) // while events arrive
			s.awaitEnd(t)
			kept := s.lines("events that have not been delivered stay in the spool")
			if len(kept) != 1 || kept[0]["events"] != float64(30) {
				t.Errorf("got %v, want a line that 30 events are in the spool", kept)
			}
			awaitOnDisk(t, dir, 30)
			sink.answers(nil)
			s = run(t, environment...)
			eventually(t, func() string { return sink.missing(ids...) })
			if lines := s.lines("events are kept on disk until the sink has accepted them"); len(lines) != 1 || lines[0]["left"] != float64(30) {
				t.Errorf("got %v, want a line of the 30 that were left", lines)
			}
		})
	}
}

func TestProcessPublishesDeadLetters(t *testing.T) {
	t.Parallel()
	for _, name := range releases.Transports {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			url, dir := releases.New(t, name, eventmeshtest.Options{Storage: eventmeshtest.RocketMQ}).URL(), t.TempDir()
			sink, dead := newSink(t), newSink(t)
			sink.answers(always(http.StatusUnprocessableEntity))
			s := run(t, "EVENTMESH_URL="+url, "K_SINK="+sink.url, "EVENTMESH_DEAD_LETTER_TOPIC=dead", "EVENTMESH_SPOOL_DIR="+dir)
			s.awaitReadiness(t, http.StatusOK)
			// Dead letters are events of EventMesh: another source can take them to Knative.
			reader := run(t, "EVENTMESH_URL="+url, "K_SINK="+dead.url, "EVENTMESH_TOPICS=dead", "EVENTMESH_GROUP=dead", "EVENTMESH_CLIENT_ID=reader-0")
			reader.awaitReadiness(t, http.StatusOK)
			publish(t, connect(t, url, eventmesh.Credentials{}), sample("a"))
			got := dead.await(t, "a")
			want := sample("a")
			want.SetExtension("eventmeshtopic", "dead")
			want.SetExtension("knativeerrordest", sink.url)
			want.SetExtension("knativeerrorcode", "422")
			if diff := same(got, want); diff != "" {
				t.Error(diff)
			}
			awaitOnDisk(t, dir, 0)
		})
	}
}

// What rots in the spool of a running source is one event's loss.
func TestProcessGoesOnWithARecordThatCannotBeRead(t *testing.T) {
	t.Parallel()
	for _, place := range []string{"dead letters", "none"} {
		t.Run(place, func(t *testing.T) {
			t.Parallel()
			url, dir := eventmeshtest.New(t, eventmeshtest.Options{Storage: eventmeshtest.RocketMQ}).TCPURL(), t.TempDir()
			sink, dead := newSink(t), newSink(t)
			sink.answers(always(http.StatusServiceUnavailable))
			environment := []string{"EVENTMESH_URL=" + url, "K_SINK=" + sink.url, "EVENTMESH_SPOOL_DIR=" + dir}
			if place != "none" {
				environment = append(environment, "EVENTMESH_DEAD_LETTER_SINK="+dead.url)
			}
			s := run(t, environment...)
			s.awaitReadiness(t, http.StatusOK)
			bad := sample("bad")
			bad.DataEncoded = []byte(`"` + strings.Repeat("damage me", 100) + `"`)
			p := connect(t, url, eventmesh.Credentials{})
			for _, e := range []event.Event{sample("before"), bad, sample("after")} {
				publish(t, p, e)
			}
			awaitOnDisk(t, dir, 3)
			s.awaitLine(t, "the sink does not accept events; they are kept and tried again") // and are on disk alone
			damage(t, dir, "damage me")
			const message = "a record of the spool cannot be read; it "
			if place == "none" {
				s.awaitLine(t, message+"is set aside in the directory")
			} else {
				s.awaitLine(t, message+"becomes a dead letter")
				eventually(t, func() string {
					dead.mu.Lock()
					defer dead.mu.Unlock()
					for _, e := range dead.taken {
						if strings.Contains(string(e.Data()), "mage me") && e.Type() == delivery.UndecodableType {
							return ""
						}
					}
					return "no dead letter that holds the record"
				})
			}
			sink.answers(nil)
			sink.await(t, "before")
			sink.await(t, "after")
			s.awaitReadiness(t, http.StatusOK)
			awaitOnDisk(t, dir, map[string]int64{"none": 1, "dead letters": 0}[place])
			s.terminate(t)
			s.awaitEnd(t)
			if place == "none" {
				s = run(t, environment...)
				s.awaitLine(t, message+"is set aside in the directory")
				s.awaitReadiness(t, http.StatusOK)
			}
		})
	}
}

// damage changes a byte wherever the files of a spool have the text.
func damage(t *testing.T, dir, text string) {
	t.Helper()
	paths, err := filepath.Glob(filepath.Join(dir, "*.journal"))
	if err != nil || len(paths) == 0 {
		t.Fatalf("got %v, %v, want the files of a spool", paths, err)
	}
	for _, path := range paths {
		damageFile(t, path, text)
	}
}

func damageFile(t *testing.T, path, text string) {
	t.Helper()
	file, err := os.OpenFile(path, os.O_RDWR, 0)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = file.Close() }()
	content, err := io.ReadAll(file)
	if err != nil {
		t.Fatal(err)
	}
	for at := 0; ; at++ {
		next := bytes.Index(content[at:], []byte(text))
		if next < 0 {
			return
		}
		at += next
		if _, err := file.WriteAt([]byte("D"), int64(at)); err != nil {
			t.Fatal(err)
		}
	}
}
