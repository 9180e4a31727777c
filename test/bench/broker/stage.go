package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"time"

	apierrors "k8s.io/apimachinery/pkg/api/errors"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	eventingduckv1 "knative.dev/eventing/pkg/apis/duck/v1"
	eventingv1 "knative.dev/eventing/pkg/apis/eventing/v1"
	"knative.dev/pkg/apis"
	duckv1 "knative.dev/pkg/apis/duck/v1"

	"github.com/eventing-eventmesh/eventing-eventmesh/pkg/broker/table"
	"github.com/eventing-eventmesh/eventing-eventmesh/test/bench/broker/load"
)

const (
	home   = "broker-bench" // the namespace of the pod, and the name of its Service
	system = "knative-eventing"

	wanted = "org.example.order.created" // the type of all events
	many   = "many"                      // an extension, which says that more than one Trigger wants them
)

// class is one of those that are compared.
type class struct {
	name, config string
	// programs are on the way of an event. What apart are on it is counted apart, and controllers are not on it.
	programs, apart, controllers []program
	phases                       []phase
}

var classes = []class{
	{
		name: table.Class, config: "config-eventmesh-broker",
		programs:    []program{{system, "eventmesh-broker-ingress"}, {system, "eventmesh-broker-dispatcher"}},
		apart:       []program{{"eventmesh", "devmesh"}},
		controllers: []program{{system, "eventmesh-broker-controller"}},
		phases: []phase{
			{program{system, "eventmesh-broker-ingress"}, "EventMesh confirms", "messaging_client_operation_duration_seconds"},
			{program{system, "eventmesh-broker-dispatcher"}, "the disk keeps", "eventmesh_broker_dispatcher_spool_commit_duration_seconds"},
			{program{system, "eventmesh-broker-dispatcher"}, "the subscriber answers", "kn_eventing_dispatch_duration_seconds"},
		},
	},
	{
		name: "MTChannelBasedBroker", config: "config-br-default-channel",
		programs:    []program{{system, "mt-broker-ingress"}, {system, "imc-dispatcher"}, {system, "mt-broker-filter"}},
		controllers: []program{{system, "mt-broker-controller"}, {system, "imc-controller"}},
	},
}

// stage is a namespace with a Broker of each class, and its Triggers.
type stage struct {
	*bench
	name     string
	triggers int
	matching int               // of the case that is measured
	targets  map[string]string // URLs of the Brokers, by their classes
}

// prepare makes a stage, and waits until all is ready.
func (b *bench) prepare(ctx context.Context, triggers int) (*stage, error) {
	s := &stage{bench: b, name: fmt.Sprintf("%s-%d", home, triggers), triggers: triggers, targets: map[string]string{}}
	if err := s.forget(ctx); err != nil {
		return nil, err
	}
	namespace := &corev1.Namespace{ObjectMeta: metav1.ObjectMeta{Name: s.name, Labels: map[string]string{"app.kubernetes.io/part-of": home}}}
	if _, err := b.core.CoreV1().Namespaces().Create(ctx, namespace, metav1.CreateOptions{}); err != nil {
		return nil, err
	}
	for i := range classes {
		if err := s.populate(ctx, &classes[i]); err != nil {
			return nil, err
		}
	}
	return s, await(ctx, s.ready)
}

// forget deletes the namespace, and waits until it is gone.
func (s *stage) forget(ctx context.Context) error {
	namespaces := s.core.CoreV1().Namespaces()
	return await(ctx, func(ctx context.Context) (string, error) {
		if err := namespaces.Delete(ctx, s.name, metav1.DeleteOptions{}); !apierrors.IsNotFound(err) {
			return "the namespace " + s.name + " is still there", ignoreConflict(err)
		}
		return "", nil
	})
}

// ignoreConflict is for a namespace that is being deleted already.
func ignoreConflict(err error) error {
	if apierrors.IsConflict(err) {
		return nil
	}
	return err
}

// populate makes the Broker of a class, and its Triggers.
func (s *stage) populate(ctx context.Context, c *class) error {
	retries, exponential, delay := int32(10), eventingduckv1.BackoffPolicyExponential, "PT0.2S"
	broker := &eventingv1.Broker{
		ObjectMeta: metav1.ObjectMeta{
			Name: brokerName(c), Namespace: s.name, Annotations: map[string]string{eventingv1.BrokerClassAnnotationKey: c.name},
		},
		Spec: eventingv1.BrokerSpec{
			Config:   &duckv1.KReference{APIVersion: "v1", Kind: "ConfigMap", Namespace: system, Name: c.config},
			Delivery: &eventingduckv1.DeliverySpec{Retry: &retries, BackoffPolicy: &exponential, BackoffDelay: &delay},
		},
	}
	if _, err := s.eventing.EventingV1().Brokers(s.name).Create(ctx, broker, metav1.CreateOptions{}); err != nil {
		return err
	}
	for i := range s.triggers {
		path, err := apis.ParseURL(fmt.Sprintf("/%d", i))
		if err != nil {
			return err
		}
		trigger := &eventingv1.Trigger{
			ObjectMeta: metav1.ObjectMeta{Name: fmt.Sprintf("%s-%d", broker.Name, i), Namespace: s.name},
			Spec: eventingv1.TriggerSpec{
				Broker: broker.Name,
				Filter: &eventingv1.TriggerFilter{Attributes: wants(i)},
				Subscriber: duckv1.Destination{
					Ref: &duckv1.KReference{APIVersion: "v1", Kind: "Service", Namespace: home, Name: home}, URI: path,
				},
			},
		}
		if _, err := s.eventing.EventingV1().Triggers(s.name).Create(ctx, trigger, metav1.CreateOptions{}); err != nil {
			return err
		}
	}
	return nil
}

// mostMatching is how many Triggers match at most.
const mostMatching = 10

// wants are the attributes that a Trigger asks for, by its number: the first matches all events, the next nine those of which there are many,
// and others none.
func wants(i int) eventingv1.TriggerFilterAttributes {
	switch {
	case i == 0:
		return eventingv1.TriggerFilterAttributes{"type": wanted}
	case i < mostMatching:
		return eventingv1.TriggerFilterAttributes{"type": wanted, many: "true"}
	default:
		return eventingv1.TriggerFilterAttributes{"type": fmt.Sprintf("org.example.order.other-%d", i)}
	}
}

// ready tells what is not, and learns the addresses of the Brokers.
func (s *stage) ready(ctx context.Context) (missing string, err error) {
	for i := range classes {
		b, err := s.eventing.EventingV1().Brokers(s.name).Get(ctx, brokerName(&classes[i]), metav1.GetOptions{})
		if err != nil {
			return "", err
		}
		if !b.IsReady() {
			return fmt.Sprintf("the Broker %s is not ready: %+v", b.Name, b.Status.GetCondition(apis.ConditionReady)), nil
		}
		s.targets[classes[i].name] = b.Status.Address.URL.String()
	}
	all, err := s.eventing.EventingV1().Triggers(s.name).List(ctx, metav1.ListOptions{})
	if err != nil {
		return "", err
	}
	for i := range all.Items {
		if t := &all.Items[i]; t.Status.ObservedGeneration != t.Generation || !t.Status.IsReady() {
			return fmt.Sprintf("the Trigger %s is not ready: %+v", t.Name, t.Status.GetCondition(apis.ConditionReady)), nil
		}
	}
	return "", nil
}

// post carries out an order, for the Broker of a class.
func (s *stage) post(ctx context.Context, c *class, o load.Order) (r load.Result, err error) {
	o.Target, o.Matching, o.Size, o.Patience = s.targets[c.name], s.matching, s.size, 15*time.Second
	o.Attributes = map[string]string{"type": wanted, many: fmt.Sprint(s.matching > 1)}
	body, err := json.Marshal(o)
	if err != nil {
		return r, err
	}
	text, err := s.core.CoreV1().RESTClient().Post().Namespace(home).Resource("services").Name(home+":http").SubResource("proxy").Suffix("run").
		SetHeader("Content-Type", "application/json").Body(body).DoRaw(ctx)
	if err != nil {
		return r, fmt.Errorf("posting to %s: %w: %s", o.Target, err, text)
	}
	if err := json.Unmarshal(text, &r); err != nil {
		return r, err
	}
	if r.Events == 0 {
		return r, fmt.Errorf("posting to %s: nothing has been delivered: %+v", o.Target, r)
	}
	return r, nil
}

// await waits until nothing is missing.
func await(ctx context.Context, check func(context.Context) (missing string, err error)) error {
	deadline := time.After(5 * time.Minute)
	ticks := time.NewTicker(500 * time.Millisecond)
	defer ticks.Stop()
	for {
		missing, err := check(ctx)
		if err != nil || missing == "" {
			return err
		}
		select {
		case <-deadline:
			return errors.New(missing)
		case <-ctx.Done():
			return ctx.Err()
		case <-ticks.C:
		}
	}
}

func brokerName(c *class) string { return strings.ToLower(c.name) }
