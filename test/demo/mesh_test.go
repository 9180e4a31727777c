package main

import (
	"io"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// TestLateEvent delivers to one who gets nothing of the first event, as a new group of RocketMQ may.
func TestLateEvent(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	for name, content := range map[string]string{
		"came":     "",
		"devmesh":  "#!/bin/sh\ncd '" + dir + "'\nif test -e lost; then printf '" + headline + "\\nContext Attributes,\\n  id: 1\\nData,\\n  Hello\\n\\n' >>came; fi\ntouch lost\n",
		"receiver": "#!/bin/sh\nexec tail -n +1 -f '" + dir + "/came'\n",
	} {
		if err := os.WriteFile(filepath.Join(dir, name), []byte(content), 0o700); err != nil {
			t.Fatal(err)
		}
	}
	s := &stage{bin: dir, mesh: &mesh{urls: map[string]string{"gRPC": "grpc://eventmesh.example:10205"}, storage: rocketMQ}, out: newOutput(io.Discard)}
	t.Cleanup(s.close)
	receiver, err := s.start(t.Context(), "receiver", nil, "receiver")
	if err != nil {
		t.Fatal(err)
	}
	if err := s.deliver(t.Context(), "sender", []string{"send"}, receiver, "there", demoEvent{id: "1", data: "Hello"}); err != nil {
		t.Errorf("got %v, want the event sent again until it arrives", err)
	}
	if len(s.arrived) != 1 || !strings.Contains(s.arrived[0], "Hello") {
		t.Errorf("got %q arrived, want one event", s.arrived)
	}
}

func TestMesh(t *testing.T) {
	for _, c := range []struct {
		name       string
		mesh       mesh
		transports string
		rocketMQ   bool
	}{
		{"none", mesh{}, "gRPC TCP HTTP", false},
		{"without URLs", mesh{urls: map[string]string{"gRPC": ""}, storage: rocketMQ}, "gRPC TCP HTTP", false},
		{"one URL", mesh{urls: map[string]string{"gRPC": "", "TCP": "tcp://a:1"}}, "TCP", false},
		{"RocketMQ", mesh{urls: map[string]string{"TCP": "tcp://a:1", "gRPC": "grpc://a:1"}, storage: rocketMQ}, "gRPC TCP", true},
	} {
		t.Run(c.name, func(t *testing.T) {
			if got := strings.Join(c.mesh.transports(), " "); got != c.transports {
				t.Errorf("plays over %s, want %s", got, c.transports)
			}
			if got := c.mesh.rocketMQ(); got != c.rocketMQ {
				t.Errorf("with RocketMQ: %t, want %t", got, c.rocketMQ)
			}
			if first, second := c.mesh.name("a"), c.mesh.name("a"); (first == second) == c.mesh.given() {
				t.Errorf("names %q and %q, with an EventMesh that is there: %t", first, second, c.mesh.given())
			}
		})
	}
}
