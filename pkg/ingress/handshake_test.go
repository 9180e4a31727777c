package ingress

import (
	"crypto/tls"
	"io"
	"net"
	"net/http"
	"strings"
	"testing"

	"github.com/eventing-eventmesh/eventing-eventmesh/internal/ingresstest"
)

// granted tells in which way a header does not grant what Knative's ingress grants, or "".
func granted(header http.Header) string {
	for name, want := range map[string]string{"Allow": "POST, OPTIONS", "WebHook-Allowed-Origin": "*", "WebHook-Allowed-Rate": "*"} {
		if got := header.Values(name); len(got) != 1 || got[0] != want {
			return name + ": " + strings.Join(got, "; ") + ", want " + want
		}
	}
	return ""
}

func TestHandshake(t *testing.T) {
	question := http.Header{"Webhook-Request-Origin": {"sender.example"}, "Webhook-Request-Rate": {"120"}}
	for _, c := range []struct {
		name, path string
		header     http.Header
		tokens     bool
		status     int
	}{
		{name: "topic", path: "/topics/orders", header: question, status: 200},
		{name: "request", path: "/requests/orders", header: question, status: 200},
		{name: "root", path: "/", header: question, status: 200},
		{name: "without an origin", path: "/topics/orders", status: 200},
		{name: "from the kubelet", path: "/topics/orders", header: http.Header{"User-Agent": {"kube-probe/1.34"}}, status: 200},
		{name: "closed topic", path: "/topics/closed", header: question, status: 403},
		{name: "unknown path", path: "/topic/orders", header: question, status: 404},
		{name: "probe", path: "/readiness", header: question, status: 405},
		{name: "without a token", path: "/topics/orders", header: question, tokens: true, status: 200},
		{name: "closed topic without a token", path: "/topics/closed", header: question, tokens: true, status: 200},
		{name: "unknown path without a token", path: "/topic/orders", header: question, tokens: true, status: 404},
	} {
		t.Run(c.name, func(t *testing.T) {
			p := &fake{}
			server, _ := serve(t, p, func(o *Options) {
				if c.tokens {
					o.Authenticate = func(*http.Request) error { return Refusef(http.StatusUnauthorized, "no token") }
				}
			})
			got := ingresstest.Send(t, server.Client(), http.MethodOptions, server.URL+c.path, c.header, nil)
			if complaint := granted(got.Header); got.Status != c.status || (complaint == "") != (c.status == http.StatusOK) {
				t.Errorf("got %d %q, %s; want %d", got.Status, got.Body, complaint, c.status)
			}
			if got.Status == http.StatusOK && got.Body != "" {
				t.Errorf("got body %q, want none", got.Body)
			}
			if events, _ := p.taken(); len(events) > 0 {
				t.Error("an event was published")
			}
		})
	}
}

func TestHandshakeOverEveryProtocol(t *testing.T) {
	ca := ingresstest.NewAuthority(t)
	cert, key, _ := ca.Issue(t)
	pair, err := tls.X509KeyPair(cert, key)
	if err != nil {
		t.Fatal(err)
	}
	trust := &tls.Config{RootCAs: ca.Pool()}
	var h2c http.Protocols
	h2c.SetUnencryptedHTTP2(true)
	for _, c := range []struct {
		name, scheme string
		transport    *http.Transport
		proto        string
	}{
		{"HTTP/1.1", "http", &http.Transport{}, "HTTP/1.1"},
		{"HTTP/2", "http", &http.Transport{Protocols: &h2c}, "HTTP/2.0"},
		{"HTTP/1.1 with TLS", "https", &http.Transport{TLSClientConfig: trust}, "HTTP/1.1"},
		{"HTTP/2 with TLS", "https", &http.Transport{TLSClientConfig: trust, ForceAttemptHTTP2: true}, "HTTP/2.0"},
	} {
		t.Run(c.name, func(t *testing.T) {
			var secure *tls.Config
			if c.scheme == "https" {
				secure = &tls.Config{Certificates: []tls.Certificate{pair}}
			}
			server, _ := serve(t, &fake{}, func(o *Options) { o.TLS = secure })
			client := &http.Client{Transport: c.transport}
			t.Cleanup(client.CloseIdleConnections)
			got := ingresstest.Send(t, client, http.MethodOptions, server.URL, http.Header{"Webhook-Request-Origin": {"sender.example"}}, nil)
			if complaint := granted(got.Header); got.Status != http.StatusOK || complaint != "" || got.Proto != c.proto {
				t.Errorf("got %s %d, %s; want %s 200", got.Proto, got.Status, complaint, c.proto)
			}
			if got := ingresstest.Send(t, client, http.MethodPost, server.URL, ingresstest.Binary(), strings.NewReader("{}")); got.Status != http.StatusAccepted {
				t.Errorf("the event afterwards: got %d %q, want 202", got.Status, got.Body)
			}
		})
	}
}

// A sender may say whom to call when it is allowed to send: whoever can reach the sink could so make it call others.
func TestHandshakeCallsNobody(t *testing.T) {
	listener, err := (&net.ListenConfig{}).Listen(t.Context(), "tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	server, _ := serve(t, &fake{})
	conn := ingresstest.Dial(t, server.host)
	_, err = io.WriteString(conn, "OPTIONS / HTTP/1.1\r\nHost: sink\r\nWebHook-Request-Origin: sender.example\r\n"+
		"WebHook-Request-Callback: http://"+listener.Addr().String()+"/\r\nContent-Length: 0\r\nConnection: close\r\n\r\n")
	if err != nil {
		t.Fatal(err)
	}
	answer, err := io.ReadAll(conn) // to the end of the connection, and with it of all that is done for its request
	if err != nil {
		t.Fatal(err)
	}
	for _, want := range []string{"HTTP/1.1 200 OK\r\n", "\r\nAllow: POST, OPTIONS\r\n", "\r\nWebhook-Allowed-Origin: *\r\n", "\r\nWebhook-Allowed-Rate: *\r\n"} {
		if !strings.Contains(string(answer), want) {
			t.Errorf("got %q, want %q", answer, want)
		}
	}
	own := ingresstest.Dial(t, listener.Addr().String()) // is the first that the listener accepts, unless the sink has called
	first, err := listener.Accept()
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _, _ = first.Close(), listener.Close() }()
	if first.RemoteAddr().String() != own.LocalAddr().String() {
		t.Errorf("the callback was called from %s", first.RemoteAddr())
	}
}
