package main

import (
	"crypto/rand"
	"flag"
	"fmt"
	"os"
	"strings"

	"github.com/eventing-eventmesh/eventing-eventmesh/pkg/eventmesh"
	"github.com/eventing-eventmesh/eventing-eventmesh/pkg/eventmesh/transports"
)

// connection holds the flags that say which EventMesh to talk to, and as who.
type connection struct {
	url, group, clientID, username, passwordFile string
}

func (c *connection) declare(flags *flag.FlagSet, groupUsage string) {
	flags.StringVar(&c.url, "url", "", "EventMesh's `URL`, such as grpc://host:port or tcp://host:port (or grpcs, tcps); several, comma separated, are tried in turn")
	flags.StringVar(&c.group, "group", "devmesh", groupUsage)
	flags.StringVar(&c.clientID, "client-id", "", "`name` of this client, which no other may use at the same time (default a random one)")
	flags.StringVar(&c.username, "username", "", "user `name`, which EventMesh shows to every subscriber")
	flags.StringVar(&c.passwordFile, "password-file", "", "`file` that holds the password, which EventMesh shows to every subscriber too")
}

func (c *connection) config() (eventmesh.Config, error) {
	if c.url == "" {
		return eventmesh.Config{}, usageError("--url is missing")
	}
	addresses, err := eventmesh.ParseAddresses(c.url, transports.All...)
	if err != nil {
		return eventmesh.Config{}, usageError("--url: " + err.Error())
	}
	if c.group == "" {
		return eventmesh.Config{}, usageError("--group is empty")
	}
	if (c.username == "") != (c.passwordFile == "") {
		return eventmesh.Config{}, usageError("--username and --password-file belong together")
	}
	cfg := eventmesh.Config{Addresses: addresses, Group: c.group, ClientID: c.clientID}
	if cfg.ClientID == "" {
		cfg.ClientID = "devmesh-" + strings.ToLower(rand.Text())
	}
	if c.username != "" {
		cfg.Credentials = c.credentials
	}
	return cfg, nil
}

func (c *connection) credentials() (eventmesh.Credentials, error) {
	password, err := os.ReadFile(c.passwordFile)
	if err != nil {
		return eventmesh.Credentials{}, fmt.Errorf("reading the password: %w", err)
	}
	return eventmesh.Credentials{Username: c.username, Password: strings.TrimRight(string(password), "\r\n")}, nil
}
