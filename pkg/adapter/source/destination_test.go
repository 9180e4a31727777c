package source

import (
	"fmt"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/eventing-eventmesh/eventing-eventmesh/pkg/adapter/delivery"
	"github.com/eventing-eventmesh/eventing-eventmesh/pkg/dispatch"
	"github.com/eventing-eventmesh/eventing-eventmesh/pkg/eventmesh"
	"github.com/eventing-eventmesh/eventing-eventmesh/pkg/eventmesh/eventmeshtest"
	"github.com/eventing-eventmesh/eventing-eventmesh/pkg/eventmesh/eventmeshtest/releases"
)

// TestRequestsAreAsConfigured looks at those to K_SINK, and at those to the place for dead letters.
func TestRequestsAreAsConfigured(t *testing.T) {
	t.Parallel()
	token := filepath.Join(t.TempDir(), "token")
	if err := os.WriteFile(token, []byte("of the source"), 0o600); err != nil {
		t.Fatal(err)
	}
	var got http.Header
	var sink SinkURL
	if err := sink.Decode(answering(t, func(_ http.ResponseWriter, r *http.Request) { got = r.Header })); err != nil {
		t.Fatal(err)
	}
	for _, test := range []struct {
		name   string
		change func(*Config)
		sink   bool
		want   map[string]string
	}{
		{"sink", func(*Config) {}, true, map[string]string{"Authorization": "Bearer of the source"}},
		{"sink of requests", func(c *Config) { c.Type = Type(eventmesh.Sync) }, true, map[string]string{"Authorization": "Bearer of the source", "Prefer": "reply"}},
		{"dead letters", func(c *Config) { c.Type = Type(eventmesh.Sync) }, false, nil},
		{"namespace", func(c *Config) { c.Namespace = "shop" }, false, map[string]string{"Kn-Namespace": "shop"}},
	} {
		c := &Config{SinkTimeout: 30, MaxInFlight: 1, TokenFile: token}
		test.change(c)
		s := &source{config: c}
		d := s.overHTTP(sink, dispatch.Auto, test.sink)
		t.Cleanup(d.Close)
		if _, err := d.Send(t.Context(), sample("a")); err != nil {
			t.Errorf("%s: %v", test.name, err)
		}
		for _, header := range []string{"Authorization", "Prefer", "Kn-Namespace"} {
			if values, set := got[header]; set != (test.want[header] != "") || got.Get(header) != test.want[header] {
				t.Errorf("%s: got %s %q, want %q", test.name, header, values, test.want[header])
			}
		}
	}
}

func TestTimeoutIsConfigured(t *testing.T) {
	t.Parallel()
	if got := (&source{config: &Config{SinkTimeout: 7}}).timeout(); got != 7*time.Second {
		t.Errorf("got %s, want 7s", got)
	}
}

func TestCertificatesToTrust(t *testing.T) {
	t.Parallel()
	noPEM := "no PEM"
	if _, err := delivery.Trusted(&noPEM); err == nil || !strings.Contains(err.Error(), "reading certificates to trust") {
		t.Errorf("got %v, want an error that says what was read", err)
	}
	_, authority := serveTLS(t, http.NotFoundHandler(), 0)
	if config, err := delivery.Trusted(&authority); err != nil || config.RootCAs == nil {
		t.Errorf("got %v, %v; want authorities", config, err)
	}
}

// TestEventsThatNoHeaderHolds is about the events beside them as well: in strict order those wait.
func TestEventsThatNoHeaderHolds(t *testing.T) {
	for _, name := range releases.Transports {
		t.Run(name, func(t *testing.T) {
			url, sink := releases.New(t, name, eventmeshtest.Options{}).URL(), newSink(t)
			s := start(t, "EVENTMESH_URL="+url, "K_SINK="+sink.url, "EVENTMESH_ORDERING=strict")
			s.awaitReadiness(t, http.StatusOK)
			p := connect(t, url, eventmesh.Credentials{})
			for i, value := range []string{"plain", " padded ", "Zürich", "100%25", `"quoted"`} {
				e := sample(fmt.Sprint(i))
				e.SetExtension("note", value)
				publish(t, p, e)
				if got := sink.await(t, e.ID()); got.Extensions()["note"] != value {
					t.Errorf("got %q, want %q", got.Extensions()["note"], value)
				}
			}
		})
	}
}
