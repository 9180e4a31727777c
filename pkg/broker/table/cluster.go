package table

import (
	"bytes"
	"context"
	"fmt"
	"os"
	"slices"
	"strings"
	"sync"
	"time"

	"go.uber.org/zap"
	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/fields"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/rest"
	"k8s.io/client-go/tools/cache"
	eventingv1 "knative.dev/eventing/pkg/apis/eventing/v1"
	eventingv1alpha1 "knative.dev/eventing/pkg/apis/eventing/v1alpha1"
	"knative.dev/eventing/pkg/client/clientset/versioned"
	"knative.dev/eventing/pkg/eventingtls"
)

// answerIn is how long the cluster may take before a copy of the last table is of use.
const answerIn = 10 * time.Second

// Cluster is a source that watches Brokers, Triggers, and the ConfigMaps and Secrets that Brokers name, each of these by its name: no right
// is needed to read others.
type Cluster struct {
	// Config says how the cluster is reached.
	Config *rest.Config
	// Standard is the ConfigMap of Brokers that name none.
	Standard types.NamespacedName
	// Receives says that events of senders are received: it is of interest who may send, by event policies and features of Knative Eventing.
	// Who delivers them needs Triggers instead, and whom to trust.
	Receives bool
	// Copy is a file with the last table, without Secrets, from which one is made while the cluster does not answer; "": none.
	Copy string
	// Logger is told of what cannot be read.
	Logger *zap.SugaredLogger
}

// watch is a cluster that is watched.
type watch struct {
	Cluster
	core    rest.Interface
	maker   maker
	all     []cache.SharedInformer // of Brokers, and of Triggers and trust bundles, or of event policies
	changed chan struct{}          // holds a value when there may be another table
	copied  []byte                 // what the copy holds

	named map[Reference]*named

	watching sync.WaitGroup
}

// named is an object that is watched by its name.
type named struct {
	cache.SharedInformer
	end context.CancelFunc

	mu  sync.Mutex
	err error // why it could not be read, the last time
}

// Run implements [Source].
func (c Cluster) Run(ctx context.Context, changed func(*Table)) error {
	eventing, err := versioned.NewForConfig(c.Config)
	if err != nil {
		return fmt.Errorf("creating a client of Knative Eventing: %w", err)
	}
	core, err := kubernetes.NewForConfig(c.Config)
	if err != nil {
		return fmt.Errorf("creating a client of Kubernetes: %w", err)
	}
	w := &watch{
		Cluster: c, core: core.CoreV1().RESTClient(), maker: maker{standard: c.Standard, receives: c.Receives},
		changed: make(chan struct{}, 1), named: map[Reference]*named{},
	}
	everything := func(*metav1.ListOptions) {}
	w.all = []cache.SharedInformer{w.informer(ctx, eventing.EventingV1().RESTClient(), "brokers", &eventingv1.Broker{}, "", everything, nil)}
	if c.Receives {
		w.all = append(w.all, w.informer(ctx, eventing.EventingV1alpha1().RESTClient(), "eventpolicies", &eventingv1alpha1.EventPolicy{}, "", everything, nil))
	} else {
		w.all = append(w.all, w.informer(ctx, eventing.EventingV1().RESTClient(), "triggers", &eventingv1.Trigger{}, "", everything, nil),
			w.informer(ctx, w.core, "configmaps", &corev1.ConfigMap{}, c.Standard.Namespace, func(o *metav1.ListOptions) { o.LabelSelector = eventingtls.TrustBundleLabelSelector }, nil))
	}
	defer w.watching.Wait()
	late := time.After(answerIn)
	for {
		select {
		case <-ctx.Done():
			return nil
		case <-late:
			if !w.synced() {
				w.fromCopy(changed)
			}
		case <-w.changed:
			w.update(ctx, changed)
		}
	}
}

// informer watches objects, and tells of each change. failed is told of each error.
func (w *watch) informer(ctx context.Context, client cache.Getter, resource string, of runtime.Object, namespace string, which func(*metav1.ListOptions), failed func(error)) cache.SharedInformer {
	i := cache.NewSharedInformer(cache.NewFilteredListWatchFromClient(client, resource, namespace, which), of, 0)
	_ = i.SetTransform(func(object any) (any, error) { // it has not started, so that this cannot fail, nor the next
		if o, err := meta.Accessor(object); err == nil {
			o.SetManagedFields(nil)
		}
		return object, nil
	})
	_ = i.SetWatchErrorHandler(func(_ *cache.Reflector, err error) {
		w.Logger.Warnw("the cluster cannot be watched for now", "resource", resource, zap.Error(err))
		if failed != nil {
			failed(err)
		}
		w.wake()
	})
	registered, _ := i.AddEventHandler(cache.ResourceEventHandlerFuncs{
		AddFunc: func(any) { w.wake() }, UpdateFunc: func(any, any) { w.wake() }, DeleteFunc: func(any) { w.wake() },
	})
	w.watching.Go(func() { i.Run(ctx.Done()) })
	w.watching.Go(func() {
		cache.WaitForCacheSync(ctx.Done(), registered.HasSynced)
		w.wake()
	})
	return i
}

func (w *watch) wake() {
	select {
	case w.changed <- struct{}{}:
	default:
	}
}

// synced tells whether all of them are known.
func (w *watch) synced() bool {
	return !slices.ContainsFunc(w.all, func(i cache.SharedInformer) bool { return !i.HasSynced() })
}

// update makes a table, if all is known that it needs.
func (w *watch) update(ctx context.Context, changed func(*Table)) {
	if !w.synced() {
		return
	}
	t := w.maker.make(w.objects())
	pending := w.need(ctx, w.maker.asked)
	if pending {
		return
	}
	w.save(t) // first: a Trigger that is served has to be in the copy
	changed(t)
}

// objects are those that are known.
func (w *watch) objects() Objects {
	o := Objects{
		ConfigMaps: map[types.NamespacedName]*corev1.ConfigMap{}, Secrets: map[types.NamespacedName]*corev1.Secret{}, Unread: map[Reference]error{},
	}
	for _, i := range w.all {
		for _, object := range i.GetStore().List() {
			switch object := object.(type) {
			case *eventingv1.Broker:
				o.Brokers = append(o.Brokers, object)
			case *eventingv1.Trigger:
				o.Triggers = append(o.Triggers, object)
			case *eventingv1alpha1.EventPolicy:
				o.Policies = append(o.Policies, object)
			case *corev1.ConfigMap:
				o.ConfigMaps[types.NamespacedName{Namespace: object.Namespace, Name: object.Name}] = object
			}
		}
	}
	slices.SortFunc(o.Brokers, func(a, b *eventingv1.Broker) int { return strings.Compare(string(a.UID), string(b.UID)) })
	slices.SortFunc(o.Triggers, func(a, b *eventingv1.Trigger) int { return strings.Compare(string(a.UID), string(b.UID)) })
	for reference, one := range w.named {
		for _, object := range one.GetStore().List() {
			switch object := object.(type) {
			case *corev1.ConfigMap:
				o.ConfigMaps[reference.NamespacedName] = object
			case *corev1.Secret:
				o.Secrets[reference.NamespacedName] = object
			}
		}
		if err := one.failure(); err != nil && !one.HasSynced() {
			o.Unread[reference] = err
		}
	}
	return o
}

func (n *named) failure() error {
	n.mu.Lock()
	defer n.mu.Unlock()
	return n.err
}

func (n *named) failed(err error) {
	n.mu.Lock()
	defer n.mu.Unlock()
	n.err = err
}

// need watches what a table needs, and no other object by its name. It tells whether some of it is not known yet.
func (w *watch) need(ctx context.Context, all []Reference) (pending bool) {
	for _, reference := range all {
		one := w.named[reference]
		if one == nil {
			one = w.watchNamed(ctx, reference)
			w.named[reference] = one
		}
		pending = pending || !one.HasSynced() && one.failure() == nil
	}
	for reference, one := range w.named {
		if !slices.Contains(all, reference) {
			one.end()
			delete(w.named, reference)
		}
	}
	return pending
}

func (w *watch) watchNamed(ctx context.Context, r Reference) *named {
	ctx, end := context.WithCancel(ctx)
	n := &named{end: end}
	resource, object := "configmaps", runtime.Object(&corev1.ConfigMap{})
	if r.Kind == kindSecret {
		resource, object = "secrets", &corev1.Secret{}
	}
	n.SharedInformer = w.informer(ctx, w.core, resource, object, r.Namespace, func(o *metav1.ListOptions) {
		o.FieldSelector = fields.OneTermEqualSelector(metav1.ObjectNameField, r.Name).String()
	}, n.failed)
	return n
}

// fromCopy makes a table of the copy, if there is one.
func (w *watch) fromCopy(changed func(*Table)) {
	if w.Copy == "" {
		return
	}
	content, err := os.ReadFile(w.Copy)
	if err != nil {
		return // there has been none
	}
	o, err := parseObjects(content)
	if err != nil {
		w.Logger.Errorw("the copy of the last Brokers and Triggers cannot be read", "file", w.Copy, zap.Error(err))
		return
	}
	w.Logger.Warnw("the cluster does not answer: the Brokers and Triggers are served that there were the last time", "file", w.Copy)
	t := w.maker.make(o)
	t.Stale = true
	changed(t)
}

// save copies a table.
func (w *watch) save(t *Table) {
	if w.Copy == "" {
		return
	}
	content, err := marshal(t.Objects)
	if err != nil || bytes.Equal(content, w.copied) {
		return
	}
	if err = os.WriteFile(w.Copy+".new", content, 0o600); err == nil {
		err = os.Rename(w.Copy+".new", w.Copy)
	}
	if err != nil {
		w.Logger.Warnw("the Brokers and Triggers cannot be copied: after a restart they are not known until the cluster answers", "file", w.Copy, zap.Error(err))
		return
	}
	w.copied = content
}
