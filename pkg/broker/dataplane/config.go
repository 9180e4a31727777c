// Package dataplane is what the ingress and the dispatcher of Brokers have in common: where they learn of Brokers, how they connect to the
// EventMesh of one, and how they tell the controller what they serve.
package dataplane

import (
	"errors"
	"fmt"
	"net/url"
	"os"
	"path/filepath"
	"strconv"
	"strings"

	"crypto/tls"
	"crypto/x509"

	"go.uber.org/zap"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/client-go/rest"

	"github.com/eventing-eventmesh/eventing-eventmesh/pkg/adapter"
	"github.com/eventing-eventmesh/eventing-eventmesh/pkg/broker/table"
	"github.com/eventing-eventmesh/eventing-eventmesh/pkg/eventmesh"
)

// Config is the part of a configuration that both have.
type Config struct {
	// File stands for the cluster.
	File string `envconfig:"BROKER_FILE" desc:"file with Brokers and Triggers, and the ConfigMaps and Secrets that they name, which stands for the cluster; read again when it changes" want:"the path of a file in YAML or JSON, as kubectl get -o yaml prints it; by default the cluster that the program runs in"`
	// Address is that of the ingress, for File.
	Address string `envconfig:"BROKER_ADDRESS" desc:"URL under which the ingress serves the Brokers of BROKER_FILE, to which replies go" want:"an http or https URL"`
	// Standard is the ConfigMap of Brokers that name none. Knative's SYSTEM_NAMESPACE is not asked for: packages that programs link set it.
	Standard Reference `envconfig:"BROKER_CONFIG" default:"knative-eventing/config-eventmesh-broker" desc:"ConfigMap for Brokers that name none, in the namespace of Knative Eventing" want:"namespace/name"`
	// ClientID names this replica.
	ClientID string `envconfig:"EVENTMESH_CLIENT_ID" desc:"names this replica to EventMesh; must survive a restart and be unique among live replicas" want:"any text; by default the host's name, which is the pod's"`
	// StatusPort is for the kubelet and the controller.
	StatusPort int `envconfig:"STATUS_PORT" default:"8081" min:"0" desc:"port of /health, /readiness and /status; 0 lets the kernel choose" want:"a port number"`
}

const maxPort = 65535

// Reference is the value of BROKER_CONFIG.
type Reference types.NamespacedName

// Decode parses the variable, for envconfig.
func (r *Reference) Decode(value string) error {
	namespace, name, ok := strings.Cut(value, "/")
	if !ok || namespace == "" || name == "" || strings.Contains(name, "/") {
		return fmt.Errorf("%q is not namespace/name", value)
	}
	r.Namespace, r.Name = namespace, name
	return nil
}

// Validate finds what the variables' types cannot tell.
func (c *Config) Validate() error {
	if c.StatusPort > maxPort {
		return adapter.Invalid("STATUS_PORT", strconv.Itoa(c.StatusPort), "a port, 0 to 65535")
	}
	if c.Address != "" {
		if u, err := url.Parse(c.Address); err != nil || u.Host == "" || u.Scheme != "http" && u.Scheme != "https" {
			return errors.New("BROKER_ADDRESS: want an http or https URL")
		}
	}
	if c.ClientID == "" {
		host, err := os.Hostname()
		if err != nil {
			return fmt.Errorf("EVENTMESH_CLIENT_ID is missing, and the host has no name: %w", err)
		}
		c.ClientID = host
	}
	return nil
}

// Source returns where the program learns of Brokers: of Triggers, too, where it has a directory for a copy.
func (c *Config) Source(dir string, logger *zap.SugaredLogger) (table.Source, error) {
	standard := types.NamespacedName(c.Standard)
	if c.File != "" {
		return table.File{Path: c.File, Address: c.Address, Standard: standard, Logger: logger}, nil
	}
	cluster, err := c.Cluster()
	if err != nil {
		return nil, err
	}
	source := table.Cluster{Config: cluster, Standard: standard, Receives: dir == "", Logger: adapter.Sampled(logger)}
	if dir != "" {
		source.Copy = filepath.Join(dir, "brokers.json")
	}
	return source, nil
}

// Cluster says how the cluster is reached; nil: a file stands for it.
func (c *Config) Cluster() (*rest.Config, error) {
	if c.File != "" {
		return nil, nil
	}
	cluster, err := rest.InClusterConfig()
	if err != nil {
		return nil, fmt.Errorf("BROKER_FILE is missing: want it, or a cluster to run in: %w", err)
	}
	return cluster, nil
}

// Client returns the configuration of a client of an EventMesh, in a group.
func (c *Config) Client(m table.Mesh, group string, logger *zap.SugaredLogger) (eventmesh.Config, error) {
	addresses, err := eventmesh.ParseAddresses(m.URL, adapter.Transports...)
	if err != nil {
		return eventmesh.Config{}, err
	}
	config := eventmesh.Config{
		Addresses: addresses, ClientID: c.ClientID, Group: group,
		Credentials: func() (eventmesh.Credentials, error) {
			return eventmesh.Credentials{Username: m.Username, Password: m.Password, Token: m.Token}, nil
		},
		Notify: func(s eventmesh.Status) { adapter.LogStatus(logger, s) },
	}
	if m.CA != "" {
		roots := x509.NewCertPool()
		roots.AppendCertsFromPEM([]byte(m.CA)) // which has been looked at
		config.TLS = &tls.Config{RootCAs: roots, MinVersion: tls.VersionTLS12}
	}
	return config, nil
}
