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
	// Scheme picks the transport, and TLS: that of the transport, such as grpc, or with an s, such as grpcs.
	Scheme string
	// Host is host:port.
	Host string
}

// ParseAddresses parses URLs such as grpc://eventmesh:10205, separated by commas, of one of the transports. The port defaults to
// EventMesh's own for the transport: 10205 for gRPC, 10000 for TCP.
func ParseAddresses(s string, transports ...Transport) ([]Address, error) {
	var addresses []Address
	for part := range strings.SplitSeq(s, ",") {
		a, err := parseAddress(strings.TrimSpace(part), transports)
		if err != nil {
			return nil, err
		}
		if len(addresses) > 0 && a.Transport() != addresses[0].Transport() {
			return nil, fmt.Errorf("%s and %s need different transports: use one for all addresses", addresses[0], a)
		}
		if !slices.Contains(addresses, a) {
			addresses = append(addresses, a)
		}
	}
	return addresses, nil
}

func parseAddress(s string, transports []Transport) (Address, error) {
	schemes, examples := known(transports)
	u, err := url.Parse(s)
	if err != nil || u.Opaque != "" {
		if strings.Contains(s, "@") { // before it credentials may stand
			s = "the value"
		}
		return Address{}, fmt.Errorf("%q is no URL such as %s", s, choice(examples))
	}
	a := Address{Scheme: u.Scheme}
	t := find(transports, a.Transport())
	if t == nil {
		return Address{}, fmt.Errorf("%q has scheme %q; an address is a URL with %s, such as %s", u.Redacted(), u.Scheme, choice(schemes), choice(examples))
	}
	port := t.Traits().Port
	switch {
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
	a.Host = net.JoinHostPort(u.Hostname(), port)
	return a, nil
}

// find returns the transport of that name, and nil where there is none.
func find(transports []Transport, name string) Transport {
	for _, t := range transports {
		if t.Traits().Scheme == name {
			return t
		}
	}
	return nil
}

// known returns the schemes of transports, and an address of each.
func known(transports []Transport) (schemes, examples []string) {
	for _, t := range transports {
		traits := t.Traits()
		schemes = append(schemes, traits.Scheme, traits.Scheme+"s")
		examples = append(examples, traits.Scheme+"://host:"+traits.Port)
	}
	return schemes, examples
}

// choice writes words as in: a, b or c.
func choice(words []string) string {
	list := strings.Join(words, ", ")
	if last := strings.LastIndex(list, ", "); last >= 0 {
		list = list[:last] + " or " + list[last+2:]
	}
	return list
}

// TLS tells whether the connection is encrypted.
func (a Address) TLS() bool { return strings.HasSuffix(a.Scheme, "s") }

// String returns the address as a URL.
func (a Address) String() string { return a.Scheme + "://" + a.Host }

// Transport names the transport: the scheme without what asks for TLS.
func (a Address) Transport() string { return strings.TrimSuffix(a.Scheme, "s") }
