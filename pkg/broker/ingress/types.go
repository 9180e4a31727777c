package ingress

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"sync/atomic"
	"time"

	"github.com/cloudevents/sdk-go/v2/event"
	"go.uber.org/zap"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/apimachinery/pkg/util/cache"
	eventingv1 "knative.dev/eventing/pkg/apis/eventing/v1"
	"knative.dev/eventing/pkg/apis/eventing/v1beta3"
	eventingclient "knative.dev/eventing/pkg/client/clientset/versioned/typed/eventing/v1beta3"
	duckv1 "knative.dev/pkg/apis/duck/v1"
	"knative.dev/pkg/kmeta"

	"github.com/eventing-eventmesh/eventing-eventmesh/pkg/broker/table"
)

const (
	// knownTypes is how many types are remembered, and knownFor how long: one that somebody deletes is made again after that.
	knownTypes = 10_000
	knownFor   = 10 * time.Minute
	// waitingTypes is how many may wait to be made. What finds no place is made when an event of its kind comes again.
	waitingTypes = 100
	// typeTimeout bounds the making of one.
	typeTimeout = 10 * time.Second
)

// eventTypes makes objects of the types and sources of events that come to Brokers, by Knative's feature eventtype-auto-create. No event waits
// for that.
type eventTypes struct {
	client eventingclient.EventTypesGetter // nil: there is no cluster
	logger *zap.SugaredLogger
	on     atomic.Bool
	known  *cache.LRUExpireCache // by name
	making chan *v1beta3.EventType
}

func newEventTypes(client eventingclient.EventTypesGetter, logger *zap.SugaredLogger) *eventTypes {
	return &eventTypes{client: client, logger: logger, known: cache.NewLRUExpireCache(knownTypes), making: make(chan *v1beta3.EventType, waitingTypes)}
}

// note notes that an event has come to a Broker.
func (t *eventTypes) note(of *table.Broker, e *event.Event) {
	if t.client == nil || !t.on.Load() {
		return
	}
	kind := sha256.Sum256([]byte(of.UID + "\n" + e.Type() + "\n" + e.Source()))
	name := kmeta.ChildName("et-"+of.Name+"-", hex.EncodeToString(kind[:16]))
	if _, known := t.known.Get(of.Namespace + "/" + name); known {
		return
	}
	select {
	case t.making <- typeOf(of, e, name):
		t.known.Add(of.Namespace+"/"+name, true, knownFor)
	default:
	}
}

// typeOf is the object, which is gone with its Broker.
func typeOf(of *table.Broker, e *event.Event, name string) *v1beta3.EventType {
	reference := &duckv1.KReference{APIVersion: eventingv1.SchemeGroupVersion.String(), Kind: "Broker", Namespace: of.Namespace, Name: of.Name}
	t := &v1beta3.EventType{
		ObjectMeta: metav1.ObjectMeta{Namespace: of.Namespace, Name: name, OwnerReferences: []metav1.OwnerReference{
			{APIVersion: reference.APIVersion, Kind: reference.Kind, Name: of.Name, UID: types.UID(of.UID)},
		}},
		Spec: v1beta3.EventTypeSpec{Reference: reference, Description: "of an event that came to the Broker", Attributes: []v1beta3.EventAttributeDefinition{
			{Name: "type", Value: e.Type(), Required: true}, {Name: "source", Value: e.Source(), Required: true},
			{Name: "specversion", Value: e.SpecVersion(), Required: true}, {Name: "id", Required: true},
		}},
	}
	if schema := e.DataSchema(); schema != "" {
		t.Spec.Attributes = append(t.Spec.Attributes, v1beta3.EventAttributeDefinition{Name: "dataschema", Value: schema})
	}
	return t
}

// run makes them, until the context ends.
func (t *eventTypes) run(ctx context.Context) {
	for {
		select {
		case <-ctx.Done():
			return
		case one := <-t.making:
			t.make(ctx, one)
		}
	}
}

func (t *eventTypes) make(ctx context.Context, one *v1beta3.EventType) {
	ctx, cancel := context.WithTimeout(ctx, typeTimeout)
	defer cancel()
	if _, err := t.client.EventTypes(one.Namespace).Create(ctx, one, metav1.CreateOptions{}); err != nil && !apierrors.IsAlreadyExists(err) {
		t.known.Remove(one.Namespace + "/" + one.Name)
		t.logger.Warnw("an event type cannot be created; the next event of its kind tries again", "namespace", one.Namespace, "name", one.Name, zap.Error(err))
	}
}
