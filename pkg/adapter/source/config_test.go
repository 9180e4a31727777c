package source

import (
	"maps"
	"strings"
	"testing"
	"time"

	"github.com/eventing-eventmesh/eventing-eventmesh/pkg/adapter"
	"github.com/eventing-eventmesh/eventing-eventmesh/pkg/dispatch"
	"github.com/eventing-eventmesh/eventing-eventmesh/pkg/eventmesh"
)

// load returns the configuration of an environment, with what is required unless that is set.
func load(t *testing.T, environment ...string) (*Config, error) {
	t.Helper()
	for _, variable := range append([]string{
		"EVENTMESH_URL=grpc://mesh", "EVENTMESH_TOPICS=orders", "EVENTMESH_GROUP=g", "K_SINK=http://sink", "PROBES_PORT=0",
	}, environment...) {
		name, value, _ := strings.Cut(variable, "=")
		t.Setenv(name, value)
	}
	c := NewConfig()
	return c, adapter.Load(c)
}

func TestDefaults(t *testing.T) {
	c, err := load(t)
	if err != nil {
		t.Fatal(err)
	}
	if c.BufferEvents != 10000 || c.BufferBytes != 64<<20 || c.MaxInFlight != 16 || c.Retries != -1 || c.BackoffMin != 100*time.Millisecond ||
		c.BackoffMax != 30*time.Second || c.DrainTimeout != 20*time.Second || c.GetSinktimeout() != 30 || eventmesh.Mode(c.Mode) != eventmesh.Clustering ||
		c.Ordering != dispatch.Unordered || eventmesh.Type(c.Type) != eventmesh.Async || c.SpoolDir != "" || c.DeadLetterSink.URL != nil ||
		c.TokenFile != "/oidc/token" || c.ContentMode != "auto" || len(c.Overrides) != 0 {
		t.Errorf("got %d events, %d bytes, %d in flight, %d retries, %s to %s, drain %s, timeout %d, mode %s, overrides %v",
			c.BufferEvents, c.BufferBytes, c.MaxInFlight, c.Retries, c.BackoffMin, c.BackoffMax, c.DrainTimeout, c.GetSinktimeout(), c.Mode, c.Overrides)
	}
}

func TestEverythingIsRead(t *testing.T) {
	c, err := load(t, "EVENTMESH_TOPICS=orders, returns", "EVENTMESH_GROUP=a%|_-1", "EVENTMESH_MODE=Broadcasting", "EVENTMESH_BUFFER_EVENTS=1",
		"EVENTMESH_BUFFER_BYTES=2", "EVENTMESH_MAX_IN_FLIGHT=3", "EVENTMESH_RETRIES=4", "EVENTMESH_BACKOFF_MIN=5ms", "EVENTMESH_BACKOFF_MAX=5ms",
		"EVENTMESH_DRAIN_TIMEOUT=0s", "EVENTMESH_SPOOL_DIR=/spool", "EVENTMESH_ORDERING=Key", "EVENTMESH_CONTENT_MODE=Structured", "EVENTMESH_DEAD_LETTER_TOPIC=dead", "OIDC_TOKEN_FILE=/token", "PROBES_PORT=65535", "K_SINK=https://sink:8443/path?x=1", "K_SINK_TIMEOUT=6",
		`K_CE_OVERRIDES={"extensions":{"one":"1","two":""}}`)
	if err != nil {
		t.Fatal(err)
	}
	if strings.Join(c.Topics, "|") != "orders|returns" || c.Group != "a%|_-1" || eventmesh.Mode(c.Mode) != eventmesh.Broadcasting || c.BufferEvents != 1 ||
		c.BufferBytes != 2 || c.MaxInFlight != 3 || c.Retries != 4 || c.BackoffMin != 5*time.Millisecond || c.BackoffMax != 5*time.Millisecond ||
		c.DrainTimeout != 0 || c.ProbesPort != 65535 || c.SinkURL.String() != "https://sink:8443/path?x=1" || c.GetSinktimeout() != 6 ||
		c.SpoolDir != "/spool" || c.Ordering != dispatch.ByKey || c.ContentMode != "structured" || c.DeadLetterTopic != "dead" || c.TokenFile != "/token" ||
		!maps.Equal(c.Overrides, Overrides{"one": "1", "two": ""}) {
		t.Errorf("got topics %q, group %q, mode %s, sink %s, overrides %v", c.Topics, c.Group, c.Mode, c.SinkURL, c.Overrides)
	}
}

// refusals are environments with which the source does not start. Each error is a sentence that holds all of want.
var refusals = []struct {
	name        string
	environment []string
	want        []string
}{
	{"URL missing", []string{"EVENTMESH_URL="}, []string{"EVENTMESH_URL is missing", "grpc://host:10205"}},
	{"URL malformed", []string{"EVENTMESH_URL=grpc://[::1"}, []string{"EVENTMESH_URL: ", "grpc://host:10205"}},
	{"URL of another scheme", []string{"EVENTMESH_URL=amqp://mesh"}, []string{"EVENTMESH_URL: ", `"amqp://mesh"`, "grpc, grpcs, tcp, tcps, http or https"}},
	{"URL with a password", []string{"EVENTMESH_URL=grpc://me:" + secret + "@mesh"}, []string{"EVENTMESH_URL: ", "@mesh", "holds credentials"}},
	{"topics missing", []string{"EVENTMESH_TOPICS="}, []string{"EVENTMESH_TOPICS is missing", "names of topics"}},
	{"topic that is none", []string{"EVENTMESH_TOPICS=orders,a b"}, []string{"EVENTMESH_TOPICS: ", `"a b"`}},
	{"topic that HTTP has not", []string{"EVENTMESH_URL=http://mesh", "EVENTMESH_TOPICS=orders,a%b"}, []string{"EVENTMESH_TOPICS: ", `"a%b"`, "over HTTP"}},
	{"dead letter topic that HTTP has not", []string{"EVENTMESH_URL=http://mesh", "EVENTMESH_DEAD_LETTER_TOPIC=a|b"}, []string{"EVENTMESH_DEAD_LETTER_TOPIC: ", `"a|b"`, "over HTTP"}},
	{"group missing", []string{"EVENTMESH_GROUP="}, []string{"EVENTMESH_GROUP is missing", "letters, digits"}},
	{"group of other characters", []string{"EVENTMESH_GROUP=a.b"}, []string{`EVENTMESH_GROUP is "a.b"`, "%|_-"}},
	{"sink missing", []string{"K_SINK="}, []string{"K_SINK is missing", "http or https URL"}},
	{"sink without a scheme", []string{"K_SINK=sink:8080"}, []string{"K_SINK: ", `"sink:8080"`, "http or https"}},
	{"sink of another scheme", []string{"K_SINK=ftp://sink"}, []string{"K_SINK: ", `"ftp://sink"`, "http or https"}},
	{"sink without a host", []string{"K_SINK=http:///path"}, []string{"K_SINK: ", `"http:///path"`, "http or https"}},
	{"sink malformed", []string{"K_SINK=http://me:" + secret + "@[::1"}, []string{"K_SINK: ", "http or https URL"}},
	{"sink with a password, of another scheme", []string{"K_SINK=ftp://me:" + secret + "@sink"}, []string{"K_SINK: ", "http or https"}},
	{"sink with a password, without a scheme", []string{"K_SINK=me:" + secret + "@sink"}, []string{"K_SINK: ", "http or https"}},
	{"sink with a password, without a host", []string{"K_SINK=http:/me:" + secret + "@sink"}, []string{"K_SINK: ", "http or https"}},
	{"in flight no number", []string{"EVENTMESH_MAX_IN_FLIGHT=abc"}, []string{`EVENTMESH_MAX_IN_FLIGHT is "abc"`, "a number above 0"}},
	{"in flight 0", []string{"EVENTMESH_MAX_IN_FLIGHT=0"}, []string{`EVENTMESH_MAX_IN_FLIGHT is "0"`, "a number above 0"}},
	{"buffer of no events", []string{"EVENTMESH_BUFFER_EVENTS=0"}, []string{`EVENTMESH_BUFFER_EVENTS is "0"`, "a number above 0"}},
	{"buffer of no bytes", []string{"EVENTMESH_BUFFER_BYTES=-1"}, []string{`EVENTMESH_BUFFER_BYTES is "-1"`, "a number above 0"}},
	{"retries", []string{"EVENTMESH_RETRIES=-2"}, []string{`EVENTMESH_RETRIES is "-2"`, "-1 or above"}},
	{"duration", []string{"EVENTMESH_BACKOFF_MIN=soon"}, []string{`EVENTMESH_BACKOFF_MIN is "soon"`, "a duration such as 100ms"}},
	{"duration without unit", []string{"EVENTMESH_DRAIN_TIMEOUT=20"}, []string{`EVENTMESH_DRAIN_TIMEOUT is "20"`, "a duration such as 20s"}},
	{"drain timeout negative", []string{"EVENTMESH_DRAIN_TIMEOUT=-1s"}, []string{`EVENTMESH_DRAIN_TIMEOUT is "-1s"`, "a duration such as 20s"}},
	{"back-off upside down", []string{"EVENTMESH_BACKOFF_MIN=2s", "EVENTMESH_BACKOFF_MAX=1s"}, []string{`EVENTMESH_BACKOFF_MAX is "1s"`, "not below EVENTMESH_BACKOFF_MIN, 2s"}},
	{"back-off 0", []string{"EVENTMESH_BACKOFF_MIN=0s"}, []string{`EVENTMESH_BACKOFF_MIN is "0s"`, "at least 1ms"}},
	{"type", []string{"EVENTMESH_TYPE=both"}, []string{"EVENTMESH_TYPE: ", `"both"`, "async nor sync"}},
	{"ordering", []string{"EVENTMESH_ORDERING=some"}, []string{"EVENTMESH_ORDERING: ", `"some"`, "unordered, key and strict"}},
	{"two places for dead letters", []string{"EVENTMESH_DEAD_LETTER_SINK=http://dead", "EVENTMESH_DEAD_LETTER_TOPIC=dead"}, []string{"EVENTMESH_DEAD_LETTER_SINK and EVENTMESH_DEAD_LETTER_TOPIC", "want one of them"}},
	{"dead letters in a circle", []string{"EVENTMESH_DEAD_LETTER_TOPIC=orders"}, []string{`EVENTMESH_DEAD_LETTER_TOPIC is "orders"`, "not one of EVENTMESH_TOPICS"}},
	{"dead letters to what is no topic", []string{"EVENTMESH_DEAD_LETTER_TOPIC=a b"}, []string{"EVENTMESH_DEAD_LETTER_TOPIC: ", `"a b"`}},
	{"dead letters to what is no URL", []string{"EVENTMESH_DEAD_LETTER_SINK=dead"}, []string{"EVENTMESH_DEAD_LETTER_SINK: ", `"dead"`, "http or https"}},
	{"requests on disk", []string{"EVENTMESH_TYPE=sync", "EVENTMESH_SPOOL_DIR=/tmp"}, []string{"EVENTMESH_SPOOL_DIR and EVENTMESH_TYPE=sync", "want one of them"}},
	{"no spool to empty", []string{"EVENTMESH_SPOOL_DRAIN=true"}, []string{"EVENTMESH_SPOOL_DRAIN", "EVENTMESH_SPOOL_DIR is not", "want the directory"}},
	{"content mode", []string{"EVENTMESH_CONTENT_MODE=json"}, []string{"EVENTMESH_CONTENT_MODE: ", `"json"`, "auto, binary and structured"}},
	{"mode", []string{"EVENTMESH_MODE=both"}, []string{"EVENTMESH_MODE: ", `"both"`, "clustering nor broadcasting"}},
	{"overrides no JSON", []string{"K_CE_OVERRIDES=" + secret}, []string{"K_CE_OVERRIDES: ", `{"extensions":{"name":"value"}}`}},
	{"overrides of another shape", []string{`K_CE_OVERRIDES={"extensions":["` + secret + `"]}`}, []string{"K_CE_OVERRIDES: ", `{"extensions":{"name":"value"}}`}},
	{"overrides with no name", []string{`K_CE_OVERRIDES={"extensions":{"Not a name":"x"}}`}, []string{"K_CE_OVERRIDES: ", `"Not a name"`, "letters and digits"}},
	{"overrides of an attribute", []string{`K_CE_OVERRIDES={"extensions":{"Subject":"x"}}`}, []string{"K_CE_OVERRIDES: ", `"Subject"`, "CloudEvents' own attributes"}},
	{"overrides of data", []string{`K_CE_OVERRIDES={"extensions":{"data":"x"}}`}, []string{"K_CE_OVERRIDES: ", `"data"`}},
	{"overrides with a line break", []string{`K_CE_OVERRIDES={"extensions":{"note":"` + secret + `\n"}}`}, []string{"K_CE_OVERRIDES: ", "value of note", "line break"}},
	{"overrides with a C1 control", []string{`K_CE_OVERRIDES={"extensions":{"note":"` + secret + `\u0085"}}`}, []string{"K_CE_OVERRIDES: ", "value of note"}},
	{"overrides with a non-character", []string{`K_CE_OVERRIDES={"extensions":{"note":"` + secret + `\ufffe"}}`}, []string{"K_CE_OVERRIDES: ", "value of note"}},
	{"sink with a port that is none", []string{"K_SINK=http://me:" + secret + "@sink:99999"}, []string{"K_SINK: ", "port 99999", "1 to 65535"}},
	{"sink with port 0", []string{"K_SINK=http://sink:0"}, []string{"K_SINK: ", "port 0", "1 to 65535"}},
	{"sink with a port alone", []string{"K_SINK=http://:8080"}, []string{"K_SINK: ", `"http://:8080"`}},
	{"sink with nothing but a colon", []string{"K_SINK=http://:"}, []string{"K_SINK: ", `"http://:"`}},
	{"sink with a blank in its query", []string{"K_SINK=http://sink?token=" + secret + " x"}, []string{"K_SINK: ", "a blank"}},
	{"dead letters to a port that is none", []string{"EVENTMESH_DEAD_LETTER_SINK=http://dead:65536"}, []string{"EVENTMESH_DEAD_LETTER_SINK: ", "port 65536"}},
	{"URL with a port that is none", []string{"EVENTMESH_URL=grpc://mesh:99999"}, []string{"EVENTMESH_URL: ", "port 99999", "1 to 65535"}},
	{"URL with port 0", []string{"EVENTMESH_URL=tcp://a,tcp://b:0"}, []string{"EVENTMESH_URL: ", "port 0"}},
	{"namespace", []string{"NAMESPACE=a\nb"}, []string{"NAMESPACE has a character"}},
	{"certificates", []string{"K_CA_CERTS=" + secret}, []string{"K_CA_CERTS holds no certificate", "PEM"}},
	{"version of TLS", []string{"TLS_MIN_VERSION=1.1"}, []string{"TLS_MIN_VERSION", `"1.1"`}},
	{"sink timeout", []string{"K_SINK_TIMEOUT=0"}, []string{`K_SINK_TIMEOUT is "0"`, "a number of seconds above 0"}},
	{"port", []string{"PROBES_PORT=65536"}, []string{`PROBES_PORT is "65536"`, "a port number"}},
	{"both passwords", []string{"EVENTMESH_PASSWORD=" + secret, "EVENTMESH_PASSWORD_FILE=/dev/null"}, []string{"EVENTMESH_PASSWORD and EVENTMESH_PASSWORD_FILE", "want one of them"}},
	{"password file missing", []string{"EVENTMESH_PASSWORD_FILE=/nonexistent/password"}, []string{"EVENTMESH_PASSWORD_FILE: ", "/nonexistent/password"}},
	{"CA file without certificates", []string{"EVENTMESH_CA_FILE=/dev/null"}, []string{`EVENTMESH_CA_FILE is "/dev/null"`, "certificates in PEM"}},
}

// checkRefusal checks the text of an error.
func checkRefusal(t *testing.T, got string, want []string) {
	t.Helper()
	for _, part := range want {
		if !strings.Contains(got, part) {
			t.Errorf("got %q, want %q in it", got, part)
		}
	}
	if strings.Contains(got, secret) {
		t.Errorf("%q holds a secret", got)
	}
}

func TestConfigRefuses(t *testing.T) {
	for _, test := range refusals {
		t.Run(test.name, func(t *testing.T) {
			_, err := load(t, test.environment...)
			if err == nil {
				t.Fatal("got no error")
			}
			checkRefusal(t, err.Error(), test.want)
			if strings.Contains(err.Error(), "\n") {
				t.Errorf("%q is more than a line", err)
			}
		})
	}
}

func TestDecode(t *testing.T) {
	tests := []struct {
		name   string
		decode func(string) error
		value  string
		ok     bool
	}{
		{"mode", new(Mode).Decode, "clustering", true},
		{"mode in capitals", new(Mode).Decode, "BROADCASTING", true},
		{"mode empty", new(Mode).Decode, "", false},
		{"mode with space", new(Mode).Decode, "clustering ", false},
		{"sink http", new(SinkURL).Decode, "http://broker-ingress.knative-eventing.svc.cluster.local/shop/default", true},
		{"sink with a password", new(SinkURL).Decode, "https://me:" + secret + "@sink", true},
		{"sink empty, where it is not required", new(SinkURL).Decode, "", true},
		{"sink a path", new(SinkURL).Decode, "/path", false},
		{"sink with a control character", new(SinkURL).Decode, "http://sink/\x7f" + secret, false},
		{"overrides empty", new(Overrides).Decode, "", true},
		{"overrides without extensions", new(Overrides).Decode, "{}", true},
		{"overrides cut off", new(Overrides).Decode, `{"extensions":{`, false},
		{"overrides with capitals", new(Overrides).Decode, `{"extensions":{"aB":"x"}}`, true}, // Knative allows them; they are written in lower case
		{"overrides without a name", new(Overrides).Decode, `{"extensions":{"":"x"}}`, false},
		{"overrides of the ID", new(Overrides).Decode, `{"extensions":{"id":"x"}}`, false},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			err := test.decode(test.value)
			if (err == nil) != test.ok {
				t.Errorf("%q: got %v, want success %t", test.value, err, test.ok)
			}
			if err != nil && strings.Contains(err.Error(), secret) {
				t.Errorf("%q holds a secret", err)
			}
		})
	}
}

func TestRedelivers(t *testing.T) {
	for _, test := range []struct {
		url, mode string
		want      bool
	}{
		{"grpc://e", "clustering", false},
		{"tcp://e", "clustering", false},
		{"http://e", "clustering", true},
		{"https://e", "clustering", true},
		{"http://e", "broadcasting", false}, // who has it in memory is the only one who would get it
	} {
		c, err := load(t, "EVENTMESH_URL="+test.url, "EVENTMESH_MODE="+test.mode)
		if err != nil {
			t.Fatal(err)
		}
		if got := c.redelivers(); got != test.want {
			t.Errorf("%s, %s: got %t, want %t", test.url, test.mode, got, test.want)
		}
	}
}
