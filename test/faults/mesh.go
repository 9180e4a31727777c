package faults

import (
	"net"
	"syscall"
	"testing"

	"github.com/eventing-eventmesh/eventing-eventmesh/internal/processtest"
)

// mesh is an EventMesh that is a process of its own, so that it can be killed. It comes back at the same address, and
// remembers nothing.
type mesh struct {
	t         *testing.T
	url       string
	arguments []string
	process   *processtest.Program
}

func newMesh(t *testing.T, transport string) *mesh {
	t.Helper()
	grpcAddress, tcpAddress, httpAddress := freeAddress(t), freeAddress(t), freeAddress(t)
	return &mesh{
		t:         t,
		url:       map[string]string{grpc: "grpc://" + grpcAddress, tcp: "tcp://" + tcpAddress, httpAPI: "http://" + httpAddress}[transport],
		arguments: []string{"serve", "-storage", "rocketmq", "-grpc", grpcAddress, "-tcp", tcpAddress, "-http", httpAddress},
	}
}

// freeAddress returns one that nobody listens on.
func freeAddress(t *testing.T) string {
	t.Helper()
	l, err := (&net.ListenConfig{}).Listen(t.Context(), "tcp", loopback+":0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	return l.Addr().String()
}

// start starts the process, and waits until it serves.
func (m *mesh) start() {
	m.t.Helper()
	m.process = run(m.t, "devmesh", build(m.t, "devmesh"), nil, m.arguments...)
	eventually(m.t, func() string {
		if m.process.Printed("TCP ") == "" {
			return "devmesh does not serve:\n" + m.process.Log()
		}
		return ""
	})
}

// kill ends the process without a chance to do anything.
func (m *mesh) kill() {
	m.t.Helper()
	m.process.Send(m.t, syscall.SIGKILL)
	m.process.End(m.t, patience)
}
