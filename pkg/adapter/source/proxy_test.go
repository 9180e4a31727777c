package source

import (
	"context"
	"crypto/tls"
	"encoding/pem"
	"io"
	"log"
	"net"
	"net/http"
	"net/http/httptest"
	"net/url"
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/eventing-eventmesh/eventing-eventmesh/pkg/adapter/delivery"
	"github.com/eventing-eventmesh/eventing-eventmesh/pkg/dispatch"
	"github.com/eventing-eventmesh/eventing-eventmesh/pkg/eventmesh"
	"github.com/eventing-eventmesh/eventing-eventmesh/pkg/eventmesh/eventmeshtest"
)

// proxy is one by CONNECT that knows hosts of its own.
type proxy struct {
	hosts map[string]string // addresses by host:port

	mu    sync.Mutex
	asked []string
}

func (p *proxy) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	p.mu.Lock()
	p.asked = append(p.asked, r.Host)
	p.mu.Unlock()
	address, known := p.hosts[r.Host]
	if r.Method != http.MethodConnect || !known {
		w.WriteHeader(http.StatusForbidden)
		return
	}
	to, err := (&net.Dialer{}).DialContext(context.WithoutCancel(r.Context()), "tcp", address)
	if err != nil {
		w.WriteHeader(http.StatusBadGateway)
		return
	}
	from, buffered, err := w.(http.Hijacker).Hijack()
	if err != nil {
		_ = to.Close()
		return
	}
	_, _ = io.WriteString(from, "HTTP/1.1 200 OK\r\n\r\n")
	go func() {
		_, _ = io.Copy(to, buffered)
		_ = to.Close()
	}()
	go func() {
		_, _ = io.Copy(from, to)
		_ = from.Close()
	}()
}

// missing lists those of the hosts that nobody has asked for.
func (p *proxy) missing(hosts ...string) string {
	p.mu.Lock()
	defer p.mu.Unlock()
	for _, host := range hosts {
		if !slices.Contains(p.asked, host) {
			return "the proxy was not asked for " + host
		}
	}
	return ""
}

// serveTLS starts a server whose certificate is for example.com, below it, and 127.0.0.1.
func serveTLS(t *testing.T, h http.Handler, newest uint16) (address, authority string) {
	t.Helper()
	server := httptest.NewUnstartedServer(h)
	server.Config.ErrorLog = log.New(io.Discard, "", 0) // of handshakes that are meant to fail
	server.TLS = &tls.Config{MaxVersion: newest}
	server.StartTLS()
	t.Cleanup(server.Close)
	return server.Listener.Addr().String(), string(pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: server.Certificate().Raw}))
}

func TestTLSIsTheSameThroughAProxy(t *testing.T) {
	accept := http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(http.StatusAccepted) })
	sink, authority := serveTLS(t, accept, tls.VersionTLS13)
	old, _ := serveTLS(t, accept, tls.VersionTLS12)
	hosts := &proxy{hosts: map[string]string{
		"example.com:443": sink, "a.example.com:443": sink, "other.example:443": sink, "127.0.0.1:443": sink, "127.0.0.2:443": sink,
		"xn--bcher-kva.example.com:443": sink, "old.example.com:443": old,
	}}
	plain := answering(t, hosts.ServeHTTP)
	secure, _ := serveTLS(t, hosts, tls.VersionTLS13)
	const unknown, wrong, version = "unknown authority", "certificate is valid for", "protocol version"
	for _, test := range []struct {
		host, trust, version, want string
	}{
		{"example.com", authority, "", ""},
		{"a.example.com", authority, "", ""},
		{"bücher.example.com", authority, "", ""},
		{"127.0.0.1", authority, "", ""},
		{"example.com", "", "", unknown},
		{"127.0.0.1", "", "", unknown},
		{"other.example", authority, "", wrong},
		{"127.0.0.2", authority, "", wrong},
		{"example.com", "no PEM", "", "reading certificates to trust"},
		{"old.example.com", authority, "", version},
		{"old.example.com", authority, "1.2", ""},
	} {
		for scheme, through := range map[string]string{"http": plain, "https": "https://" + secure} {
			t.Run(strings.Join([]string{test.host, test.want, test.version, scheme}, "/"), func(t *testing.T) {
				t.Setenv("TLS_MIN_VERSION", test.version)
				d := destination(t, "https://"+test.host, trusting(&test.trust), proxied(t, through))
				_, err := d.Send(t.Context(), sample("a"))
				switch {
				case test.want == "" && err != nil:
					t.Error(err)
				case test.want != "" && (err == nil || !strings.Contains(err.Error(), test.want) && (scheme == "http" || test.trust == authority)):
					t.Errorf("got %v, want %q in an error", err, test.want)
				}
			})
		}
	}
}

// proxied makes a destination use a proxy, which it would have from the environment of its process.
func proxied(t *testing.T, address string) func(*dispatch.HTTPOptions) {
	t.Helper()
	u, err := url.Parse(address)
	if err != nil {
		t.Fatal(err)
	}
	return func(o *dispatch.HTTPOptions) { o.Proxy = http.ProxyURL(u) }
}

// trusting makes a destination trust as the source does, with the authorities that K_CA_CERTS has at the time.
func trusting(caCerts *string) func(*dispatch.HTTPOptions) {
	return func(o *dispatch.HTTPOptions) {
		o.TLS = func() (*tls.Config, error) { return delivery.Trusted(caCerts) }
	}
}

// TestTrustChanges is about bundles that are replaced while the source runs.
func TestTrustChanges(t *testing.T) {
	sink, authority := serveTLS(t, http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Connection", "close")
		w.WriteHeader(http.StatusAccepted)
	}), tls.VersionTLS13)
	through := answering(t, (&proxy{hosts: map[string]string{"example.com:443": sink}}).ServeHTTP)
	for _, test := range []struct{ name, url, proxy string }{
		{"direct", "https://" + sink, ""}, {"through a proxy", "https://example.com", through},
	} {
		t.Run(test.name, func(t *testing.T) {
			caCerts := ""
			change := []func(*dispatch.HTTPOptions){trusting(&caCerts)}
			if test.proxy != "" {
				change = append(change, proxied(t, test.proxy))
			}
			d := destination(t, test.url, change...)
			for _, now := range []string{"", authority, ""} {
				caCerts = now
				if _, err := d.Send(t.Context(), sample("a")); (err == nil) != (now == authority) {
					t.Errorf("got %v, with the authority trusted: %t", err, now == authority)
				}
			}
		})
	}
}

func TestHTTPThroughAProxyOfTLS(t *testing.T) {
	var asked string
	address, authority := serveTLS(t, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		asked = r.URL.String()
		w.WriteHeader(http.StatusAccepted)
	}), tls.VersionTLS13)
	d := destination(t, "http://sink.example/path", trusting(&authority), proxied(t, "https://"+address))
	if _, err := d.Send(t.Context(), sample("a")); err != nil || asked != "http://sink.example/path" {
		t.Errorf("got %v, the proxy was asked for %q", err, asked)
	}
}

// TestProcessGoesThroughAProxy is about all connections of a source that use the proxy of its environment.
func TestProcessGoesThroughAProxy(t *testing.T) {
	t.Parallel()
	url := eventmeshtest.New(t, eventmeshtest.Options{}).GRPCURL()
	kept, dead := newSink(t), newSink(t)
	kept.answers(always(http.StatusBadRequest))
	sink, authority := serveTLS(t, kept, tls.VersionTLS13)
	place, other := serveTLS(t, dead, tls.VersionTLS13)
	p := &proxy{hosts: map[string]string{
		"mesh.example:10205": strings.TrimPrefix(url, "grpc://"), "sink.example.com:443": sink, "dead.example.com:443": place,
	}}
	through := answering(t, p.ServeHTTP)
	s := run(t, "EVENTMESH_URL=grpc://mesh.example", "K_SINK=https://sink.example.com", "EVENTMESH_DEAD_LETTER_SINK=https://dead.example.com",
		"K_CA_CERTS="+authority+other, "HTTPS_PROXY="+through)
	s.awaitReadiness(t, http.StatusOK)
	publish(t, connect(t, url, eventmesh.Credentials{}), sample("a"))
	if got := dead.await(t, "a"); got.Extensions()["knativeerrorcode"] != "400" {
		t.Errorf("got %v, want the refusal of the sink", got)
	}
	if missing := p.missing("mesh.example:10205", "sink.example.com:443", "dead.example.com:443"); missing != "" {
		t.Error(missing)
	}
}
