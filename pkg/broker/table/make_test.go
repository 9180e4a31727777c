package table

import (
	"errors"
	"strings"
	"testing"

	"github.com/cloudevents/sdk-go/v2/event"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	eventingduckv1 "knative.dev/eventing/pkg/apis/duck/v1"
	eventingv1 "knative.dev/eventing/pkg/apis/eventing/v1"
	"knative.dev/pkg/apis"
	duckv1 "knative.dev/pkg/apis/duck/v1"

	"github.com/eventing-eventmesh/eventing-eventmesh/pkg/dispatch"
)

const (
	url    = "grpc://eventmesh:10205"
	system = "knative-eventing"
)

var standard = types.NamespacedName{Namespace: system, Name: "config-eventmesh-broker"}

func newBroker(name string) *eventingv1.Broker {
	return &eventingv1.Broker{ObjectMeta: metav1.ObjectMeta{
		Namespace: "shop", Name: name, UID: types.UID("01234567-" + name), Generation: 3,
		Annotations: map[string]string{eventingv1.BrokerClassAnnotationKey: Class},
	}}
}

func newTrigger(name, of string) *eventingv1.Trigger {
	return &eventingv1.Trigger{
		ObjectMeta: metav1.ObjectMeta{Namespace: "shop", Name: name, UID: types.UID("t-" + name), Generation: 2},
		Spec:       eventingv1.TriggerSpec{Broker: of},
		Status:     eventingv1.TriggerStatus{SubscriberURI: apis.HTTP("subscriber")},
	}
}

// objects are a Broker and its ConfigMap, and what a test does to them.
func objects(changes ...func(*Objects)) Objects {
	o := Objects{
		Brokers:    []*eventingv1.Broker{newBroker("default")},
		ConfigMaps: map[types.NamespacedName]*corev1.ConfigMap{standard: {Data: map[string]string{"eventmesh.url": url}}},
		Secrets:    map[types.NamespacedName]*corev1.Secret{}, Unread: map[Reference]error{},
	}
	for _, change := range changes {
		change(&o)
	}
	return o
}

func configured(of string, data map[string]string) func(*Objects) {
	return func(o *Objects) {
		o.ConfigMaps[types.NamespacedName{Namespace: system, Name: of}] = &corev1.ConfigMap{Data: data}
	}
}

func refersTo(kind, name string) func(*Objects) {
	return func(o *Objects) {
		o.Brokers[0].Spec.Config = &duckv1.KReference{Kind: kind, APIVersion: "v1", Namespace: system, Name: name}
	}
}

func TestBroker(t *testing.T) {
	credentials := types.NamespacedName{Namespace: system, Name: "secret"}
	withCredentials := map[string]string{"eventmesh.url": url, "eventmesh.credentials": "secret", "topic": "orders"}
	for name, test := range map[string]struct {
		objects Objects
		mesh    Mesh
		topic   string
		reason  string
		says    string
	}{
		"no spec.config":    {objects(), Mesh{URL: url}, "knative-shop-default-01234567", "", ""},
		"a ConfigMap":       {objects(refersTo("ConfigMap", "own"), configured("own", map[string]string{"eventmesh.url": url, "topic": "orders"})), Mesh{URL: url}, "orders", "", ""},
		"that of a channel": {objects(refersTo("ConfigMap", "channel"), configured("channel", map[string]string{"channel-template-spec": ""})), Mesh{URL: url}, "knative-shop-default-01234567", "", ""},
		"that of another namespace": {objects(func(o *Objects) {
			o.Brokers[0].Spec.Config = &duckv1.KReference{Kind: "ConfigMap", APIVersion: "v1", Namespace: "bank", Name: "own"}
			o.ConfigMaps[types.NamespacedName{Namespace: "bank", Name: "own"}] = &corev1.ConfigMap{Data: map[string]string{"eventmesh.url": url, "topic": "payments"}}
		}), Mesh{}, "", ReasonConfigUnsupported, "spec.config is in namespace bank"},
		"that of its own": {objects(func(o *Objects) {
			o.Brokers[0].Spec.Config = &duckv1.KReference{Kind: "ConfigMap", APIVersion: "v1", Name: "own"}
			o.ConfigMaps[types.NamespacedName{Namespace: "shop", Name: "own"}] = &corev1.ConfigMap{Data: map[string]string{"eventmesh.url": url}}
		}), Mesh{URL: url}, "knative-shop-default-01234567", "", ""},
		"no ConfigMap":         {objects(refersTo("RabbitmqBrokerConfig", "x")), Mesh{}, "", ReasonConfigUnsupported, "spec.config is a RabbitmqBrokerConfig"},
		"one that is not":      {objects(refersTo("ConfigMap", "gone")), Mesh{}, "", ReasonConfigNotFound, "ConfigMap knative-eventing/gone: it does not exist"},
		"one that is wrong":    {objects(configured(standard.Name, map[string]string{"eventmesh.url": "x"})), Mesh{}, "", ReasonConfigInvalid, "ConfigMap knative-eventing/config-eventmesh-broker: eventmesh.url"},
		"a default of nothing": {objects(configured(standard.Name, nil)), Mesh{}, "", ReasonConfigInvalid, "eventmesh.url: want the URL"},
		"a wrong key": {
			objects(refersTo("ConfigMap", "own"), configured("own", map[string]string{"eventmesh.uri": "grpc://another"})), Mesh{}, "", ReasonConfigInvalid,
			"ConfigMap knative-eventing/own: eventmesh.uri: there is no such key",
		},
		"a default that is a channel's": {objects(configured(standard.Name, map[string]string{"channel-template-spec": ""})), Mesh{}, "", ReasonConfigInvalid, "has none of the keys"},
		"one that is secret": {objects(refersTo("ConfigMap", "own"), func(o *Objects) {
			o.Unread[Reference{kindConfigMap, types.NamespacedName{Namespace: system, Name: "own"}}] = errors.New("forbidden")
		}), Mesh{}, "", ReasonConfigNotFound, "forbidden"},
		"credentials": {objects(configured(standard.Name, withCredentials), func(o *Objects) {
			o.Secrets[credentials] = &corev1.Secret{Data: map[string][]byte{"username": []byte("u"), "password": []byte("p")}}
		}), Mesh{URL: url, Username: "u", Password: "p"}, "orders", "", ""},
		"no credentials": {objects(configured(standard.Name, withCredentials)), Mesh{}, "", ReasonCredentialsNotFound, "Secret knative-eventing/secret"},
		"no password": {objects(configured(standard.Name, withCredentials), func(o *Objects) {
			o.Secrets[credentials] = &corev1.Secret{Data: map[string][]byte{"username": []byte("u")}}
		}), Mesh{}, "", ReasonCredentialsNotFound, "want the keys username and password"},
		"a topic for good": {objects(func(o *Objects) {
			o.Brokers[0].Status.Annotations = map[string]string{TopicAnnotation: "orders"}
		}), Mesh{URL: url}, "orders", ReasonTopicIsImmutable, "has topic orders for good"},
	} {
		t.Run(name, func(t *testing.T) {
			m := maker{standard: standard}
			b := m.make(test.objects).Brokers[0]
			if b.Mesh != test.mesh || b.Topic != test.topic || b.UID != "01234567-default" || b.Generation != 3 || b.Group != "knative-01234567default" {
				t.Errorf("got %+v", b)
			}
			switch {
			case test.reason == "" && b.Problem != nil:
				t.Errorf("got problem %v", b.Problem)
			case test.reason != "" && (b.Problem == nil || b.Problem.Reason != test.reason || !strings.Contains(b.Problem.Message, test.says)):
				t.Errorf("got problem %v, want %s: %s", b.Problem, test.reason, test.says)
			}
		})
	}
}

// What has been served goes on when its configuration is gone, and so does the topic.
func TestBrokerAfterItsConfiguration(t *testing.T) {
	m := maker{standard: standard}
	m.make(objects())
	b := m.make(objects(func(o *Objects) { delete(o.ConfigMaps, standard) })).Brokers[0]
	if b.Mesh.URL != url || b.Topic != "knative-shop-default-01234567" || b.Problem == nil || b.Problem.Reason != ReasonConfigNotFound {
		t.Errorf("got %+v, %v", b, b.Problem)
	}
	b = m.make(objects(configured(standard.Name, map[string]string{"eventmesh.url": "tcp://other:1", "topic": "another"}))).Brokers[0]
	if b.Mesh.URL != "tcp://other:1" || b.Topic != "knative-shop-default-01234567" || b.Problem == nil || b.Problem.Reason != ReasonTopicIsImmutable {
		t.Errorf("with another topic: got %+v, %v", b, b.Problem)
	}
	if len(m.asked) != 1 || m.asked[0].Name != standard.Name {
		t.Errorf("asked for %v", m.asked)
	}
}

// Brokers and Triggers of other classes are none.
func TestOnlyOfTheClass(t *testing.T) {
	other, deleted := newBroker("other"), newBroker("deleted")
	other.Annotations[eventingv1.BrokerClassAnnotationKey] = "MTChannelBasedBroker"
	deleted.DeletionTimestamp = &metav1.Time{}
	m := maker{standard: standard}
	gone := newTrigger("gone", "default")
	gone.DeletionTimestamp = &metav1.Time{}
	elsewhere := newTrigger("elsewhere", "default")
	elsewhere.Namespace = "another"
	got := m.make(objects(func(o *Objects) {
		o.Brokers = append(o.Brokers, other, deleted)
		o.Triggers = []*eventingv1.Trigger{newTrigger("a", "other"), newTrigger("b", "deleted"), newTrigger("c", "default"), newTrigger("d", "none"), gone, elsewhere}
	}))
	if len(got.Brokers) != 1 || len(got.Brokers[0].Triggers) != 1 || got.Brokers[0].Triggers[0].Name != "c" {
		t.Errorf("got %+v", got.Brokers)
	}
}

func TestTrigger(t *testing.T) {
	retry := int32(7)
	wrong := int32(-1)
	account := "account"
	for name, test := range map[string]struct {
		change  func(*eventingv1.Trigger)
		want    func(Trigger) bool
		problem string
	}{
		"as it is":                    {func(*eventingv1.Trigger) {}, func(t Trigger) bool { return t.Subscriber.URL == "http://subscriber" && t.Delivery.Retries == 4 }, ""},
		"no subscriber":               {func(t *eventingv1.Trigger) { t.Status.SubscriberURI = nil }, func(t Trigger) bool { return t.Subscriber == Endpoint{} }, ReasonSubscriberUnresolved},
		"its own delivery":            {func(t *eventingv1.Trigger) { t.Spec.Delivery = &eventingduckv1.DeliverySpec{Retry: &retry} }, func(t Trigger) bool { return t.Delivery.Retries == 7 }, ""},
		"a delivery that is none":     {func(t *eventingv1.Trigger) { t.Spec.Delivery = &eventingduckv1.DeliverySpec{Retry: &wrong} }, func(t Trigger) bool { return t.Subscriber == Endpoint{} }, ReasonDeliveryInvalid},
		"a filter that is none":       {func(t *eventingv1.Trigger) { t.Spec.Filters = []eventingv1.SubscriptionsAPIFilter{{CESQL: "("}} }, matchesNothing, ReasonFilterInvalid},
		"a dead letter sink":          {func(t *eventingv1.Trigger) { t.Status.DeadLetterSinkURI = apis.HTTP("dead") }, func(t Trigger) bool { return t.DeadLetterSink.URL == "http://dead" }, ""},
		"an identity":                 {func(t *eventingv1.Trigger) { t.Status.Auth = &duckv1.AuthStatus{ServiceAccountName: &account} }, func(t Trigger) bool { return t.ServiceAccount == account }, ""},
		"an order":                    {annotated(OrderingAnnotation, "Strict"), func(t Trigger) bool { return t.Ordering == dispatch.Strict }, ""},
		"an order that is none":       {annotated(OrderingAnnotation, "random"), func(t Trigger) bool { return t.Ordering == dispatch.Unordered }, ReasonAnnotationInvalid},
		"requests in flight":          {annotated(MaxInFlightAnnotation, "3"), func(t Trigger) bool { return t.MaxInFlight == 3 }, ""},
		"too many requests in flight": {annotated(MaxInFlightAnnotation, "1001"), func(t Trigger) bool { return t.MaxInFlight == 0 }, ReasonAnnotationInvalid},
		"it waits":                    {annotated(OverflowAnnotation, "wait"), func(t Trigger) bool { return !t.Overflow }, ""},
		"it overflows":                {overflowing("http://dead", "http://subscriber"), func(t Trigger) bool { return t.Overflow }, ""},
		"it overflows to nowhere":     {overflowing("", "http://subscriber"), func(t Trigger) bool { return t.Subscriber.URL == "http://subscriber" }, ReasonAnnotationInvalid},
		"nothing is resolved yet":     {overflowing("", ""), func(t Trigger) bool { return t.Overflow }, ReasonSubscriberUnresolved},
		"an overflow that is none":    {annotated(OverflowAnnotation, "drop"), func(t Trigger) bool { return !t.Overflow }, ReasonAnnotationInvalid},
	} {
		t.Run(name, func(t *testing.T) {
			object := newTrigger("a", "default")
			test.change(object)
			m := maker{standard: standard}
			four := int32(4)
			got := m.make(objects(func(o *Objects) {
				o.Brokers[0].Spec.Delivery = &eventingduckv1.DeliverySpec{Retry: &four}
				o.Triggers = []*eventingv1.Trigger{object}
			})).Brokers[0].Triggers[0]
			if !test.want(got) || got.Generation != 2 {
				t.Errorf("got %+v", got)
			}
			if (got.Problem == nil) != (test.problem == "") || got.Problem != nil && got.Problem.Reason != test.problem {
				t.Errorf("got problem %v, want %q", got.Problem, test.problem)
			}
		})
	}
}

func annotated(name, value string) func(*eventingv1.Trigger) {
	return func(t *eventingv1.Trigger) { t.Annotations = map[string]string{name: value} }
}

// overflowing is a Trigger that overflows, with these addresses; "" is none.
func overflowing(dead, subscriber string) func(*eventingv1.Trigger) {
	return func(t *eventingv1.Trigger) {
		annotated(OverflowAnnotation, "dead-letter")(t)
		t.Status.DeadLetterSinkURI, _ = apis.ParseURL(dead)
		t.Status.SubscriberURI, _ = apis.ParseURL(subscriber)
	}
}

func matchesNothing(t Trigger) bool {
	matches, _ := t.Filter.Match(event.New())
	return !matches
}

// A filter is built once for each generation of a Trigger, so that it is the same as long as that is.
func TestFiltersAreKept(t *testing.T) {
	m := maker{standard: standard}
	object := newTrigger("a", "default")
	object.Spec.Filter = &eventingv1.TriggerFilter{Attributes: map[string]string{"type": "a"}}
	make1 := func() Trigger {
		return m.make(objects(func(o *Objects) { o.Triggers = []*eventingv1.Trigger{object} })).Brokers[0].Triggers[0]
	}
	first := make1()
	if again := make1(); again.Filter != first.Filter {
		t.Error("the filter of the same generation is another one")
	}
	object.Generation++
	if next := make1(); next.Filter == first.Filter {
		t.Error("the filter of another generation is the same")
	}
}
