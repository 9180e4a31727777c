package ingress

import (
	"context"
	"errors"
	"sync"

	"github.com/cloudevents/sdk-go/v2/event"
	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/metric"
	semconv "go.opentelemetry.io/otel/semconv/v1.41.0"
	"go.uber.org/zap"

	"github.com/eventing-eventmesh/eventing-eventmesh/pkg/adapter"
	"github.com/eventing-eventmesh/eventing-eventmesh/pkg/adapter/guard"
	"github.com/eventing-eventmesh/eventing-eventmesh/pkg/broker/table"
	"github.com/eventing-eventmesh/eventing-eventmesh/pkg/eventmesh"
)

// group is EventMesh's producer group.
const group = "knative-broker-ingress"

// mesh is a connection to an EventMesh.
type mesh struct {
	guard     *guard.Guard
	publisher *eventmesh.Publisher

	open sync.RWMutex // read while an event is published
}

// publish publishes an event. After close it fails, as without a connection.
func (m *mesh) publish(ctx context.Context, topic string, e event.Event) (*event.Event, error) {
	m.open.RLock()
	defer m.open.RUnlock()
	return m.guard.Publish(ctx, topic, e)
}

// close waits for events that are being published.
func (m *mesh) close() error {
	m.open.Lock()
	defer m.open.Unlock()
	return errors.Join(m.publisher.Close(), m.guard.Close())
}

// meshes are all connections. One goroutine at a time uses it.
type meshes struct {
	config *Config
	meter  metric.Meter
	logger *zap.SugaredLogger
	open   map[table.Mesh]*mesh
	ending sync.WaitGroup // those that are not needed any more
}

// get returns a connection, which may be new.
func (m *meshes) get(to table.Mesh) (*mesh, error) {
	if found := m.open[to]; found != nil {
		return found, nil
	}
	client, err := m.config.Client(to, group, m.logger)
	if err != nil {
		return nil, err
	}
	publisher, err := eventmesh.NewPublisher(client, adapter.Transports...)
	if err != nil {
		return nil, err
	}
	g, err := guard.New(publisher, guard.Options{
		Meter: m.meter, Name: name, Attributes: []attribute.KeyValue{semconv.ServerAddress(to.URL)}, Logger: m.logger,
	})
	if err != nil {
		return nil, errors.Join(err, publisher.Close())
	}
	m.open[to] = &mesh{guard: g, publisher: publisher}
	return m.open[to], nil
}

// keep closes the connections that are not needed any more, once nothing is published over them.
func (m *meshes) keep(needed map[table.Mesh]bool) {
	for to, one := range m.open {
		if needed[to] {
			continue
		}
		delete(m.open, to)
		m.ending.Go(func() {
			if err := one.close(); err != nil {
				m.logger.Warnw("closing a connection that no Broker needs any more", zap.Error(err))
			}
		})
	}
}

// close closes all.
func (m *meshes) close() {
	m.keep(nil)
	m.ending.Wait()
}
