package ingress

import (
	"context"
	"errors"
	"fmt"
	"net"
	"sync"
	"sync/atomic"

	cloudevents "github.com/cloudevents/sdk-go/v2"
	"go.opentelemetry.io/otel"
	"go.uber.org/zap"
	framework "knative.dev/eventing/pkg/adapter/v2"
	"knative.dev/eventing/pkg/apis/feature"
	eventingclient "knative.dev/eventing/pkg/client/clientset/versioned/typed/eventing/v1beta3"
	"knative.dev/pkg/logging"

	"github.com/eventing-eventmesh/eventing-eventmesh/internal/fresh"
	"github.com/eventing-eventmesh/eventing-eventmesh/pkg/adapter"
	"github.com/eventing-eventmesh/eventing-eventmesh/pkg/broker/dataplane"
	"github.com/eventing-eventmesh/eventing-eventmesh/pkg/broker/table"
	"github.com/eventing-eventmesh/eventing-eventmesh/pkg/eventmesh"
	"github.com/eventing-eventmesh/eventing-eventmesh/pkg/ingress"
)

const (
	// telemetryScope names this package to OpenTelemetry.
	telemetryScope = "github.com/eventing-eventmesh/eventing-eventmesh/pkg/broker/ingress"
	// name begins the names of the ingress's own instruments.
	name = "eventmesh.broker.ingress"
)

// server is the ingress as Knative's framework runs it.
type server struct {
	config *Config
	logger *zap.SugaredLogger
	meshes meshes
	routes atomic.Pointer[routes]
	known  atomic.Bool // which Brokers there are

	types    *eventTypes
	senders  senders
	features atomic.Pointer[feature.Flags]
	secure   bool // there is a certificate
	ca       *fresh.File[string]
}

// NewAdapter returns the ingress. It gets its configuration, a *Config, and its logger from the framework; the client is of no use to it.
func NewAdapter(ctx context.Context, env framework.EnvConfigAccessor, _ cloudevents.Client) framework.Adapter {
	config, ok := env.(*Config)
	if !ok {
		panic(fmt.Sprintf("configuration is a %T, want the ingress's", env))
	}
	s := &server{config: config, logger: logging.FromContext(ctx)}
	sampled := adapter.Sampled(s.logger)
	s.meshes = meshes{config: config, meter: otel.Meter(telemetryScope), logger: sampled, open: map[table.Mesh]*mesh{}}
	s.meshes.places.most = int64(config.MaxInFlight)
	s.ca = fresh.New(func(contents ...[]byte) (string, error) { return string(contents[0]), nil }, config.TLSCAFile)
	s.features.Store(&feature.Flags{})
	s.senders = senders{caFile: config.IssuerCAFile, logger: sampled}
	s.routes.Store(&routes{})
	return s
}

// Start serves until the context ends, and then shuts down in the way of the HTTP server, and closes the connections to EventMesh last. An
// error means that it cannot serve.
func (s *server) Start(ctx context.Context) error {
	source, err := s.config.Source("", s.logger)
	if err != nil {
		return err
	}
	if err := s.observe(); err != nil {
		return err
	}
	encryption, err := s.config.TLS(s.logger)
	if err != nil {
		return err
	}
	s.secure = encryption != nil
	o := s.config.Options("eventmesh-broker-ingress")
	o.Route, o.Check, o.Ready, o.Older = s.route, eventmesh.Validate, s.ready, true
	o.TLS, o.Name, o.Meter, o.Logger = encryption, name, otel.Meter(telemetryScope), adapter.Sampled(s.logger)
	face, err := ingress.New(o)
	if err != nil {
		return err
	}
	return dataplane.Run(ctx, &s.config.Config, source, dataplane.Program{
		Apply: s.apply, Ready: s.ready, Status: s.status, Logger: s.logger,
		Serve: func(ctx context.Context) error {
			plain, secure, err := s.listen(ctx)
			if err != nil {
				return err
			}
			making, stop := context.WithCancel(ctx)
			var types sync.WaitGroup
			types.Go(func() { s.types.run(making) })
			defer types.Wait()
			defer stop()
			return face.Serve(ctx, plain, secure)
		},
		Close: func() {
			s.senders.close()
			s.meshes.close()
		},
	})
}

// observe has objects made of the types of events, where there is a cluster.
func (s *server) observe() error {
	cluster, err := s.config.Cluster()
	if err != nil {
		return err
	}
	var client eventingclient.EventTypesGetter
	if cluster != nil {
		if client, err = eventingclient.NewForConfig(cluster); err != nil {
			return fmt.Errorf("creating a client of Knative Eventing: %w", err)
		}
	}
	s.types = newEventTypes(client, adapter.Sampled(s.logger))
	return nil
}

// listen opens the port of HTTP, and that of HTTPS where there is a certificate.
func (s *server) listen(ctx context.Context) (plain, secure net.Listener, err error) {
	if plain, err = adapter.Listen(ctx, s.config.Port); err != nil || !s.secure {
		return plain, nil, err
	}
	if secure, err = adapter.Listen(ctx, s.config.HTTPSPort); err != nil {
		return nil, nil, errors.Join(fmt.Errorf("HTTPS_PORT: %w", err), plain.Close())
	}
	return plain, secure, nil
}

// ready returns nil, or why no events should come.
func (s *server) ready() error {
	if !s.known.Load() {
		return errors.New("it is not known yet which Brokers there are")
	}
	return s.senders.begun()
}
