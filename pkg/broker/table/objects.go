package table

import (
	"errors"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/types"
	eventingv1 "knative.dev/eventing/pkg/apis/eventing/v1"
	eventingv1alpha1 "knative.dev/eventing/pkg/apis/eventing/v1alpha1"
)

// Objects are what a table is made of. None of them is changed.
type Objects struct {
	Brokers    []*eventingv1.Broker
	Triggers   []*eventingv1.Trigger
	Policies   []*eventingv1alpha1.EventPolicy
	ConfigMaps map[types.NamespacedName]*corev1.ConfigMap
	Secrets    map[types.NamespacedName]*corev1.Secret
	// Unread says why ConfigMaps and Secrets could not be read that a Broker names, other than that they do not exist.
	Unread map[Reference]error
}

// Reference names a ConfigMap or a Secret.
type Reference struct {
	Kind string
	types.NamespacedName
}

const (
	kindConfigMap = "ConfigMap"
	kindSecret    = "Secret"
)

var errNoObject = errors.New("it does not exist")

// configMap returns one, or why there is none.
func (o *Objects) configMap(name types.NamespacedName) (*corev1.ConfigMap, error) {
	if found := o.ConfigMaps[name]; found != nil {
		return found, nil
	}
	return nil, o.unread(Reference{kindConfigMap, name})
}

// secret returns one, or why there is none.
func (o *Objects) secret(name types.NamespacedName) (*corev1.Secret, error) {
	if found := o.Secrets[name]; found != nil {
		return found, nil
	}
	return nil, o.unread(Reference{kindSecret, name})
}

func (o *Objects) unread(r Reference) error {
	if err := o.Unread[r]; err != nil {
		return err
	}
	return errNoObject
}
