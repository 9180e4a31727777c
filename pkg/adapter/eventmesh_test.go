package adapter

import (
	"crypto/tls"
	"crypto/x509"
	"encoding/pem"
	"errors"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"go.uber.org/zap"
	"go.uber.org/zap/zapcore"
	"go.uber.org/zap/zaptest/observer"

	"github.com/eventing-eventmesh/eventing-eventmesh/internal/ingresstest"
	"github.com/eventing-eventmesh/eventing-eventmesh/pkg/eventmesh"
	transport "github.com/eventing-eventmesh/eventing-eventmesh/pkg/eventmesh/http"
)

// write returns the path of a new file.
func write(t *testing.T, content string) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), "file")
	if err := os.WriteFile(path, []byte(content), 0o600); err != nil {
		t.Fatal(err)
	}
	return path
}

func logger() *zap.SugaredLogger { return zap.NewNop().Sugar() }

func TestAddresses(t *testing.T) {
	tests := []struct {
		name, value, want, refused string
	}{
		{name: "one", value: "grpc://mesh:1", want: "grpc://mesh:1"},
		{name: "default ports", value: "tcp://a, tcps://b", want: "tcp://a:10000 tcps://b:10000"},
		{name: "HTTP", value: "http://a,https://b:443", want: "http://a:10105 https://b:443"},
		{name: "unknown scheme", value: "amqp://mesh", refused: `scheme "amqp"`},
		{name: "no host", value: "grpc://:10205", refused: "names no host"},
		{name: "password", value: "grpc://me:" + secret + "@mesh", refused: "holds credentials"},
		{name: "not a URL", value: "grpc://me:" + secret + "@[", refused: "is no URL such as"},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			var a Addresses
			err := a.Decode(test.value)
			if test.refused != "" {
				if err == nil || !strings.Contains(err.Error(), test.refused) || strings.Contains(err.Error(), secret) {
					t.Fatalf("got %v, want %q in it, and no secret", err, test.refused)
				}
				return
			}
			if err != nil {
				t.Fatal(err)
			}
			var got []string
			for _, address := range a {
				got = append(got, address.String())
			}
			if strings.Join(got, " ") != test.want {
				t.Errorf("got %v, want %s", got, test.want)
			}
		})
	}
}

func TestClientConfig(t *testing.T) {
	addresses := Addresses{{Scheme: "grpcs", Host: "mesh:10205"}}
	e := EventMesh{URL: addresses, ClientID: "replica-1", Username: "me", Password: secret, Env: "E", IDC: "I", Subsystem: "S"}
	got, err := e.ClientConfig("g", logger())
	if err != nil {
		t.Fatal(err)
	}
	if got.ClientID != "replica-1" || got.Group != "g" || got.Env != "E" || got.IDC != "I" || got.Subsystem != "S" || got.TLS != nil ||
		len(got.Addresses) != 1 || got.Addresses[0] != addresses[0] {
		t.Errorf("got client %q, group %q, env %q, IDC %q, subsystem %q, TLS %v, addresses %v",
			got.ClientID, got.Group, got.Env, got.IDC, got.Subsystem, got.TLS, got.Addresses)
	}
	c, err := got.Credentials()
	if err != nil || c.Username != "me" || c.Password != secret {
		t.Errorf("got credentials of %v, error %v", c, err)
	}
}

func TestClientConfigDefaultClientID(t *testing.T) {
	host, err := os.Hostname()
	if err != nil {
		t.Fatal(err)
	}
	got, err := EventMesh{}.ClientConfig("g", logger())
	if err != nil || got.ClientID != host {
		t.Errorf("got %q, error %v, want %q", got.ClientID, err, host)
	}
}

func TestClientConfigRefuses(t *testing.T) {
	missing := filepath.Join(t.TempDir(), "missing")
	tests := []struct {
		name string
		e    EventMesh
		want []string
	}{
		{"two passwords", EventMesh{Password: secret, PasswordFile: write(t, "x")}, []string{"EVENTMESH_PASSWORD and EVENTMESH_PASSWORD_FILE", "want one of them"}},
		{"password file missing", EventMesh{PasswordFile: missing}, []string{"EVENTMESH_PASSWORD_FILE: ", missing}},
		{"password file a folder", EventMesh{PasswordFile: t.TempDir()}, []string{"EVENTMESH_PASSWORD_FILE: "}},
		{"CA file missing", EventMesh{CAFile: missing}, []string{"EVENTMESH_CA_FILE: ", missing}},
		{"CA file no PEM", EventMesh{CAFile: write(t, secret)}, []string{"EVENTMESH_CA_FILE is ", "certificates in PEM"}},
		{"token file missing", EventMesh{TokenFile: missing}, []string{"EVENTMESH_TOKEN_FILE: ", missing}},
		{"certificate without a key", EventMesh{CertFile: missing}, []string{"EVENTMESH_CERT_FILE", "EVENTMESH_KEY_FILE", "want both"}},
		{"key without a certificate", EventMesh{KeyFile: missing}, []string{"EVENTMESH_CERT_FILE", "EVENTMESH_KEY_FILE", "want both"}},
		{"certificate missing", EventMesh{CertFile: missing, KeyFile: missing}, []string{"EVENTMESH_CERT_FILE and EVENTMESH_KEY_FILE: ", missing}},
		{"certificate no PEM", EventMesh{CertFile: write(t, secret), KeyFile: write(t, secret)}, []string{"EVENTMESH_CERT_FILE and EVENTMESH_KEY_FILE: "}},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			test.e.ClientID = "c"
			_, err := test.e.ClientConfig("g", logger())
			for _, want := range test.want {
				if err == nil || !strings.Contains(err.Error(), want) {
					t.Fatalf("got %v, want %q in it", err, want)
				}
			}
			if strings.Contains(err.Error(), secret) {
				t.Errorf("%q holds a secret", err)
			}
		})
	}
}

func TestPasswordFileIsReadAgain(t *testing.T) {
	path := write(t, "first\n")
	got, err := EventMesh{Username: "me", PasswordFile: path}.ClientConfig("g", logger())
	if err != nil {
		t.Fatal(err)
	}
	for _, want := range []string{"first", " second "} {
		if err := os.WriteFile(path, []byte(want+"\r\n"), 0o600); err != nil {
			t.Fatal(err)
		}
		if c, err := got.Credentials(); err != nil || c.Password != want {
			t.Errorf("got %q, error %v, want %q", c.Password, err, want)
		}
	}
	if err := os.Remove(path); err != nil {
		t.Fatal(err)
	}
	if _, err := got.Credentials(); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("got %v without the file", err)
	}
}

func TestTokenFileIsReadAgain(t *testing.T) {
	path := write(t, "first\n")
	got, err := EventMesh{TokenFile: path}.ClientConfig("g", logger())
	if err != nil {
		t.Fatal(err)
	}
	for _, want := range []string{"first", "second"} {
		if err := os.WriteFile(path, []byte(" "+want+"\r\n"), 0o600); err != nil {
			t.Fatal(err)
		}
		if c, err := got.Credentials(); err != nil || c.Token != want {
			t.Errorf("got %q, error %v, want %q", c.Token, err, want)
		}
	}
}

// An EventMesh that asks for a certificate gets the one that is there at the moment.
func TestClientCertificate(t *testing.T) {
	authority := ingresstest.NewAuthority(t)
	var shown []*x509.Certificate
	server := httptest.NewUnstartedServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		shown = r.TLS.PeerCertificates
		_, _ = io.WriteString(w, "[]")
	}))
	server.TLS = &tls.Config{ClientAuth: tls.RequireAndVerifyClientCert, ClientCAs: authority.Pool(), MinVersion: tls.VersionTLS12}
	server.StartTLS()
	defer server.Close()
	block := pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: server.Certificate().Raw})
	e := EventMesh{CAFile: write(t, string(block)), CertFile: write(t, ""), KeyFile: write(t, "")}
	address := eventmesh.Address{Scheme: "https", Host: server.Listener.Addr().String()}
	for range 2 {
		certificate, key, serial := authority.Issue(t)
		for path, content := range map[string][]byte{e.CertFile: certificate, e.KeyFile: key} {
			if err := os.WriteFile(path, content, 0o600); err != nil {
				t.Fatal(err)
			}
		}
		c, err := e.ClientConfig("g", logger())
		if err != nil {
			t.Fatal(err)
		}
		p, err := transport.Transport{}.OpenPublisher(t.Context(), address, eventmesh.Client{TLS: c.TLS})
		if err != nil {
			t.Fatal(err)
		}
		_ = p.Close()
		if len(shown) == 0 || shown[0].SerialNumber.Int64() != serial {
			t.Errorf("got %d certificates, want the one with serial %d", len(shown), serial)
		}
	}
	if _, err := (transport.Transport{}).OpenPublisher(t.Context(), address, eventmesh.Client{}); !errors.Is(err, eventmesh.ErrNotConnected) {
		t.Errorf("without a certificate: got %v", err)
	}
}

func TestCAFile(t *testing.T) {
	server := httptest.NewTLSServer(http.NotFoundHandler())
	defer server.Close()
	block := pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: server.Certificate().Raw})
	got, err := EventMesh{CAFile: write(t, string(block))}.ClientConfig("g", logger())
	if err != nil {
		t.Fatal(err)
	}
	client := &http.Client{Transport: &http.Transport{TLSClientConfig: got.TLS, DisableKeepAlives: true}}
	response, err := client.Get(server.URL)
	if err != nil {
		t.Fatalf("the certificate of the file is not trusted: %v", err)
	}
	_ = response.Body.Close()
}

func TestEachChangeOfConnectionIsLogged(t *testing.T) {
	address := eventmesh.Address{Scheme: "tcp", Host: "mesh:10000"}
	tests := []struct {
		name   string
		status eventmesh.Status
		level  zapcore.Level
		want   string
	}{
		{"connected", eventmesh.Status{Connected: true, Address: address}, zap.InfoLevel, "connected to EventMesh"},
		{"closed by ourselves", eventmesh.Status{Address: address, Err: eventmesh.ErrClosed}, zap.InfoLevel, ""},
		{"refused", eventmesh.Status{Address: address, Err: eventmesh.ErrUnauthorized}, zap.WarnLevel, "not connected to EventMesh"},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			core, logs := observer.New(zap.DebugLevel)
			config, err := EventMesh{}.ClientConfig("g", zap.New(core).Sugar())
			if err != nil {
				t.Fatal(err)
			}
			config.Notify(test.status)
			all := logs.All()
			if test.want == "" && len(all) == 0 {
				return
			}
			if len(all) != 1 || all[0].Message != test.want || all[0].Level != test.level || all[0].ContextMap()["address"] != "tcp://mesh:10000" {
				t.Fatalf("got %+v, want one line %q", all, test.want)
			}
			if test.level == zap.WarnLevel && all[0].ContextMap()["error"] != test.status.Err.Error() {
				t.Errorf("got error %v", all[0].ContextMap()["error"])
			}
		})
	}
}
