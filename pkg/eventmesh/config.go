package eventmesh

import (
	"cmp"
	"crypto/sha256"
	"crypto/tls"
	"encoding/binary"
	"errors"
	"fmt"
	"net"
	"strings"
	"time"

	"github.com/eventing-eventmesh/eventing-eventmesh/pkg/eventmesh/internal/wire"
)

// Config says which EventMesh a [Publisher] or [Subscriber] talks to, and as who. Addresses, ClientID and Group are
// required.
type Config struct {
	// Addresses are tried in turn, until one accepts the session.
	Addresses []Address
	// ClientID names this replica. It has to stay the same across a restart, so that EventMesh lets the restarted replica
	// replace its own dead session, and no two live replicas may share it.
	ClientID string
	// Group is the consumer group of a Subscriber, the producer group of a Publisher.
	Group string
	// Credentials are asked for at every connect, so that they can change. Nil stands for none.
	Credentials func() (Credentials, error)
	// TLS is for addresses that ask for it; nil stands for the system's defaults.
	TLS *tls.Config
	// Env, IDC and Subsystem are EventMesh's labels for where a client runs; defaults PRD, DEFAULT and 0000.
	Env, IDC, Subsystem string
	// Subscribers is the scheme, without TLS, of the subscribers that a Publisher publishes for. The default is that of Addresses.
	Subscribers string
	// Timeout bounds a Publish or Request whose context has no deadline; default 10 s.
	Timeout time.Duration
	// Turns, if set, bounds by its capacity how many of the clients that have it open a session at once. EventMesh 1.12 starts the consumers of
	// gRPC groups one after the other, half a second each, and publishes with the same threads.
	Turns chan struct{}
	// Notify, if set, is told of each change. Calls do not overlap, and it must not call the Publisher or Subscriber.
	Notify func(Status)
}

// Credentials are a user name and password. EventMesh 1.12 hands both to every subscriber, as attributes of the event: use an
// account of low privilege that nothing else uses.
type Credentials struct {
	Username, Password string
	// Token is the bearer token of the HTTP API, which has no use for the others.
	Token string
}

// String keeps the password out of logs.
func (c Credentials) String() string { return c.Username }

// anonymous stands where no credentials are configured.
const anonymous = "anonymous"

// Status is what a Publisher or Subscriber knows about its connection.
type Status struct {
	// Connected tells whether a session is up: able to publish, or subscribed.
	Connected bool
	// Address is the server of the session, or the one that was tried last.
	Address Address
	// Err says why there is no session; nil before the first attempt.
	Err error
}

const (
	defaultTimeout = 10 * time.Second

	roleSubscriber = "subscriber"
	rolePublisher  = "publisher"
)

func (c Config) validate(transports []Transport) error {
	switch {
	case len(c.Addresses) == 0:
		return errors.New("no address of EventMesh given")
	case c.ClientID == "":
		return errors.New("no client ID given")
	case c.Group == "":
		return errors.New("no group given")
	case find(transports, c.Addresses[0].Transport()) == nil:
		return fmt.Errorf("no transport for %s", c.Addresses[0])
	case find(transports, c.subscribers()) == nil:
		return fmt.Errorf("no transport for subscribers by %q", c.Subscribers)
	case !Reaches(find(transports, c.Addresses[0].Transport()), find(transports, c.subscribers())):
		return fmt.Errorf("%s has no subscribers over %s: the HTTP API is that of another release of EventMesh than the others", c.Addresses[0], c.subscribers())
	}
	return nil
}

// Reaches tells whether there can be subscribers of a transport to what is published over another: those of the HTTP API, which is that of
// another release of EventMesh, get what is published over it, and nobody else does.
func Reaches(publisher, subscriber Transport) bool {
	return (publisher.Traits().Rendering.Form == wire.HTTPForm) == (subscriber.Traits().Rendering.Form == wire.HTTPForm)
}

// subscribers names the transport of the subscribers that events are published for.
func (c Config) subscribers() string { return cmp.Or(c.Subscribers, c.Addresses[0].Transport()) }

// client resolves what a new session tells EventMesh.
func (c Config) client(role string) (Client, error) {
	credentials := Credentials{}
	if c.Credentials != nil {
		var err error
		if credentials, err = c.Credentials(); err != nil {
			return Client{}, fmt.Errorf("reading credentials: %w", err)
		}
	}
	ip, pid := identity(c.ClientID, role, c.Group)
	return Client{
		IP: ip, PID: pid, Group: c.Group,
		Env: cmp.Or(c.Env, "PRD"), IDC: cmp.Or(c.IDC, "DEFAULT"), Subsystem: cmp.Or(c.Subsystem, "0000"),
		Credentials: Credentials{
			Username: cmp.Or(credentials.Username, anonymous), Password: cmp.Or(credentials.Password, anonymous), Token: credentials.Token,
		},
		TLS: c.TLS,
	}, nil
}

// identity derives the address and process number that stand for a client. EventMesh compares the two strings only, so
// they come from a name that survives a restart, and differ for the sessions of one process.
func identity(clientID, role, group string) (ip string, pid int) {
	sum := sha256.Sum256([]byte(strings.Join([]string{clientID, role, group}, "\x00")))
	return net.IPv4(10, sum[0], sum[1], sum[2]).String(), int(binary.BigEndian.Uint32(sum[3:]) >> 1)
}
