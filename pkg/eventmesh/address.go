package eventmesh

import (
	"fmt"
	"net"
	"net/url"
	"slices"
	"strconv"
	"strings"
)

// Address is where an EventMesh server listens.
type Address struct {
	// Scheme picks the transport, and TLS: grpc, grpcs, tcp or tcps.
	Scheme string
	// Host is host:port.
	Host string
}

// defaultPorts are those of EventMesh's default configuration.
var defaultPorts = map[string]string{"grpc": "10205", "grpcs": "10205", "tcp": "10000", "tcps": "10000"}

// ParseAddresses parses URLs such as grpc://eventmesh:10205, separated by commas. The port defaults to EventMesh's own for
// the scheme: 10205 for grpc and grpcs, 10000 for tcp and tcps. All have to be of one transport.
func ParseAddresses(s string) ([]Address, error) {
	var addresses []Address
	for part := range strings.SplitSeq(s, ",") {
		a, err := parseAddress(strings.TrimSpace(part))
		if err != nil {
			return nil, err
		}
		if len(addresses) > 0 && a.transport() != addresses[0].transport() {
			return nil, fmt.Errorf("%s and %s need different transports: use one for all addresses", addresses[0], a)
		}
		if !slices.Contains(addresses, a) {
			addresses = append(addresses, a)
		}
	}
	return addresses, nil
}

func parseAddress(s string) (Address, error) {
	u, err := url.Parse(s)
	if err != nil || u.Opaque != "" {
		if strings.Contains(s, "@") { // before it credentials may stand
			s = "the value"
		}
		return Address{}, fmt.Errorf("%q is no URL such as grpc://host:10205 or tcp://host:10000", s)
	}
	port, known := defaultPorts[u.Scheme]
	switch {
	case !known:
		return Address{}, fmt.Errorf("%q has scheme %q; an address is a URL with grpc, grpcs, tcp or tcps, such as grpc://host:10205", u.Redacted(), u.Scheme)
	case u.Hostname() == "":
		return Address{}, fmt.Errorf("%q names no host; an address is a URL such as %s://host:%s", u.Redacted(), u.Scheme, port)
	case u.User != nil:
		return Address{}, fmt.Errorf("%q holds credentials; they are configured apart from the address", u.Redacted())
	case strings.Trim(u.Path, "/") != "" || u.RawQuery != "" || u.Fragment != "":
		return Address{}, fmt.Errorf("the address of host %q has more than a host and a port", u.Host)
	}
	if u.Port() != "" {
		port = u.Port()
	}
	if n, err := strconv.ParseUint(port, 10, 16); err != nil || n == 0 {
		return Address{}, fmt.Errorf("%q has port %s; ports are 1 to 65535", u.Redacted(), port)
	}
	return Address{Scheme: u.Scheme, Host: net.JoinHostPort(u.Hostname(), port)}, nil
}

// TLS tells whether the connection is encrypted.
func (a Address) TLS() bool { return strings.HasSuffix(a.Scheme, "s") }

// String returns the address as a URL.
func (a Address) String() string { return a.Scheme + "://" + a.Host }

func (a Address) transport() string { return strings.TrimSuffix(a.Scheme, "s") }
