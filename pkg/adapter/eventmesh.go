package adapter

import (
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"os"
	"regexp"
	"strings"

	"go.uber.org/zap"

	"github.com/eventing-eventmesh/eventing-eventmesh/pkg/eventmesh"
	"github.com/eventing-eventmesh/eventing-eventmesh/pkg/eventmesh/transports"
)

// Transports are those that EVENTMESH_URL can name.
var Transports = transports.All

// Addresses is the value of EVENTMESH_URL.
type Addresses []eventmesh.Address

// Decode parses the variable, for envconfig.
func (a *Addresses) Decode(value string) error {
	addresses, err := eventmesh.ParseAddresses(value, Transports...)
	*a = addresses
	return err
}

// EventMesh is the part of a configuration that says which EventMesh, and as who.
type EventMesh struct {
	// URL is where EventMesh listens.
	URL Addresses `envconfig:"EVENTMESH_URL" required:"true" desc:"where EventMesh listens; the scheme picks the transport" want:"one or more URLs, comma separated, such as grpc://host:10205, tcp://host:10000 or http://host:10105"`
	// ClientID names this replica.
	ClientID string `envconfig:"EVENTMESH_CLIENT_ID" desc:"names this replica to EventMesh; must survive a restart and be unique among live replicas" want:"any text; by default the host's name, which is the pod's"`
	// Username is sent with Password.
	Username string `envconfig:"EVENTMESH_USERNAME" desc:"user name for grpc and tcp; EventMesh hands it to every subscriber" want:"any text"`
	// Password is handed to every subscriber by EventMesh.
	Password string `envconfig:"EVENTMESH_PASSWORD" desc:"password; EventMesh hands it to every subscriber, so use an account of low privilege that nothing else uses" want:"any text; not together with EVENTMESH_PASSWORD_FILE"`
	// PasswordFile is read at every connect.
	PasswordFile string `envconfig:"EVENTMESH_PASSWORD_FILE" desc:"file with the password, read again at every connect" want:"the path of a file that can be read"`
	// TokenFile is read at every connect.
	TokenFile string `envconfig:"EVENTMESH_TOKEN_FILE" desc:"file with the bearer token for http and https, read again at every connect" want:"the path of a file that can be read"`
	// CAFile is for grpcs, tcps and https.
	CAFile string `envconfig:"EVENTMESH_CA_FILE" desc:"certificates to trust for grpcs, tcps and https, instead of the system's" want:"the path of a file in PEM"`
	// CertFile and KeyFile are for an EventMesh that asks its clients for certificates.
	CertFile string `envconfig:"EVENTMESH_CERT_FILE" desc:"certificate to show to an EventMesh that asks for one, read again at every connection" want:"the path of a file in PEM, with EVENTMESH_KEY_FILE"`
	KeyFile  string `envconfig:"EVENTMESH_KEY_FILE" desc:"key of EVENTMESH_CERT_FILE, read again with it" want:"the path of a file in PEM, with EVENTMESH_CERT_FILE"`
	// Env is a label of EventMesh.
	Env string `envconfig:"EVENTMESH_ENV" default:"PRD" desc:"EventMesh's label for the environment of a client" want:"any text"`
	// IDC is a label of EventMesh.
	IDC string `envconfig:"EVENTMESH_IDC" default:"DEFAULT" desc:"EventMesh's label for the data centre of a client" want:"any text"`
	// Subsystem is a label of EventMesh.
	Subsystem string `envconfig:"EVENTMESH_SUBSYSTEM" default:"0000" desc:"EventMesh's label for the system that a client belongs to" want:"any text"`
}

// ValidateTopic returns an error for a name that no storage of EventMesh accepts, or that the transport does not carry.
func (e EventMesh) ValidateTopic(topic string) error {
	if len(e.URL) == 0 {
		return eventmesh.ValidateTopic(topic)
	}
	return transports.ValidateTopic(e.URL[0], topic)
}

// SubscriberTransports are the names of the transports whose subscribers can get what is published.
func (e EventMesh) SubscriberTransports() []string { return transports.SubscribersOf(e.URL[0]) }

// WantGroup says what groups ValidGroup accepts.
const WantGroup = "1 to 255 letters, digits and characters of %|_-"

var groupPattern = regexp.MustCompile(`^[%|a-zA-Z0-9_-]{1,255}$`)

// ValidGroup tells whether every storage of EventMesh accepts a group of that name: the rule is RocketMQ's.
func ValidGroup(group string) bool { return groupPattern.MatchString(group) }

// ClientConfig resolves the configuration of a client in the given group, whose changes of connection are logged.
func (e EventMesh) ClientConfig(group string, logger *zap.SugaredLogger) (eventmesh.Config, error) {
	cfg := eventmesh.Config{
		Addresses: e.URL, ClientID: e.ClientID, Group: group, Env: e.Env, IDC: e.IDC, Subsystem: e.Subsystem,
		Credentials: e.credentials,
		Notify:      func(s eventmesh.Status) { LogStatus(logger, s) },
	}
	if cfg.ClientID == "" {
		host, err := os.Hostname()
		if err != nil {
			return cfg, fmt.Errorf("EVENTMESH_CLIENT_ID is missing, and the host has no name: %w", err)
		}
		cfg.ClientID = host
	}
	if e.Password != "" && e.PasswordFile != "" {
		return cfg, errors.New("EVENTMESH_PASSWORD and EVENTMESH_PASSWORD_FILE are both set: want one of them")
	}
	if _, err := e.credentials(); err != nil {
		return cfg, err
	}
	var err error
	cfg.TLS, err = e.tls()
	return cfg, err
}

// tls returns nil where nothing is configured.
func (e EventMesh) tls() (*tls.Config, error) {
	if (e.CertFile == "") != (e.KeyFile == "") {
		return nil, errors.New("one of EVENTMESH_CERT_FILE and EVENTMESH_KEY_FILE is missing: want both or none")
	}
	if e.CAFile == "" && e.CertFile == "" {
		return nil, nil
	}
	c := &tls.Config{MinVersion: tls.VersionTLS12}
	if e.CAFile != "" {
		var err error
		if c.RootCAs, err = Authorities("EVENTMESH_CA_FILE", e.CAFile); err != nil {
			return nil, err
		}
	}
	if e.CertFile != "" {
		load := func() (*tls.Certificate, error) {
			certificate, err := tls.LoadX509KeyPair(e.CertFile, e.KeyFile)
			if err != nil {
				return nil, fmt.Errorf("EVENTMESH_CERT_FILE and EVENTMESH_KEY_FILE: %w", err)
			}
			return &certificate, nil
		}
		if _, err := load(); err != nil {
			return nil, err
		}
		c.GetClientCertificate = func(*tls.CertificateRequestInfo) (*tls.Certificate, error) { return load() }
	}
	return c, nil
}

// Authorities returns the certificates to trust in a file that a variable names.
func Authorities(variable, path string) (*x509.CertPool, error) {
	pem, err := os.ReadFile(path) //nolint:gosec // whoever configures a program names its files
	if err != nil {
		return nil, fmt.Errorf("%s: %w", variable, err)
	}
	pool := x509.NewCertPool()
	if !pool.AppendCertsFromPEM(pem) {
		return nil, Invalid(variable, path, "a file with certificates in PEM")
	}
	return pool, nil
}

func (e EventMesh) credentials() (eventmesh.Credentials, error) {
	c := eventmesh.Credentials{Username: e.Username, Password: e.Password}
	if e.PasswordFile != "" {
		b, err := os.ReadFile(e.PasswordFile)
		if err != nil {
			return c, fmt.Errorf("EVENTMESH_PASSWORD_FILE: %w", err)
		}
		c.Password = strings.TrimRight(string(b), "\r\n")
	}
	if e.TokenFile != "" {
		b, err := os.ReadFile(e.TokenFile)
		if err != nil {
			return c, fmt.Errorf("EVENTMESH_TOKEN_FILE: %w", err)
		}
		c.Token = strings.TrimSpace(string(b))
	}
	return c, nil
}

// LogStatus writes one line for each change of a connection.
func LogStatus(logger *zap.SugaredLogger, s eventmesh.Status) {
	switch {
	case s.Connected:
		logger.Infow("connected to EventMesh", "address", s.Address.String())
	case !errors.Is(s.Err, eventmesh.ErrClosed): // that was us
		logger.Warnw("not connected to EventMesh", "address", s.Address.String(), zap.Error(s.Err))
	}
}
