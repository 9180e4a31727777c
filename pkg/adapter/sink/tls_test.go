package sink

import (
	"crypto/tls"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"go.uber.org/zap"
	"go.uber.org/zap/zapcore"
	"go.uber.org/zap/zaptest/observer"

	"github.com/eventing-eventmesh/eventing-eventmesh/pkg/eventmesh/eventmeshtest"
)

func TestTLSFiles(t *testing.T) {
	ca := newAuthority(t)
	cert, key, _ := ca.issue(t)
	_, otherKey, _ := ca.issue(t)
	files := newSecretVolume(t, map[string][]byte{"tls.crt": cert, "tls.key": key, "other.key": otherKey, "none": []byte("hunter2")})
	certFile, keyFile := "TLS_CERT_FILE="+files.path("tls.crt"), "TLS_KEY_FILE="+files.path("tls.key")
	for _, c := range []struct {
		name        string
		environment []string
		want        []string // nil: no error
	}{
		{"pair", []string{certFile, keyFile}, nil},
		{"TLS 1.2", []string{certFile, keyFile, "TLS_MIN_VERSION=1.2"}, nil},
		{"no key", []string{certFile}, []string{"TLS_KEY_FILE is missing"}},
		{"no certificate", []string{keyFile}, []string{"TLS_CERT_FILE is missing"}},
		{"no certificate file", []string{certFile + "2", keyFile}, []string{"TLS_CERT_FILE", "tls.crt2", "no such file"}},
		{"no key file", []string{certFile, keyFile + "2"}, []string{"TLS_KEY_FILE", "tls.key2", "no such file"}},
		{"key of another certificate", []string{certFile, "TLS_KEY_FILE=" + files.path("other.key")}, []string{"TLS_CERT_FILE", "TLS_KEY_FILE", "does not match"}},
		{"certificate that is none", []string{"TLS_CERT_FILE=" + files.path("none"), keyFile}, []string{"TLS_CERT_FILE", files.path("none"), "PEM"}},
		{"key that is none", []string{certFile, "TLS_KEY_FILE=" + files.path("none")}, []string{"TLS_KEY_FILE", files.path("none"), "PEM"}},
		{"directory", []string{"TLS_CERT_FILE=" + files.dir, keyFile}, []string{"TLS_CERT_FILE", files.dir, "directory"}},
		{"bad version", []string{certFile, keyFile, "TLS_MIN_VERSION=1.1"}, []string{"TLS_MIN_VERSION", "1.1", "1.2"}},
		{"no version left", []string{certFile, keyFile, "TLS_MAX_VERSION=1.2"}, []string{"TLS_MAX_VERSION", "TLS_MIN_VERSION"}},
	} {
		t.Run(c.name, func(t *testing.T) {
			_, err := load(t, append([]string{"EVENTMESH_URL=grpc://e", "EVENTMESH_TOPIC=a"}, c.environment...)...)
			if c.want == nil {
				if err != nil {
					t.Errorf("got %v, want no error", err)
				}
				return
			}
			if err == nil {
				t.Fatal("got no error")
			}
			for _, want := range c.want {
				if !strings.Contains(err.Error(), want) {
					t.Errorf("got %q, want %q in it", err, want)
				}
			}
			if strings.Contains(err.Error(), "\n") || strings.Contains(err.Error(), secret) {
				t.Errorf("got %q, want one line without what is in a file", err)
			}
		})
	}
}

func TestCertificateIsReadAgain(t *testing.T) {
	ca := newAuthority(t)
	issue := func() (map[string][]byte, int64) {
		cert, key, serial := ca.issue(t)
		return map[string][]byte{"tls.crt": cert, "tls.key": key}, serial
	}
	first, serial := issue()
	files := newSecretVolume(t, first)
	core, logs := observer.New(zapcore.DebugLevel)
	now := time.Now()
	c := &certificate{certFile: files.path("tls.crt"), keyFile: files.path("tls.key"), logger: zap.New(core).Sugar(), now: func() time.Time { return now }}
	if err := c.load(); err != nil {
		t.Fatal(err)
	}
	check := func(what string, want int64, failures, renewals int) {
		t.Helper()
		pair, err := c.get(nil)
		if err != nil {
			t.Fatal(err)
		}
		if got := pair.Leaf.SerialNumber.Int64(); got != want {
			t.Errorf("%s: got certificate %d, want %d", what, got, want)
		}
		if got := logs.FilterMessageSnippet("cannot be used").Len(); got != failures {
			t.Errorf("%s: got %d lines of files that cannot be used, want %d", what, got, failures)
		}
		if got := logs.FilterMessageSnippet("took a new").Len(); got != renewals {
			t.Errorf("%s: got %d lines of new certificates, want %d", what, got, renewals)
		}
	}
	pass := func() { now = now.Add(certificateCheck) }

	check("at the start", serial, 0, 0)
	second, newer := issue()
	files.replace(t, second)
	check("replaced a moment ago", serial, 0, 0)
	pass()
	check("replaced", newer, 0, 1)

	files.replace(t, map[string][]byte{"tls.crt": first["tls.crt"], "tls.key": second["tls.key"]})
	for range 3 {
		pass()
		check("replaced by what does not match", newer, 1, 1)
	}
	files.replace(t, map[string][]byte{})
	for range 3 {
		pass()
		check("gone", newer, 2, 1)
	}
	third, newest := issue()
	files.replace(t, third)
	pass()
	check("there again", newest, 2, 2)
}

func TestServesHTTPS(t *testing.T) {
	ca := newAuthority(t)
	cert, key, serial := ca.issue(t)
	files := newSecretVolume(t, map[string][]byte{"tls.crt": cert, "tls.key": key})
	server := eventmeshtest.New(t, eventmeshtest.Options{Storage: eventmeshtest.RocketMQ})
	s := start(t, "EVENTMESH_URL="+server.GRPCURL(), "EVENTMESH_TOPIC=orders", "TLS_CERT_FILE="+files.path("tls.crt"), "TLS_KEY_FILE="+files.path("tls.key"))
	host := strings.TrimPrefix(s.url, "http://")
	s.url = "https://" + host

	for _, c := range []struct {
		name  string
		http2 bool
		proto string
	}{{"HTTP/1.1", false, "HTTP/1.1"}, {"HTTP/2", true, "HTTP/2.0"}} {
		t.Run(c.name, func(t *testing.T) {
			transport := &http.Transport{TLSClientConfig: &tls.Config{RootCAs: ca.pool()}, ForceAttemptHTTP2: c.http2}
			client := &http.Client{Transport: transport}
			t.Cleanup(client.CloseIdleConnections)
			eventually(t, func() string {
				if got := send(t, client, http.MethodGet, s.url+"/readiness", nil, nil); got.status != http.StatusOK {
					return got.body
				}
				return ""
			})
			if got := send(t, client, http.MethodPost, s.url, binary(), strings.NewReader("{}")); got.status != http.StatusAccepted || got.proto != c.proto {
				t.Errorf("got %d by %s, want 202 by %s", got.status, got.proto, c.proto)
			}
		})
	}

	// In each of many handshakes at once the certificate is whole, and in the end it is the new one.
	cert, key, newer := ca.issue(t)
	files.replace(t, map[string][]byte{"tls.crt": cert, "tls.key": key})
	eventually(t, func() string {
		var mu sync.Mutex
		var seen []int64
		var handshakes sync.WaitGroup
		for range 20 {
			handshakes.Go(func() {
				got := serialOf(t, host, ca)
				mu.Lock()
				defer mu.Unlock()
				seen = append(seen, got)
			})
		}
		handshakes.Wait()
		for _, got := range seen {
			switch got {
			case newer:
			case serial:
				return "the old certificate is still in use"
			default:
				t.Fatalf("got certificate %d", got)
			}
		}
		return ""
	})

	for _, c := range []struct {
		name    string
		version uint16
		works   bool
	}{{"TLS 1.3", tls.VersionTLS13, true}, {"TLS 1.2", tls.VersionTLS12, false}} {
		conn, err := (&tls.Dialer{Config: &tls.Config{RootCAs: ca.pool(), MaxVersion: c.version}}).DialContext(t.Context(), "tcp", host)
		if (err == nil) != c.works {
			t.Errorf("%s: got %v, want that it works: %t", c.name, err, c.works)
		}
		if err == nil {
			_ = conn.Close()
		}
	}
	if got := send(t, http.DefaultClient, http.MethodPost, "http://"+host, binary(), strings.NewReader("{}")); got.status != http.StatusBadRequest || !strings.Contains(got.body, "HTTPS") {
		t.Errorf("without TLS: got %d %q, want 400", got.status, got.body)
	}
	if got := len(server.Published("orders")); got != 2 {
		t.Errorf("got %d events in EventMesh, want 2", got)
	}
}

// serialOf returns the serial number of the certificate that a host shows.
func serialOf(t *testing.T, host string, ca *authority) int64 {
	t.Helper()
	conn, err := (&tls.Dialer{Config: &tls.Config{RootCAs: ca.pool()}}).DialContext(t.Context(), "tcp", host)
	if err != nil {
		t.Error(err)
		return 0
	}
	defer func() { _ = conn.Close() }()
	return conn.(*tls.Conn).ConnectionState().PeerCertificates[0].SerialNumber.Int64()
}

// Broken connections differ in their addresses, and must not flood the log for all that.
func TestBrokenConnectionsAreSampledInTheLog(t *testing.T) {
	ca := newAuthority(t)
	cert, key, _ := ca.issue(t)
	dir := t.TempDir()
	certFile, keyFile := filepath.Join(dir, "tls.crt"), filepath.Join(dir, "tls.key")
	for path, content := range map[string][]byte{certFile: cert, keyFile: key} {
		if err := os.WriteFile(path, content, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	s := start(t, "EVENTMESH_URL=grpc://127.0.0.1:1", "EVENTMESH_TOPIC=orders", "TLS_CERT_FILE="+certFile, "TLS_KEY_FILE="+keyFile)
	const broken = 200
	for range broken {
		conn, err := (&net.Dialer{}).DialContext(t.Context(), "tcp", strings.TrimPrefix(s.url, "http://"))
		if err != nil {
			t.Fatal(err)
		}
		if _, err := conn.Write([]byte("no handshake at all\r\n\r\n")); err != nil {
			t.Fatal(err)
		}
		_ = conn.(*net.TCPConn).CloseWrite()
		_, _ = conn.Read(make([]byte, 1)) // until the server has closed it
		_ = conn.Close()
	}
	if got := s.logs.FilterMessage("a connection failed").Len(); got == 0 || got > broken/2 {
		t.Errorf("got %d lines for %d broken connections, want few", got, broken)
	}
}
