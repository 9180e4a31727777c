package table

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"

	"go.uber.org/zap"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/types"
	eventingv1 "knative.dev/eventing/pkg/apis/eventing/v1"
	"knative.dev/pkg/apis"
	duckv1 "knative.dev/pkg/apis/duck/v1"
	"sigs.k8s.io/yaml"

	"github.com/eventing-eventmesh/eventing-eventmesh/internal/fresh"
)

// lookEvery is the time from one look at the file to the next.
const lookEvery = time.Second

// File is a source without a cluster: a file of YAML or JSON with Brokers, Triggers, event policies, ConfigMaps and Secrets, as kubectl prints
// them, also as a List. It is read again when it changes. What a controller would write into their statuses is made of their specs where it is not there:
// the address of a Broker, and those of subscribers and dead letter sinks that are URIs.
type File struct {
	// Path is the file.
	Path string
	// Address is the URL under which the ingress serves all Brokers.
	Address string
	// Standard is the ConfigMap of Brokers that name none.
	Standard types.NamespacedName
	// Logger is told of a file that cannot be read since it has changed.
	Logger *zap.SugaredLogger
}

// Run implements [Source]. The error is that of a file that cannot be read at the start.
func (f File) Run(ctx context.Context, changed func(*Table)) error {
	file := fresh.New(func(contents ...[]byte) (Objects, error) { return parseObjects(contents[0]) }, f.Path)
	m, first := maker{standard: f.Standard, receives: true}, true
	file.Changed = func(o Objects, err error) {
		switch {
		case err == nil:
			f.resolve(&o)
			changed(m.make(o))
		case !first:
			f.Logger.Errorw("the file of Brokers and Triggers cannot be read; they are served as before", "file", f.Path, zap.Error(err))
		}
	}
	if _, err := file.Get(); err != nil {
		return fmt.Errorf("%s: %w", f.Path, err)
	}
	first = false
	ticker := time.NewTicker(lookEvery)
	defer ticker.Stop()
	for {
		select {
		case <-ticker.C:
			_, _ = file.Get() // which calls Changed
		case <-ctx.Done():
			return nil
		}
	}
}

// parseObjects reads the objects of a file.
func parseObjects(content []byte) (Objects, error) {
	o := Objects{ConfigMaps: map[types.NamespacedName]*corev1.ConfigMap{}, Secrets: map[types.NamespacedName]*corev1.Secret{}}
	for i, document := range bytes.Split(append([]byte("\n"), content...), []byte("\n---")) {
		object, err := yaml.YAMLToJSON(document)
		if err == nil && string(object) != "null" {
			err = o.add(object)
		}
		if err != nil {
			return Objects{}, fmt.Errorf("document %d: %w", i+1, err)
		}
	}
	return o, nil
}

// add adds an object, or those of a list.
func (o *Objects) add(object []byte) error {
	var meta metav1.PartialObjectMetadata
	if err := json.Unmarshal(object, &meta); err != nil {
		return err
	}
	name := types.NamespacedName{Namespace: meta.Namespace, Name: meta.Name}
	var err error
	switch meta.Kind {
	case "List", "BrokerList", "TriggerList":
		var list struct {
			Items []runtime.RawExtension `json:"items"`
		}
		err = json.Unmarshal(object, &list)
		for i := 0; err == nil && i < len(list.Items); i++ {
			err = o.add(list.Items[i].Raw)
		}
		return err
	case "Broker":
		o.Brokers, err = appendObject(o.Brokers, object, meta)
	case "Trigger":
		o.Triggers, err = appendObject(o.Triggers, object, meta)
	case "EventPolicy":
		o.Policies, err = appendObject(o.Policies, object, meta)
	case kindConfigMap:
		o.ConfigMaps[name] = &corev1.ConfigMap{}
		err = json.Unmarshal(object, o.ConfigMaps[name])
	case kindSecret:
		var s corev1.Secret
		err = json.Unmarshal(object, &s)
		for key, value := range s.StringData { // which an API server would have moved
			if s.Data == nil {
				s.Data = map[string][]byte{}
			}
			s.Data[key] = []byte(value)
		}
		o.Secrets[name] = &s
	default:
		err = errors.New("want a Broker, a Trigger, an EventPolicy, a ConfigMap or a Secret")
	}
	if err != nil {
		return fmt.Errorf("%s %s: %w", meta.Kind, name, err)
	}
	return nil
}

var errNoUID = errors.New("metadata.uid is missing: want what tells it from all others that had or will have its name, as the cluster's objects have")

func appendObject[T any](objects []*T, object []byte, meta metav1.PartialObjectMetadata) ([]*T, error) {
	if meta.UID == "" {
		return objects, errNoUID
	}
	var t T
	err := json.Unmarshal(object, &t)
	return append(objects, &t), err
}

// resolve does what a controller would do.
func (f File) resolve(o *Objects) {
	byName := map[types.NamespacedName]*eventingv1.Broker{}
	for _, b := range o.Brokers {
		byName[types.NamespacedName{Namespace: b.Namespace, Name: b.Name}] = b
		if b.Status.Address == nil && f.Address != "" {
			if u, err := apis.ParseURL(f.Address + "/" + b.Namespace + "/" + b.Name); err == nil {
				b.Status.Address = &duckv1.Addressable{URL: u}
			}
		}
	}
	for _, t := range o.Triggers {
		if t.Status.SubscriberURI == nil {
			t.Status.SubscriberURI = t.Spec.Subscriber.URI
		}
		if t.Status.DeadLetterSinkURI != nil {
			continue
		}
		if of := byName[types.NamespacedName{Namespace: t.Namespace, Name: t.Spec.Broker}]; of != nil && of.Spec.Delivery != nil && of.Spec.Delivery.DeadLetterSink != nil {
			t.Status.DeadLetterSinkURI = of.Spec.Delivery.DeadLetterSink.URI
		}
		if d := t.Spec.Delivery; d != nil && d.DeadLetterSink != nil {
			t.Status.DeadLetterSinkURI = d.DeadLetterSink.URI
		}
	}
}

// marshal writes objects as parseObjects reads them, but for Secrets, which are not for disks.
func marshal(o Objects) ([]byte, error) {
	var items []any
	for _, b := range o.Brokers {
		if b.Annotations[eventingv1.BrokerClassAnnotationKey] == Class {
			b := *b
			b.TypeMeta = metav1.TypeMeta{APIVersion: eventingv1.SchemeGroupVersion.String(), Kind: "Broker"}
			items = append(items, b)
		}
	}
	for _, t := range o.Triggers {
		t := *t
		t.TypeMeta = metav1.TypeMeta{APIVersion: eventingv1.SchemeGroupVersion.String(), Kind: "Trigger"}
		items = append(items, t)
	}
	for _, name := range slices.SortedFunc(maps.Keys(o.ConfigMaps), func(a, b types.NamespacedName) int { return strings.Compare(a.String(), b.String()) }) {
		c := *o.ConfigMaps[name]
		c.TypeMeta = metav1.TypeMeta{APIVersion: "v1", Kind: kindConfigMap}
		items = append(items, c)
	}
	return json.Marshal(map[string]any{"apiVersion": "v1", "kind": "List", "items": items})
}
