package main

import (
	"encoding/json"
	"fmt"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/eventing-eventmesh/eventing-eventmesh/internal/await"
	"github.com/eventing-eventmesh/eventing-eventmesh/pkg/eventmesh/eventmeshtest"
	"github.com/eventing-eventmesh/eventing-eventmesh/pkg/eventmesh/eventmeshtest/next"
	"github.com/eventing-eventmesh/eventing-eventmesh/pkg/eventmesh/eventmeshtest/releases"
)

// told is a line of the doctor's.
func told(result, name, says string) string {
	return fmt.Sprintf("%-7s  %-11s  %s", result, name, says)
}

// doctor runs it, and wants an exit status and texts.
func doctor(t *testing.T, status int, url string, args []string, wants ...string) string {
	t.Helper()
	out := start(t, "", append([]string{"doctor", "--url", url}, args...)...).exit(status)
	contains(t, out, wants...)
	return out
}

// file returns the path of a new one.
func file(t *testing.T, content string) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), "file")
	if err := os.WriteFile(path, []byte(content), 0o600); err != nil {
		t.Fatal(err)
	}
	return path
}

var rocketMQ = eventmeshtest.Options{Storage: eventmeshtest.RocketMQ, MaxDataCharacters: -1, RecordDeliveries: true}

func TestDoctorOfWhatIsWell(t *testing.T) {
	t.Parallel()
	release := map[string]string{releases.GRPC: "EventMesh 1.12, or", releases.TCP: "EventMesh 1.12, or", releases.HTTP: "after 1.12, by its HTTP API"}
	for _, transport := range releases.Transports {
		t.Run(transport, func(t *testing.T) {
			t.Parallel()
			server := releases.New(t, transport, rocketMQ)
			sink := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
				if e, err := readEvent(r); err != nil || e.Type() != doctorType || e.Source() != doctorSource {
					http.Error(w, fmt.Sprint(e, err), http.StatusBadRequest)
				}
			}))
			defer sink.Close()
			out := doctor(t, 0, server.URL(), []string{"--topic", "orders", "--alone", "--sink", sink.URL},
				told("ok", "server", server.URL()+" answers after "), release[transport], told("ok", "credentials", "EventMesh asks for none"),
				told("ok", "event size", "data of 1 MiB is accepted"), told("ok", "subscribe", "EventMesh has accepted a subscription to orders"),
				told("ok", "publish", "EventMesh has confirmed event "), told("ok", "round trip", "the event came back after "),
				told("unknown", "not told", "EventMesh does not say "), told("ok", "sink", sink.URL+" accepts an event: 200 OK"))
			if strings.Contains(out, told("ok", "storage", "RocketMQ")) == (transport == releases.HTTP) {
				t.Errorf("got\n%s\nwant the storage over gRPC and TCP alone", out)
			}
			if got := server.Subscribers("orders"); got > 0 {
				t.Errorf("%d subscribers are left", got)
			}
		})
	}
}

// Without a topic it publishes and subscribes to nothing.
func TestDoctorDoesNotPublishUnasked(t *testing.T) {
	t.Parallel()
	for _, transport := range releases.Transports {
		t.Run(transport, func(t *testing.T) {
			t.Parallel()
			server := releases.New(t, transport, rocketMQ)
			doctor(t, 0, server.URL(), nil, "whether events come through tells --topic")
			for _, topic := range []string{"no/topic", "eventing-eventmesh-nobody"} {
				if got := len(server.Published(topic)); got > 0 {
					t.Errorf("topic %s has %d events", topic, got)
				}
			}
			if got := server.Deliveries(); len(got) > 0 {
				t.Errorf("got %v, want nothing delivered", got)
			}
		})
	}
}

// TestDoctorTakesNothing: who subscribes to the topic gets every event, those included that are published while the doctor is there and after
// it has gone.
func TestDoctorTakesNothing(t *testing.T) {
	t.Parallel()
	standalone := rocketMQ
	standalone.Storage = eventmeshtest.Standalone
	for _, c := range []struct {
		name, transport string
		options         eventmeshtest.Options
		tells           string
	}{
		{"RocketMQ", releases.GRPC, rocketMQ, told("ok", "round trip", "the event came back after ")},
		{"RocketMQ", releases.TCP, rocketMQ, told("ok", "round trip", "the event came back after ")},
		{"standalone storage", releases.GRPC, standalone, told("note", "round trip", "not made: with standalone storage a topic dies, for all")},
		{"standalone storage", releases.TCP, standalone, told("note", "round trip", "not made: with standalone storage a topic dies, for all")},
		{"the next release", releases.HTTP, rocketMQ, told("note", "round trip", "not made: all who subscribe to a topic over http share its events")},
	} {
		t.Run(c.name+" over "+c.transport, func(t *testing.T) {
			t.Parallel()
			server := releases.New(t, c.transport, c.options)
			const n = 12
			subscriber := start(t, "", "subscribe", "--url", server.URL(), "--topic", "orders", "--group", "shop")
			subscriber.await("subscribed to orders")
			asked := start(t, "", "doctor", "--url", server.URL(), "--topic", "orders")
			for i := range n / 2 {
				start(t, "", "publish", "--url", server.URL(), "--topic", "orders", "--id", fmt.Sprintf("order-%d", i), "x").exit(0)
			}
			contains(t, asked.exit(0), c.tells)
			for i := range n / 2 {
				start(t, "", "publish", "--url", server.URL(), "--topic", "orders", "--id", fmt.Sprintf("order-%d", n/2+i), "x").exit(0)
			}
			for got := map[string]bool{}; len(got) < n; { // besides those of the doctor, which has published again where it was slow
				got[subscriber.await("  id: order-")] = true
			}
			subscriber.signal(syscall.SIGTERM)
			contains(t, subscriber.exit(0), "  type: devmesh.doctor\n", "  source: devmesh-doctor\n")
			for _, d := range server.Deliveries() {
				if !strings.HasPrefix(d.Session.Group, "shop") && strings.HasPrefix(d.ID, "order-") && d.Acknowledged == eventmeshtest.ByClient {
					t.Errorf("the doctor has acknowledged %v", d)
				}
			}
		})
	}
}

func TestDoctorAloneOnStandaloneStorage(t *testing.T) {
	t.Parallel()
	for _, transport := range []string{releases.GRPC, releases.TCP} {
		t.Run(transport, func(t *testing.T) {
			t.Parallel()
			server := releases.New(t, transport, eventmeshtest.Options{})
			doctor(t, 0, server.URL(), []string{"--topic", "mine", "--alone"},
				told("note", "storage", "standalone: "), "→ use it for trying things out", told("ok", "round trip", "the event came back"))
			// Which has the effect that it tells of.
			doctor(t, 1, server.URL(), []string{"--topic", "mine"}, told("failed", "publish", "publishing to mine: topic has no subscriber"), "→ start the subscriber before the publisher")
		})
	}
}

// TestDoctorOfASubscriberThatHasDied: over gRPC EventMesh goes on confirming events until the subscriber's session has expired.
func TestDoctorOfASubscriberThatHasDied(t *testing.T) {
	t.Parallel()
	for transport, want := range map[string]struct {
		status int
		told   string
	}{
		releases.GRPC: {0, ", so that somebody subscribes to it, or has died without leaving"},
		releases.TCP:  {1, "topic has no subscriber"},
	} {
		t.Run(transport, func(t *testing.T) {
			t.Parallel()
			server := releases.New(t, transport, eventmeshtest.Options{})
			subscriber := start(t, "", "subscribe", "--url", server.URL(), "--topic", "orders")
			subscriber.await("subscribed to orders")
			if err := subscriber.cmd.Process.Kill(); err != nil {
				t.Fatal(err)
			}
			<-subscriber.ended
			if transport == releases.TCP {
				await.Until(t, await.Patience, func() string {
					if n := server.Subscribers("orders"); n > 0 {
						return fmt.Sprintf("%d subscribers are left", n)
					}
					return ""
				})
			}
			doctor(t, want.status, server.URL(), []string{"--topic", "orders"}, want.told)
		})
	}
}

// TestDoctorPublishesAgain: RocketMQ gives a new group what comes after its consumer has found the topic.
func TestDoctorPublishesAgain(t *testing.T) {
	late := eventmeshtest.Options{Storage: eventmeshtest.RocketMQ, UnknownTopics: true, DiscoverAfter: time.Hour}
	server := releases.New(t, releases.GRPC, late)
	doctor(t, 1, server.URL(), []string{"--topic", "orders", "--timeout", "8s"},
		told("failed", "round trip", "none of 2 events has come back within 8s"), "→ where the topic is new EventMesh finds it up to a minute later")
	if got := len(server.Published("orders")); got != 2 {
		t.Errorf("got %d events, want 2", got)
	}
}

func TestDoctorOfAMissingTopic(t *testing.T) {
	server := releases.New(t, releases.TCP, eventmeshtest.Options{Storage: eventmeshtest.RocketMQ, UnknownTopics: true})
	doctor(t, 1, server.URL(), []string{"--topic", "orders"}, "failed   subscribe", "topic does not exist: orders", "mqadmin updateTopic", "→ a source that subscribes to it waits until then")
	if got := len(server.Published("orders")); got > 0 {
		t.Errorf("got %d events, want none: the first one makes the topic", got)
	}
}

func TestDoctorOfEventsThatAreTooLarge(t *testing.T) {
	server := releases.New(t, releases.TCP, eventmeshtest.Options{Storage: eventmeshtest.RocketMQ, MaxDataCharacters: 5000})
	doctor(t, 0, server.URL(), nil, told("note", "event size", "EventMesh refuses data of more than 5000 characters"), "→ set eventMesh.server.maxEventSize")
}

func TestDoctorOfCredentials(t *testing.T) {
	t.Parallel()
	guarded := rocketMQ
	guarded.Credentials = map[string]string{"alice": "secret"}
	secret, wrong := file(t, "secret\n"), file(t, "wrong\n")
	as := func(password string) map[string][]string {
		account := []string{"--username", "alice", "--password-file", password}
		return map[string][]string{releases.GRPC: account, releases.TCP: account, releases.HTTP: {"--token-file", password}}
	}
	refused := map[string][]string{
		releases.GRPC: {told("failed", "credentials", "not authorized by EventMesh: code 20"), "→ check user name and password: --username"},
		releases.TCP:  {"failed   server", "it refuses sessions that its security does not allow", "→ where eventMesh.server.security.enabled is true", "check user name and password: --username"},
		releases.HTTP: {"failed   credentials", "not authorized by EventMesh: code 401", "→ check the token: --token-file"},
	}
	for _, transport := range releases.Transports {
		t.Run(transport, func(t *testing.T) {
			t.Parallel()
			server, open := releases.New(t, transport, guarded), releases.New(t, transport, rocketMQ)
			doctor(t, 1, server.URL(), as(wrong)[transport], refused[transport]...)
			doctor(t, 1, server.URL(), nil, refused[transport]...)
			doctor(t, 0, server.URL(), as(secret)[transport], told("ok", "credentials", "accepted, and needed"))
			out := doctor(t, 0, open.URL(), as(secret)[transport], told("ok", "credentials", "accepted, though EventMesh asks for none"))
			if strings.Contains(out, "secret") {
				t.Errorf("%q holds the password", out)
			}
		})
	}
}

func TestDoctorOfARateLimit(t *testing.T) {
	t.Parallel()
	advice := map[string]string{
		releases.GRPC: "→ raise eventMesh.server.http.msgReqnumPerSecond", releases.TCP: "→ raise eventMesh.server.tcp.msgReqnumPerSecond",
		releases.HTTP: "→ raise the topic's limit",
	}
	for _, transport := range releases.Transports {
		t.Run(transport, func(t *testing.T) {
			t.Parallel()
			server := releases.New(t, transport, rocketMQ)
			fault := eventmeshtest.Faults{Refuse: "21"}
			if transport == releases.TCP {
				fault.RefuseDescription = "Tps overload, global flow control"
			}
			server.SetFaults(fault)
			doctor(t, 1, server.URL(), []string{"--topic", "orders"}, "rate limit of EventMesh reached", advice[transport])
		})
	}
}

func TestDoctorOfAWrongPort(t *testing.T) {
	t.Parallel()
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	closed := listener.Addr().String()
	_ = listener.Close()
	server := eventmeshtest.New(t, rocketMQ)
	other := httptest.NewServer(http.NotFoundHandler())
	t.Cleanup(other.Close)
	earlier := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		http.Error(w, `{"retCode":2,"retMsg":"requestCode can't be null, or must be number","resTime":1795828406831}`, http.StatusBadRequest)
	}))
	t.Cleanup(earlier.Close)
	silent, err := net.Listen("tcp", "127.0.0.1:0") // as EventMesh's HTTP port is to a greeting over TCP: it waits for the end of a line
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = silent.Close() })
	const nobody = "→ check host and port, and that scheme and port belong together"
	for name, c := range map[string]struct{ url, want string }{
		"nobody over gRPC": {"grpc://" + closed, nobody},
		"nobody over TCP":  {"tcp://" + closed, nobody},
		"nobody over HTTP": {"http://" + closed, nobody},
		"gRPC at TCP":      {strings.Replace(server.TCPURL(), "tcp:", "grpc:", 1), nobody},
		"TCP at gRPC":      {strings.Replace(server.GRPCURL(), "grpc:", "tcp:", 1), "→ check "},
		"silence at gRPC":  {"grpc://" + silent.Addr().String(), nobody},
		"silence at TCP":   {"tcp://" + silent.Addr().String(), nobody},
		"silence at HTTP":  {"http://" + silent.Addr().String(), nobody},
		"HTTP of 1.12":     {earlier.URL, nobody},
		"HTTP of another":  {other.URL, "→ this is not the HTTP API of the release after 1.12"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			doctor(t, 1, c.url, []string{"--topic", "orders", "--timeout", "3s"}, "failed   server", c.want, "1 of 1 checks failed")
		})
	}
}

func TestDoctorOfTheBridge(t *testing.T) {
	server := next.New(t, next.Options{GRPCAddress: "127.0.0.1:0"})
	doctor(t, 0, server.GRPCURL(), []string{"--topic", "orders", "--alone"}, "by its bridge for gRPC clients of 1.x", told("ok", "publish", "EventMesh has confirmed event "),
		told("note", "round trip", "not made: subscribers over the bridge take events from others"))
	await.Until(t, await.Patience, func() string {
		if got := len(server.Published("orders")); got != 1 {
			return fmt.Sprintf("got %d events, want 1", got)
		}
		return ""
	})
}

func TestDoctorOfASink(t *testing.T) {
	server := releases.New(t, releases.GRPC, rocketMQ)
	sink := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		switch r.URL.Path {
		case "/elsewhere":
			http.Redirect(w, r, "/accepts", http.StatusFound)
		case "/busy":
			http.Error(w, "not now", http.StatusServiceUnavailable)
		case "/accepts":
		default:
			http.NotFound(w, r)
		}
	}))
	defer sink.Close()
	closed := httptest.NewServer(http.NotFoundHandler())
	closed.Close()
	secure := httptest.NewTLSServer(http.NotFoundHandler())
	defer secure.Close()
	for _, c := range []struct{ name, url, says, advice string }{
		{"no such path", sink.URL + "/nothing", " answers 404 Not Found: 404 page not found", "→ nothing takes events at this path"},
		{"a redirect", sink.URL + "/elsewhere", " answers 302 Found", "→ the source follows no redirects"},
		{"busy", sink.URL + "/busy", " answers 503 Service Unavailable: not now", "→ the sink takes no events at the moment"},
		{"not there", closed.URL, "connection refused", "→ nobody listens there"},
		{"not trusted", secure.URL, "x509", "→ the certificate is not one that this machine trusts"},
		{"no such host", "http://nowhere.invalid", "nowhere.invalid", "→ "},
	} {
		t.Run(c.name, func(t *testing.T) {
			doctor(t, 1, server.URL(), []string{"--sink", c.url}, "failed   sink", c.says, c.advice)
		})
	}
}

func TestDoctorInJSON(t *testing.T) {
	server := releases.New(t, releases.TCP, eventmeshtest.Options{})
	out := doctor(t, 1, server.URL()+",tcp://127.0.0.1:1", []string{"--json"})
	results := map[string]int{}
	for line := range strings.SplitSeq(out, "\n") {
		if strings.HasPrefix(line, "devmesh doctor: ") {
			continue
		}
		var c check
		if err := json.Unmarshal([]byte(line), &c); err != nil || c.Check == "" || c.Says == "" {
			t.Errorf("%q is no check: %v", line, err)
		}
		results[c.Result]++
	}
	if want := map[string]int{resultOK: 2, resultNote: 2, resultUnknown: 1, resultFailed: 1}; fmt.Sprint(results) != fmt.Sprint(want) {
		t.Errorf("got %v, want %v", results, want)
	}
}
