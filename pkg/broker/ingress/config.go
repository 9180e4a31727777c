package ingress

import (
	"cmp"

	framework "knative.dev/eventing/pkg/adapter/v2"

	"github.com/eventing-eventmesh/eventing-eventmesh/pkg/adapter"
	"github.com/eventing-eventmesh/eventing-eventmesh/pkg/adapter/httpserver"
	"github.com/eventing-eventmesh/eventing-eventmesh/pkg/broker/dataplane"
)

// Config is the configuration of the ingress, from the environment.
type Config struct {
	framework.EnvConfig
	dataplane.Config
	httpserver.Server

	// HTTPSPort is for requests by HTTPS, besides those of Port.
	HTTPSPort int `envconfig:"HTTPS_PORT" default:"8443" min:"0" desc:"port of HTTPS, where there is a certificate; Knative's feature transport-encryption says which of both ports accepts events" want:"a port, 0 to 65535; 0 lets the kernel choose"`
	// TLSCAFile is the authority of the certificate.
	TLSCAFile string `envconfig:"TLS_CA_FILE" desc:"file with the authority of the certificate, which the addresses of Brokers tell senders to trust, read again when it changes; without it they trust it by Knative's trust bundles, or not" want:"the path of a file in PEM, such as ca.crt of a Secret"`
	// IssuerCAFile is whom to trust where the issuer of tokens is not the cluster.
	IssuerCAFile string `envconfig:"OIDC_CA_FILE" desc:"certificates to trust for the issuer of senders' tokens, which config-features of Knative Eventing names, read again at every look at its keys; by default the system's, and for the cluster those of the pod's service account" want:"the path of a file in PEM"`
}

var (
	_ framework.EnvConfigAccessor = (*Config)(nil)
	_ adapter.Validator           = (*Config)(nil)
)

// NewConfig returns a configuration to be filled from the environment.
func NewConfig() *Config { return &Config{} }

// Validate finds what the variables' types cannot tell. The error is one sentence that names the variable.
func (c *Config) Validate() error {
	err := cmp.Or(c.Config.Validate(), c.Server.Validate())
	if err == nil && c.IssuerCAFile != "" {
		_, err = adapter.Authorities("OIDC_CA_FILE", c.IssuerCAFile)
	}
	if err == nil && c.TLSCAFile != "" {
		_, err = adapter.Authorities("TLS_CA_FILE", c.TLSCAFile)
	}
	return err
}

// GetSinktimeout is -1, for none: there is no K_SINK, and Knative's framework would warn of a missing time-out.
func (c *Config) GetSinktimeout() int { return -1 }
