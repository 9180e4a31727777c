package sink

import (
	"encoding/json"
	"net/http"
	"net/url"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	conformance "github.com/cloudevents/conformance/pkg/event"
	"github.com/cloudevents/conformance/pkg/invoker"
	"github.com/cloudevents/sdk-go/v2/event"
	"github.com/cloudevents/sdk-go/v2/types"

	"github.com/eventing-eventmesh/eventing-eventmesh/pkg/eventmesh"
	"github.com/eventing-eventmesh/eventing-eventmesh/pkg/eventmesh/eventmeshtest"
	"github.com/eventing-eventmesh/eventing-eventmesh/pkg/eventmesh/eventmeshtest/releases"
)

// eventSets returns the directory with the events of the CloudEvents project's conformance suite, of the version in go.mod.
func eventSets(t *testing.T) string {
	t.Helper()
	out, err := exec.CommandContext(t.Context(), "go", "list", "-m", "-f", "{{.Dir}}", "github.com/cloudevents/conformance").Output()
	if err != nil {
		t.Fatal(err)
	}
	return filepath.Join(strings.TrimSpace(string(out)), "yaml")
}

// TestConformance sends the suite's events with the suite's own sender, and looks at what a subscriber of EventMesh gets.
func TestConformance(t *testing.T) {
	sets := eventSets(t)
	for _, transport := range releases.Transports {
		for mode, change := range map[string]conformance.MutationFn{
			"as they are": nil, "binary": inMode(conformance.BinaryMode), "structured": inMode(conformance.StructuredMode),
		} {
			t.Run(transport+", "+mode, func(t *testing.T) {
				_, address := eventMesh(t, transport, eventmeshtest.Options{})
				receiver := subscribe(t, address, eventmesh.Async)
				s := start(t, "EVENTMESH_URL="+address, "EVENTMESH_TOPICS=orders")
				s.awaitReadiness(t, http.StatusOK)
				files := []string{filepath.Join(sets, "v1.yaml"), filepath.Join(sets, "v1.0")}
				var sent []conformance.Event
				send := &invoker.Invoker{URL: parseURL(t, s.url+"/topics/orders"), Files: files, Recursive: true, PreHook: func(e conformance.Event) (conformance.Event, error) {
					var err error
					if change != nil {
						e, err = change(e)
					}
					sent = append(sent, e)
					return e, err
				}}
				if err := send.Do(); err != nil { // for any answer but 2xx
					t.Fatal(err)
				}
				if len(sent) < 8 {
					t.Fatalf("the suite has %d events, want 8 at least", len(sent))
				}
				for _, want := range sent {
					compare(t, receive(t, receiver).Event, want)
				}
			})
		}
	}
}

// TestConformanceOfOlderEvents: CloudEvents before 1.0 are refused, for Knative has none, and EventMesh is not sent any.
func TestConformanceOfOlderEvents(t *testing.T) {
	p := &fake{}
	server, _ := serve(t, p)
	sets := eventSets(t)
	files := []string{filepath.Join(sets, "v03.yaml"), filepath.Join(sets, "v0.3")}
	events, err := conformance.FromYaml(strings.Join(files, ","), true)
	if err != nil || len(events) == 0 {
		t.Fatalf("got %d events, %v", len(events), err)
	}
	closeBody := func(_ *http.Request, response *http.Response, _ error) { // the suite leaves it open
		if response != nil {
			_ = response.Body.Close()
		}
	}
	err = (&invoker.Invoker{URL: parseURL(t, server.URL), Files: files, Recursive: true, PostHook: closeBody}).Do()
	if err == nil || strings.Count(err.Error(), "400 Bad Request") != len(events) {
		t.Errorf("got %v, want 400 for each of %d events", err, len(events))
	}
	if taken, _ := p.taken(); len(taken) != 0 {
		t.Errorf("got %d events published", len(taken))
	}
}

func parseURL(t *testing.T, s string) *url.URL {
	t.Helper()
	u, err := url.Parse(s)
	if err != nil {
		t.Fatal(err)
	}
	return u
}

// inMode sends events in a mode. The suite's sender can send no data in structured mode but JSON.
func inMode(mode string) conformance.MutationFn {
	return func(e conformance.Event) (conformance.Event, error) {
		if mode == conformance.BinaryMode || json.Valid([]byte(e.Data)) {
			e.Mode = mode
		}
		return e, nil
	}
}

func compare(t *testing.T, got event.Event, want conformance.Event) {
	t.Helper()
	differ := func(what, got, want string) {
		t.Helper()
		if want = strings.TrimSpace(want); got != want { // as the suite's sender does
			t.Errorf("event %s, mode %q: %s: got %q, want %q", want, got, what, got, want)
		}
	}
	differ("specversion", got.SpecVersion(), want.Attributes.SpecVersion)
	differ("type", got.Type(), want.Attributes.Type)
	differ("id", got.ID(), want.Attributes.ID)
	differ("source", got.Source(), want.Attributes.Source)
	differ("subject", got.Subject(), want.Attributes.Subject)
	if want.Attributes.Time != "" {
		differ("time", got.Time().UTC().Format(time.RFC3339), want.Attributes.Time)
	}
	contentType := want.Attributes.DataContentType
	if contentType == "" && want.Mode == conformance.StructuredMode {
		contentType = event.ApplicationJSON // which it stands for in JSON
	}
	differ("datacontenttype", got.DataContentType(), contentType)
	for name, value := range want.Attributes.Extensions {
		have, err := types.Format(got.Extensions()[name])
		if err != nil {
			t.Errorf("extension %s: %v", name, err)
		}
		differ("extension "+name, have, value)
	}
	if len(got.Extensions()) != len(want.Attributes.Extensions) {
		t.Errorf("got extensions %v, want %v", got.Extensions(), want.Attributes.Extensions)
	}
	data := string(got.Data())
	if want.Mode != conformance.StructuredMode { // where the sender writes JSON anew
		data, want.Data = strings.TrimSuffix(data, "\n"), strings.TrimSuffix(want.Data, "\n")
	}
	differ("data", data, want.Data)
}
