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
	return err
}

// GetSinktimeout is -1, for none: there is no K_SINK, and Knative's framework would warn of a missing time-out.
func (c *Config) GetSinktimeout() int { return -1 }
