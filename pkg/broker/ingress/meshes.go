package ingress

import (
	"context"
	"errors"
	"net/http"
	"sync"
	"sync/atomic"

	"github.com/cloudevents/sdk-go/v2/event"
	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/metric"
	semconv "go.opentelemetry.io/otel/semconv/v1.41.0"
	"go.uber.org/zap"

	"github.com/eventing-eventmesh/eventing-eventmesh/pkg/adapter"
	"github.com/eventing-eventmesh/eventing-eventmesh/pkg/adapter/guard"
	"github.com/eventing-eventmesh/eventing-eventmesh/pkg/broker/table"
	"github.com/eventing-eventmesh/eventing-eventmesh/pkg/eventmesh"
	"github.com/eventing-eventmesh/eventing-eventmesh/pkg/ingress"
)

// group is EventMesh's producer group.
const group = "knative-broker-ingress"

// mesh is a connection to an EventMesh.
type mesh struct {
	guard     *guard.Guard
	publisher *eventmesh.Publisher
	places    *places
	published atomic.Int64 // events at the moment

	open sync.RWMutex // read while an event is published
}

// places are those in flight, which all connections share.
type places struct {
	most    int64
	several atomic.Bool  // connections
	taken   atomic.Int64 // by all of them
}

// take takes a place. Where there are several connections each may have as many as are free besides: one that hangs, and others that hang
// beside it, leave some to those that do not. This is how switches share their buffers (Choudhury and Hahne, Dynamic Queue Length
// Thresholds, 1998).
func (m *mesh) take() bool {
	own, all := m.published.Add(1), m.places.taken.Add(1)
	if m.places.several.Load() && own > max(1, m.places.most-all) {
		m.leave()
		return false
	}
	return true
}

func (m *mesh) leave() {
	m.published.Add(-1)
	m.places.taken.Add(-1)
}

// publish publishes an event. After close it fails, as without a connection.
func (m *mesh) publish(ctx context.Context, topic string, e event.Event) (*event.Event, error) {
	if !m.take() {
		return nil, ingress.Refusef(http.StatusTooManyRequests, "publishing to %s: as many events are on their way to its EventMesh as others leave it, of the %d that EVENTMESH_MAX_IN_FLIGHT allows", topic, m.places.most)
	}
	defer m.leave()
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
	places places
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
	m.open[to] = &mesh{guard: g, publisher: publisher, places: &m.places}
	m.places.several.Store(len(m.open) > 1)
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
	m.places.several.Store(len(m.open) > 1)
}

// close closes all.
func (m *meshes) close() {
	m.keep(nil)
	m.ending.Wait()
}
