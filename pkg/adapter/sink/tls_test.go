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

	"github.com/eventing-eventmesh/eventing-eventmesh/internal/ingresstest"
	"github.com/eventing-eventmesh/eventing-eventmesh/pkg/eventmesh/eventmeshtest"
)

func TestTLSFiles(t *testing.T) {
	ca := ingresstest.NewAuthority(t)
	cert, key, _ := ca.Issue(t)
	_, otherKey, _ := ca.Issue(t)
	files := ingresstest.NewSecretVolume(t, map[string][]byte{"tls.crt": cert, "tls.key": key, "other.key": otherKey, "none": []byte("hunter2")})
	certFile, keyFile := "TLS_CERT_FILE="+files.Path("tls.crt"), "TLS_KEY_FILE="+files.Path("tls.key")
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
		{"key of another certificate", []string{certFile, "TLS_KEY_FILE=" + files.Path("other.key")}, []string{"TLS_CERT_FILE", "TLS_KEY_FILE", "does not match"}},
		{"certificate that is none", []string{"TLS_CERT_FILE=" + files.Path("none"), keyFile}, []string{"TLS_CERT_FILE", files.Path("none"), "PEM"}},
		{"key that is none", []string{certFile, "TLS_KEY_FILE=" + files.Path("none")}, []string{"TLS_KEY_FILE", files.Path("none"), "PEM"}},
		{"directory", []string{"TLS_CERT_FILE=" + files.Dir, keyFile}, []string{"TLS_CERT_FILE", files.Dir, "directory"}},
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

func TestServesHTTPS(t *testing.T) {
	ca := ingresstest.NewAuthority(t)
	cert, key, serial := ca.Issue(t)
	files := ingresstest.NewSecretVolume(t, map[string][]byte{"tls.crt": cert, "tls.key": key})
	server := eventmeshtest.New(t, eventmeshtest.Options{Storage: eventmeshtest.RocketMQ})
	s := start(t, "EVENTMESH_URL="+server.GRPCURL(), "EVENTMESH_TOPIC=orders", "TLS_CERT_FILE="+files.Path("tls.crt"), "TLS_KEY_FILE="+files.Path("tls.key"))
	host := strings.TrimPrefix(s.url, "http://")
	s.url = "https://" + host

	for _, c := range []struct {
		name  string
		http2 bool
		proto string
	}{{"HTTP/1.1", false, "HTTP/1.1"}, {"HTTP/2", true, "HTTP/2.0"}} {
		t.Run(c.name, func(t *testing.T) {
			transport := &http.Transport{TLSClientConfig: &tls.Config{RootCAs: ca.Pool()}, ForceAttemptHTTP2: c.http2}
			client := &http.Client{Transport: transport}
			t.Cleanup(client.CloseIdleConnections)
			eventually(t, func() string {
				if got := ingresstest.Send(t, client, http.MethodGet, s.url+"/readiness", nil, nil); got.Status != http.StatusOK {
					return got.Body
				}
				return ""
			})
			if got := ingresstest.Send(t, client, http.MethodPost, s.url, ingresstest.Binary(), strings.NewReader("{}")); got.Status != http.StatusAccepted || got.Proto != c.proto {
				t.Errorf("got %d by %s, want 202 by %s", got.Status, got.Proto, c.proto)
			}
		})
	}

	// In each of many handshakes at once the certificate is whole, and in the end it is the new one.
	cert, key, newer := ca.Issue(t)
	files.Replace(t, map[string][]byte{"tls.crt": cert, "tls.key": key})
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
		conn, err := (&tls.Dialer{Config: &tls.Config{RootCAs: ca.Pool(), MaxVersion: c.version}}).DialContext(t.Context(), "tcp", host)
		if (err == nil) != c.works {
			t.Errorf("%s: got %v, want that it works: %t", c.name, err, c.works)
		}
		if err == nil {
			_ = conn.Close()
		}
	}
	if got := ingresstest.Send(t, http.DefaultClient, http.MethodPost, "http://"+host, ingresstest.Binary(), strings.NewReader("{}")); got.Status != http.StatusBadRequest || !strings.Contains(got.Body, "HTTPS") {
		t.Errorf("without TLS: got %d %q, want 400", got.Status, got.Body)
	}
	if got := len(server.Published("orders")); got != 2 {
		t.Errorf("got %d events in EventMesh, want 2", got)
	}
}

// serialOf returns the serial number of the certificate that a host shows.
func serialOf(t *testing.T, host string, ca *ingresstest.Authority) int64 {
	t.Helper()
	conn, err := (&tls.Dialer{Config: &tls.Config{RootCAs: ca.Pool()}}).DialContext(t.Context(), "tcp", host)
	if err != nil {
		t.Error(err)
		return 0
	}
	defer func() { _ = conn.Close() }()
	return conn.(*tls.Conn).ConnectionState().PeerCertificates[0].SerialNumber.Int64()
}

// Broken connections differ in their addresses, and must not flood the log for all that.
func TestBrokenConnectionsAreSampledInTheLog(t *testing.T) {
	ca := ingresstest.NewAuthority(t)
	cert, key, _ := ca.Issue(t)
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
