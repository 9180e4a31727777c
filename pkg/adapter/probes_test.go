package adapter

import (
	"errors"
	"io"
	"net"
	"net/http"
	"strconv"
	"strings"
	"testing"
)

func TestProbes(t *testing.T) {
	var reason error
	listener, err := Listen(t.Context(), 0)
	if err != nil {
		t.Fatal(err)
	}
	_, port, err := net.SplitHostPort(listener.Addr().String())
	if err != nil || port == "0" {
		t.Fatalf("listening on %s, error %v, want a port of the kernel's choice", listener.Addr(), err)
	}
	stop := Probes{Ready: func() error { return reason }}.Serve(listener)
	client := &http.Client{Transport: &http.Transport{DisableKeepAlives: true}}
	get := func(path string) (int, string) {
		response, err := client.Get("http://" + net.JoinHostPort("127.0.0.1", port) + path)
		if err != nil {
			t.Fatal(err)
		}
		defer func() { _ = response.Body.Close() }()
		body, err := io.ReadAll(response.Body)
		if err != nil {
			t.Fatal(err)
		}
		return response.StatusCode, string(body)
	}
	tests := []struct {
		path   string
		reason error
		status int
		body   string
	}{
		{"/health", nil, http.StatusOK, "ok"},
		{"/health", errors.New("not connected"), http.StatusOK, "ok"},
		{"/readiness", nil, http.StatusOK, "ready"},
		{"/readiness", errors.New("not connected: because"), http.StatusServiceUnavailable, "not connected: because"},
		{"/", nil, http.StatusNotFound, "404"},
		{"/readiness/", nil, http.StatusNotFound, "404"},
	}
	for _, test := range tests {
		reason = test.reason
		if status, body := get(test.path); status != test.status || !strings.HasPrefix(body, test.body) {
			t.Errorf("%s, ready %v: got %d %q, want %d %q", test.path, test.reason, status, body, test.status, test.body)
		}
	}
	if err := stop(); err != nil {
		t.Errorf("stopping: %v", err)
	}
	if conn, err := (&net.Dialer{}).DialContext(t.Context(), "tcp", net.JoinHostPort("127.0.0.1", port)); err == nil {
		_ = conn.Close()
		t.Error("the port is open after the end")
	}
}

func TestListenOnATakenPort(t *testing.T) {
	taken, err := Listen(t.Context(), 0)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = taken.Close() }()
	port := taken.Addr().(*net.TCPAddr).Port
	if _, err := Listen(t.Context(), port); err == nil || !strings.Contains(err.Error(), "listening on port "+strconv.Itoa(port)) {
		t.Errorf("got %v, want an error that names port %d", err, port)
	}
}
