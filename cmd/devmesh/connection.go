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
	url, group, clientID, username, passwordFile, tokenFile string
}

// declare declares the flags. Without a usage there is none for the group.
func (c *connection) declare(flags *flag.FlagSet, groupUsage string) {
	flags.StringVar(&c.url, "url", "", "EventMesh's `URL`, such as grpc://host:port, tcp://host:port or http://host:port (or grpcs, tcps, https); several, comma separated, are tried in turn")
	if groupUsage != "" {
		flags.StringVar(&c.group, "group", "devmesh", groupUsage)
	}
	flags.StringVar(&c.clientID, "client-id", "", "`name` of this client, which no other may use at the same time (default a random one)")
	flags.StringVar(&c.username, "username", "", "user `name`, which EventMesh shows to every subscriber")
	flags.StringVar(&c.passwordFile, "password-file", "", "`file` that holds the password, which EventMesh shows to every subscriber too")
	flags.StringVar(&c.tokenFile, "token-file", "", "`file` that holds the bearer token for http and https")
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
	if c.username != "" || c.tokenFile != "" {
		cfg.Credentials = c.credentials
	}
	return cfg, nil
}

func (c *connection) credentials() (eventmesh.Credentials, error) {
	credentials := eventmesh.Credentials{Username: c.username}
	for what, file := range map[string]struct {
		name string
		into *string
	}{"password": {c.passwordFile, &credentials.Password}, "token": {c.tokenFile, &credentials.Token}} {
		if file.name == "" {
			continue
		}
		content, err := os.ReadFile(file.name)
		if err != nil {
			return eventmesh.Credentials{}, fmt.Errorf("reading the %s: %w", what, err)
		}
		*file.into = strings.TrimRight(string(content), "\r\n")
	}
	return credentials, nil
}
