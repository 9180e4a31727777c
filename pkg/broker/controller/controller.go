package controller

import (
	"context"
	"runtime"
	"sync"
	"sync/atomic"

	"go.uber.org/zap"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/labels"
	"k8s.io/client-go/informers"
	coreinformers "k8s.io/client-go/informers/core/v1"
	corelisters "k8s.io/client-go/listers/core/v1"
	"k8s.io/client-go/tools/cache"
	eventingv1 "knative.dev/eventing/pkg/apis/eventing/v1"
	"knative.dev/eventing/pkg/apis/feature"
	"knative.dev/eventing/pkg/auth"
	brokerinformer "knative.dev/eventing/pkg/client/injection/informers/eventing/v1/broker"
	triggerinformer "knative.dev/eventing/pkg/client/injection/informers/eventing/v1/trigger"
	policyinformer "knative.dev/eventing/pkg/client/injection/informers/eventing/v1alpha1/eventpolicy"
	brokerreconciler "knative.dev/eventing/pkg/client/injection/reconciler/eventing/v1/broker"
	triggerreconciler "knative.dev/eventing/pkg/client/injection/reconciler/eventing/v1/trigger"
	"knative.dev/eventing/pkg/duck"
	"knative.dev/pkg/client/injection/ducks/duck/v1/source"
	kubeclient "knative.dev/pkg/client/injection/kube/client"
	"knative.dev/pkg/configmap"
	"knative.dev/pkg/controller"
	"knative.dev/pkg/kmeta"
	"knative.dev/pkg/logging"
	pkgreconciler "knative.dev/pkg/reconciler"
	"knative.dev/pkg/resolver"
	"knative.dev/pkg/system"

	"github.com/eventing-eventmesh/eventing-eventmesh/internal/version"
	"github.com/eventing-eventmesh/eventing-eventmesh/pkg/broker/table"
)

// shared is what both controllers ask, once a process.
var shared = sync.OnceValue(func() *asker { return &asker{} })

// asker asks the pods, and enqueues what has another verdict than before.
type asker struct {
	once sync.Once
	pods *pods

	mu              sync.Mutex
	brokers         brokerEnqueuer
	triggers        triggerEnqueuer
	brokerVerdicts  map[string]ofBroker
	triggerVerdicts map[string]verdict
}

type (
	brokerEnqueuer  func(yield func(*eventingv1.Broker) (changed bool))
	triggerEnqueuer func(yield func(t *eventingv1.Trigger, b *eventingv1.Broker) (changed bool))
)

// ofBroker is what the pods say of a Broker.
type ofBroker struct {
	ingress, dispatcher verdict
	secure              https
}

// start starts asking, once.
func (a *asker) start(ctx context.Context) *pods {
	a.once.Do(func() {
		a.pods = newPods(podLister(ctx))
		go a.pods.run(ctx, a.compare)
	})
	return a.pods
}

// podLister lists the pods of the data plane.
func podLister(ctx context.Context) corelisters.PodLister {
	pods := labelled(ctx, system.Namespace(), nameLabel+" in ("+roleIngress+","+roleDispatcher+")").Pods()
	start(ctx, pods.Informer())
	return pods.Lister()
}

// labelled has informers of the objects with labels, in one namespace or in all.
func labelled(ctx context.Context, namespace, selector string) coreinformers.Interface {
	return informers.NewSharedInformerFactoryWithOptions(kubeclient.Get(ctx), 0, informers.WithNamespace(namespace),
		informers.WithTweakListOptions(func(o *metav1.ListOptions) { o.LabelSelector = selector })).Core().V1()
}

// start starts an informer, and waits until it knows all.
func start(ctx context.Context, informer cache.SharedIndexInformer) {
	if err := controller.StartInformers(ctx.Done(), informer); err != nil {
		logging.FromContext(ctx).Fatalw("watching the cluster", zap.Error(err))
	}
}

// compare enqueues what the pods say something else of than the last time.
func (a *asker) compare() {
	a.mu.Lock()
	defer a.mu.Unlock()
	if a.brokers == nil || a.triggers == nil {
		return
	}
	brokers, secure := map[string]ofBroker{}, a.pods.https()
	a.brokers(func(b *eventingv1.Broker) bool {
		uid := string(b.UID)
		ingress, dispatcher, _ := a.pods.verdicts(b)
		brokers[uid] = ofBroker{ingress, dispatcher, secure}
		before, known := a.brokerVerdicts[uid]
		return !known || brokers[uid] != before
	})
	a.brokerVerdicts = brokers
	triggers := map[string]verdict{}
	a.triggers(func(t *eventingv1.Trigger, b *eventingv1.Broker) bool {
		uid := string(t.UID)
		triggers[uid] = a.pods.trigger(string(b.UID), uid, t.Generation, wasSubscribed(t))
		before, known := a.triggerVerdicts[uid]
		return !known || triggers[uid] != before
	})
	a.triggerVerdicts = triggers
}

// NewBrokers returns the controller of Brokers.
func NewBrokers(ctx context.Context, watcher configmap.Watcher) *controller.Impl {
	logging.FromContext(ctx).Infow("starting", "version", version.Of(), "go", runtime.Version())
	eventingv1.RegisterAlternateBrokerConditionSet(brokerConditions)
	informer, policies := brokerinformer.Get(ctx), policyinformer.Get(ctx)
	ours := pkgreconciler.AnnotationFilterFunc(eventingv1.BrokerClassAnnotationKey, table.Class, false)
	a := shared()
	r := &brokers{pods: a.start(ctx), policies: policies.Lister()}
	features, changed := featureStore(ctx, watcher)
	impl := brokerreconciler.NewImpl(ctx, r, table.Class, func(*controller.Impl) controller.Options {
		return controller.Options{ConfigStore: features, PromoteFilterFunc: ours}
	})
	changed(func() { impl.FilteredGlobalResync(ours, informer.Informer()) })
	r.resolver = resolver.NewURIResolverFromTracker(ctx, impl.Tracker)
	handle(informer.Informer(), ours, controller.HandleAll(impl.Enqueue))
	_, _ = policies.Informer().AddEventHandler(auth.EventPolicyEventHandler(informer.Informer().GetIndexer(), brokerKind.GroupKind(), impl.EnqueueKey))
	a.mu.Lock()
	defer a.mu.Unlock()
	a.brokers = func(changed func(*eventingv1.Broker) bool) {
		for _, b := range list(informer.Lister().List) {
			if ours(b) && changed(b) {
				impl.Enqueue(b)
			}
		}
	}
	return impl
}

// featureStore holds the features of Knative. What is given to changed is called when they are others.
func featureStore(ctx context.Context, watcher configmap.Watcher) (store *feature.Store, changed func(func())) {
	var call atomic.Pointer[func()]
	store = feature.NewStore(logging.FromContext(ctx).Named("features"), func(string, any) {
		if f := call.Load(); f != nil {
			(*f)()
		}
	})
	store.WatchConfigs(watcher)
	return store, func(f func()) { call.Store(&f) }
}

// NewTriggers returns the controller of Triggers.
func NewTriggers(ctx context.Context, watcher configmap.Watcher) *controller.Impl {
	informer, brokerInformer := triggerinformer.Get(ctx), brokerinformer.Get(ctx)
	a := shared()
	accounts := labelled(ctx, metav1.NamespaceAll, auth.OIDCLabelSelector).ServiceAccounts()
	r := &triggers{pods: a.start(ctx), brokers: brokerInformer.Lister(), accounts: accounts.Lister(), client: kubeclient.Get(ctx)}
	features, changed := featureStore(ctx, watcher)
	impl := triggerreconciler.NewImpl(ctx, r, func(*controller.Impl) controller.Options {
		return controller.Options{ConfigStore: features, PromoteFilterFunc: r.ours}
	})
	changed(func() { impl.FilteredGlobalResync(r.ours, informer.Informer()) })
	r.sources = duck.NewListableTrackerFromTracker(ctx, source.Get, impl.Tracker)
	r.resolver = resolver.NewURIResolverFromTracker(ctx, impl.Tracker)
	handle(informer.Informer(), r.ours, controller.HandleAll(impl.Enqueue))
	handle(accounts.Informer(), r.accountOf(informer.Lister()), controller.HandleAll(impl.EnqueueControllerOf))
	start(ctx, accounts.Informer())
	handle(brokerInformer.Informer(), anyObject, controller.HandleAll(func(object any) { // of any class: it may have taken the name of one of ours
		b, err := kmeta.DeletionHandlingAccessor(object)
		if err != nil {
			return // there are no others
		}
		for _, t := range list(informer.Lister().Triggers(b.GetNamespace()).List) {
			if t.Spec.Broker == b.GetName() && r.ours(t) {
				impl.Enqueue(t)
			}
		}
	}))
	a.mu.Lock()
	defer a.mu.Unlock()
	a.triggers = func(changed func(*eventingv1.Trigger, *eventingv1.Broker) bool) {
		for _, t := range list(informer.Lister().List) {
			if b, _ := brokerOf(r.brokers, t); b != nil && changed(t, b) {
				impl.Enqueue(t)
			}
		}
	}
	return impl
}

func anyObject(any) bool { return true }

// list lists what is in memory, so that it cannot fail.
func list[T any](of func(labels.Selector) ([]T, error)) []T {
	all, _ := of(labels.Everything())
	return all
}

// handle has a handler called with some of the objects. That cannot fail before an informer has ended.
func handle(informer cache.SharedIndexInformer, filter func(any) bool, handler cache.ResourceEventHandler) {
	_, _ = informer.AddEventHandler(cache.FilteringResourceEventHandler{FilterFunc: filter, Handler: handler})
}
