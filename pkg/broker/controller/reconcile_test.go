package controller

import (
	"context"
	"errors"
	"strings"
	"testing"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/equality"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/client-go/kubernetes/fake"
	corelisters "k8s.io/client-go/listers/core/v1"
	k8stesting "k8s.io/client-go/testing"
	"k8s.io/client-go/tools/cache"
	eventingduckv1 "knative.dev/eventing/pkg/apis/duck/v1"
	eventingv1 "knative.dev/eventing/pkg/apis/eventing/v1"
	eventingv1alpha1 "knative.dev/eventing/pkg/apis/eventing/v1alpha1"
	"knative.dev/eventing/pkg/apis/feature"
	"knative.dev/eventing/pkg/auth"
	eventinglisters "knative.dev/eventing/pkg/client/listers/eventing/v1"
	policylisters "knative.dev/eventing/pkg/client/listers/eventing/v1alpha1"
	"knative.dev/pkg/apis"
	duckv1 "knative.dev/pkg/apis/duck/v1"
	"knative.dev/pkg/client/injection/ducks/duck/v1/addressable"
	_ "knative.dev/pkg/client/injection/ducks/duck/v1/addressable/fake"
	_ "knative.dev/pkg/injection/clients/dynamicclient/fake"
	rectesting "knative.dev/pkg/reconciler/testing"
	"knative.dev/pkg/resolver"
	"knative.dev/pkg/tracker"

	"github.com/eventing-eventmesh/eventing-eventmesh/pkg/broker/dataplane"
	"github.com/eventing-eventmesh/eventing-eventmesh/pkg/broker/table"
)

func newResolver(t *testing.T) (context.Context, *resolver.URIResolver) {
	t.Helper()
	ctx, _ := rectesting.SetupFakeContext(t)
	ctx = addressable.WithDuck(ctx)
	return ctx, resolver.NewURIResolverFromTracker(ctx, tracker.New(func(types.NamespacedName) {}, 0))
}

func newBroker() *eventingv1.Broker {
	b := &eventingv1.Broker{ObjectMeta: metav1.ObjectMeta{
		Namespace: "shop", Name: "default", UID: "b", Generation: 2, Annotations: map[string]string{eventingv1.BrokerClassAnnotationKey: table.Class},
	}}
	b.Status.InitializeConditions()
	return b
}

func uri(text string) *duckv1.Destination {
	u, err := apis.ParseURL(text)
	if err != nil {
		panic(err)
	}
	return &duckv1.Destination{URI: u}
}

// played returns a data plane of one pod of each role, which say the same.
func played(t *testing.T, s dataplane.Status) *plane {
	t.Helper()
	p := newPlane()
	p.add(t, roleIngress, "ingress", s)
	p.add(t, roleDispatcher, "dispatcher", s)
	p.ask(t.Context())
	return p
}

func TestReconcileBroker(t *testing.T) {
	eventingv1.RegisterAlternateBrokerConditionSet(brokerConditions)
	t.Setenv("SYSTEM_NAMESPACE", "knative-eventing")
	for name, test := range map[string]struct {
		plane     *plane
		change    func(*eventingv1.Broker)
		condition apis.ConditionType
		status    corev1.ConditionStatus
		reason    string
		fails     bool
	}{
		"served":                               {played(t, serving(nil, nil)), nil, apis.ConditionReady, corev1.ConditionTrue, "", false},
		"nobody says anything":                 {newPlane(), nil, conditionConfig, corev1.ConditionUnknown, "NoPod", false},
		"not connected":                        {played(t, serving(away, nil)), nil, conditionDispatcher, corev1.ConditionFalse, dataplane.ReasonNotConnected, false},
		"not configured":                       {played(t, serving(&table.Problem{Reason: table.ReasonConfigNotFound}, nil)), nil, conditionConfig, corev1.ConditionFalse, table.ReasonConfigNotFound, false},
		"with a dead letter sink":              {played(t, serving(nil, nil)), deadLettersTo("http://dead"), eventingv1.BrokerConditionDeadLetterSinkResolved, corev1.ConditionTrue, "", false},
		"with a dead letter sink that is none": {played(t, serving(nil, nil)), deadLettersTo("relative"), eventingv1.BrokerConditionDeadLetterSinkResolved, corev1.ConditionFalse, "DeadLetterSinkUnresolved", true},
	} {
		t.Run(name, func(t *testing.T) {
			ctx, uris := newResolver(t)
			b := newBroker()
			if test.change != nil {
				test.change(b)
			}
			r := &brokers{pods: test.plane.pods, resolver: uris, policies: policylisters.NewEventPolicyLister(cache.NewIndexer(cache.MetaNamespaceKeyFunc, cache.Indexers{cache.NamespaceIndex: cache.MetaNamespaceIndexFunc}))}
			if err := r.ReconcileKind(ctx, b); (err != nil) != test.fails {
				t.Fatalf("got %v", err)
			}
			c := b.Status.GetCondition(test.condition)
			if c == nil || c.Status != test.status || c.Reason != test.reason {
				t.Errorf("got %+v, want %s %s", c, test.status, test.reason)
			}
			if test.fails {
				return
			}
			if got := b.Status.Address.URL.String(); got != "http://eventmesh-broker-ingress.knative-eventing.svc.cluster.local/shop/default" {
				t.Errorf("got address %s", got)
			}
			if len(test.plane.known) > 0 && b.Status.Annotations[table.TopicAnnotation] != "orders" {
				t.Errorf("got annotations %v", b.Status.Annotations)
			}
		})
	}
}

func deadLettersTo(text string) func(*eventingv1.Broker) {
	return func(b *eventingv1.Broker) { b.Spec.Delivery = &eventingduckv1.DeliverySpec{DeadLetterSink: uri(text)} }
}

// A Broker whose senders need tokens says for whom, and is ready when its event policies are.
func TestBrokerThatAsksForTokens(t *testing.T) {
	eventingv1.RegisterAlternateBrokerConditionSet(brokerConditions)
	t.Setenv("SYSTEM_NAMESPACE", "knative-eventing")
	on := feature.Flags{feature.OIDCAuthentication: feature.Enabled, feature.AuthorizationDefaultMode: feature.AuthorizationDenyAll}
	ready := func(status corev1.ConditionStatus) []*eventingv1alpha1.EventPolicy {
		policy := &eventingv1alpha1.EventPolicy{ObjectMeta: metav1.ObjectMeta{Namespace: "shop", Name: "policy"}}
		policy.Status.Conditions = duckv1.Conditions{{Type: apis.ConditionReady, Status: status}}
		return []*eventingv1alpha1.EventPolicy{policy}
	}
	for name, test := range map[string]struct {
		flags    feature.Flags
		policies []*eventingv1alpha1.EventPolicy
		audience string
		want     corev1.ConditionStatus
	}{
		"nobody wants it":            {nil, nil, "", corev1.ConditionTrue},
		"a policy, of no use then":   {nil, ready(corev1.ConditionTrue), "", corev1.ConditionTrue},
		"the cluster":                {on, nil, "eventing.knative.dev/broker/shop/default", corev1.ConditionTrue},
		"a policy":                   {on, ready(corev1.ConditionTrue), "eventing.knative.dev/broker/shop/default", corev1.ConditionTrue},
		"a policy that is not ready": {on, ready(corev1.ConditionFalse), "eventing.knative.dev/broker/shop/default", corev1.ConditionFalse},
	} {
		t.Run(name, func(t *testing.T) {
			ctx, uris := newResolver(t)
			policies := cache.NewIndexer(cache.MetaNamespaceKeyFunc, cache.Indexers{cache.NamespaceIndex: cache.MetaNamespaceIndexFunc})
			for _, p := range test.policies {
				if err := policies.Add(p); err != nil {
					t.Fatal(err)
				}
			}
			b := newBroker()
			r := &brokers{pods: played(t, serving(nil, nil)).pods, resolver: uris, policies: policylisters.NewEventPolicyLister(policies)}
			if err := r.ReconcileKind(feature.ToContext(ctx, test.flags), b); err != nil {
				t.Fatal(err)
			}
			if c := b.Status.GetTopLevelCondition(); c.Status != test.want {
				t.Errorf("got %+v, want %s", c, test.want)
			}
			if got := b.Status.Address.Audience; (got != nil) != (test.audience != "") || got != nil && *got != test.audience {
				t.Errorf("got audience %v, want %q", got, test.audience)
			}
		})
	}
}

func TestReconcileTrigger(t *testing.T) {
	eventingv1.RegisterAlternateBrokerConditionSet(brokerConditions)
	full := &table.Problem{Reason: dataplane.ReasonFull, Message: "full"}
	mine := func(t *eventingv1.Trigger) { t.Status.Annotations = map[string]string{classAnnotation: table.Class} }
	for name, test := range map[string]struct {
		plane     *plane
		broker    func(*eventingv1.Broker)
		change    func(*eventingv1.Trigger)
		condition apis.ConditionType
		status    corev1.ConditionStatus
		reason    string
		fails     bool
	}{
		"served":               {played(t, serving(nil, nil)), nil, nil, apis.ConditionReady, corev1.ConditionTrue, "", false},
		"not served yet":       {played(t, dataplane.Status{}), nil, nil, eventingv1.TriggerConditionSubscribed, corev1.ConditionUnknown, "NotServedYet", false},
		"with a wrong filter":  {played(t, serving(nil, &table.Problem{Reason: table.ReasonFilterInvalid})), nil, nil, eventingv1.TriggerConditionSubscribed, corev1.ConditionFalse, table.ReasonFilterInvalid, false},
		"full":                 {played(t, serving(nil, full)), nil, nil, eventingv1.TriggerConditionSubscribed, corev1.ConditionTrue, dataplane.ReasonFull, false},
		"without a subscriber": {played(t, serving(nil, nil)), nil, func(t *eventingv1.Trigger) { t.Spec.Subscriber = *uri("relative") }, eventingv1.TriggerConditionSubscriberResolved, corev1.ConditionFalse, "SubscriberUnresolved", true},
		"with a dead letter sink of its own": {
			played(t, serving(nil, nil)), nil, func(t *eventingv1.Trigger) {
				t.Spec.Delivery = &eventingduckv1.DeliverySpec{DeadLetterSink: uri("relative")}
			},
			eventingv1.TriggerConditionDeadLetterSinkResolved, corev1.ConditionFalse, "DeadLetterSinkUnresolved", true,
		},
		"with that of its Broker": {
			played(t, serving(nil, nil)), func(b *eventingv1.Broker) {
				deadLettersTo("http://dead")(b)
				b.Status.DeadLetterSinkURI = uri("http://dead").URI
			}, nil, eventingv1.TriggerConditionDeadLetterSinkResolved, corev1.ConditionTrue, "", false,
		},
		"with that of its Broker, which is none": {played(t, serving(nil, nil)), deadLettersTo("relative"), nil, eventingv1.TriggerConditionDeadLetterSinkResolved, corev1.ConditionFalse, "DeadLetterSinkUnresolved", false},
		"with a dependency that is none": {
			played(t, serving(nil, nil)), nil, func(t *eventingv1.Trigger) { t.Annotations = map[string]string{eventingv1.DependencyAnnotation: "{"} },
			eventingv1.TriggerConditionDependency, corev1.ConditionFalse, "ReferenceError", true,
		},
		"of a Broker that is gone": {played(t, serving(nil, nil)), func(b *eventingv1.Broker) { b.Name = "another" }, mine, eventingv1.TriggerConditionBroker, corev1.ConditionFalse, "BrokerDoesNotExist", false},
	} {
		t.Run(name, func(t *testing.T) {
			ctx, uris := newResolver(t)
			b := newBroker()
			for _, c := range b.Status.Conditions {
				brokerConditions.Manage(&b.Status).MarkTrue(c.Type)
			}
			if test.broker != nil {
				test.broker(b)
			}
			trigger := newTrigger()
			if test.change != nil {
				test.change(trigger)
			}
			r := &triggers{pods: test.plane.pods, resolver: uris, brokers: listing(t, b), accounts: accounts()}
			if err := r.ReconcileKind(ctx, trigger); (err != nil) != test.fails {
				t.Fatalf("got %v", err)
			}
			c := trigger.Status.GetCondition(test.condition)
			if c == nil || c.Status != test.status || c.Reason != test.reason {
				t.Errorf("got %+v, want %s %s", c, test.status, test.reason)
			}
			if strings.HasPrefix(name, "served") && (trigger.Status.SubscriberURI.String() != "http://subscriber" || trigger.Status.Annotations[classAnnotation] != table.Class) {
				t.Errorf("got status %+v", trigger.Status)
			}
		})
	}
}

func accounts(all ...*corev1.ServiceAccount) corelisters.ServiceAccountLister {
	indexer := cache.NewIndexer(cache.MetaNamespaceKeyFunc, cache.Indexers{cache.NamespaceIndex: cache.MetaNamespaceIndexFunc})
	for _, a := range all {
		_ = indexer.Add(a)
	}
	return corelisters.NewServiceAccountLister(indexer)
}

// The addresses of a Broker are those of the feature, whether or not somebody tells whom to trust at the moment.
func TestAddressesOfBroker(t *testing.T) {
	eventingv1.RegisterAlternateBrokerConditionSet(brokerConditions)
	t.Setenv("SYSTEM_NAMESPACE", "knative-eventing")
	secure := func(caCerts string) dataplane.Status {
		s := serving(nil, nil)
		s.HTTPS, s.CACerts = true, caCerts
		return s
	}
	twoIngresses := played(t, secure("a"))
	twoIngresses.add(t, roleIngress, "another", secure("b"))
	twoIngresses.ask(t.Context())
	const host, path = "://eventmesh-broker-ingress.knative-eventing.svc.cluster.local", "/shop/default"
	for name, test := range map[string]struct {
		mode    feature.Flag
		plane   *plane
		address string // its scheme
		all     []string
		caCerts string
		reason  string
	}{
		"none":                      {feature.Disabled, played(t, secure("a")), "http", nil, "", ""},
		"both":                      {feature.Permissive, played(t, secure("a")), "http", []string{"https", "http"}, "a", ""},
		"HTTPS alone":               {feature.Strict, played(t, secure("a")), "https", []string{"https"}, "a", ""},
		"while they are replaced":   {feature.Strict, twoIngresses, "https", []string{"https"}, "a\nb", ""},
		"no authority that is told": {feature.Strict, played(t, secure("")), "https", []string{"https"}, "", ""},
		"while nobody is there":     {feature.Strict, newPlane(), "https", []string{"https"}, "before", "NoPod"},
		"no certificate":            {feature.Strict, played(t, serving(nil, nil)), "https", []string{"https"}, "", "NoCertificate"},
		"nor for both":              {feature.Permissive, played(t, serving(nil, nil)), "http", []string{"https", "http"}, "", "NoCertificate"},
	} {
		t.Run(name, func(t *testing.T) {
			ctx, uris := newResolver(t)
			b, before := newBroker(), "before"
			b.Status.Addresses = []duckv1.Addressable{{CACerts: &before}}
			r := &brokers{pods: test.plane.pods, resolver: uris, policies: policylisters.NewEventPolicyLister(cache.NewIndexer(cache.MetaNamespaceKeyFunc, cache.Indexers{cache.NamespaceIndex: cache.MetaNamespaceIndexFunc}))}
			if err := r.ReconcileKind(feature.ToContext(ctx, feature.Flags{feature.TransportEncryption: test.mode}), b); err != nil {
				t.Fatal(err)
			}
			if got := b.Status.Address.URL.String(); got != test.address+host+path {
				t.Errorf("got address %s", got)
			}
			if len(b.Status.Addresses) != len(test.all) {
				t.Errorf("got addresses %v, want %v", b.Status.Addresses, test.all)
			}
			for i, scheme := range test.all {
				a := b.Status.Addresses[i]
				if a.URL.String() != scheme+host+path || *a.Name != scheme || (a.CACerts != nil) != (scheme == "https" && test.caCerts != "") || a.CACerts != nil && *a.CACerts != test.caCerts {
					t.Errorf("got address %v, want %s and %q", a, scheme, test.caCerts)
				}
			}
			if c := b.Status.GetCondition(eventingv1.BrokerConditionIngress); c.Reason != test.reason {
				t.Errorf("got %+v, want %q", c, test.reason)
			}
		})
	}
}

// A Trigger has a service account of its own while its events are sent with tokens.
func TestTriggerHasAnIdentity(t *testing.T) {
	eventingv1.RegisterAlternateBrokerConditionSet(brokerConditions)
	ctx, uris := newResolver(t)
	client, trigger, forbidden := fake.NewClientset(), newTrigger(), true
	r := &triggers{pods: played(t, serving(nil, nil)).pods, resolver: uris, brokers: listing(t, newBroker()), accounts: accounts(), client: client}
	const name = "orders-oidc-eventing.knative.dev-trigger"
	if err := r.ReconcileKind(feature.ToContext(ctx, feature.Flags{feature.OIDCAuthentication: feature.Enabled}), trigger); err != nil {
		t.Fatal(err)
	}
	account, err := client.CoreV1().ServiceAccounts("shop").Get(ctx, name, metav1.GetOptions{})
	if err != nil || !metav1.IsControlledBy(account, trigger) || trigger.Status.Auth == nil || *trigger.Status.Auth.ServiceAccountName != name {
		t.Fatalf("got %v, %+v and status %+v; want that the Trigger owns its account", err, account, trigger.Status.Auth)
	}
	r.accounts = accounts(account)
	client.PrependReactor("delete", "serviceaccounts", func(k8stesting.Action) (bool, runtime.Object, error) {
		return forbidden, nil, apierrors.NewForbidden(corev1.Resource("serviceaccounts"), name, errors.New("no role"))
	})
	without := trigger.DeepCopy()
	if err := r.ReconcileKind(ctx, without); err != nil || without.Status.Auth != nil || !without.Status.GetCondition(eventingv1.TriggerConditionOIDCIdentityCreated).IsTrue() {
		t.Errorf("got %v, %+v with the feature off and no right to delete the account; want that the Trigger is served", err, without.Status)
	}
	forbidden = false
	if err := r.ReconcileKind(ctx, trigger); err != nil {
		t.Fatal(err)
	}
	if _, err := client.CoreV1().ServiceAccounts("shop").Get(ctx, name, metav1.GetOptions{}); !apierrors.IsNotFound(err) || trigger.Status.Auth != nil {
		t.Errorf("got %v, %+v with the feature off, want that the account is gone", err, trigger.Status.Auth)
	}
	if c := trigger.Status.GetCondition(eventingv1.TriggerConditionOIDCIdentityCreated); !c.IsTrue() {
		t.Errorf("got %+v, want that none is needed", c)
	}
}

func newTrigger() *eventingv1.Trigger {
	t := &eventingv1.Trigger{
		ObjectMeta: metav1.ObjectMeta{Namespace: "shop", Name: "orders", UID: "t", Generation: 2},
		Spec:       eventingv1.TriggerSpec{Broker: "default", Subscriber: *uri("http://subscriber")},
	}
	t.Status.InitializeConditions()
	return t
}

func listing(t *testing.T, b *eventingv1.Broker) eventinglisters.BrokerLister {
	t.Helper()
	indexer := cache.NewIndexer(cache.MetaNamespaceKeyFunc, cache.Indexers{cache.NamespaceIndex: cache.MetaNamespaceIndexFunc})
	if err := indexer.Add(b); err != nil {
		t.Fatal(err)
	}
	return eventinglisters.NewBrokerLister(indexer)
}

func withoutTimes(s eventingv1.TriggerStatus) eventingv1.TriggerStatus {
	for i := range s.Conditions {
		s.Conditions[i].LastTransitionTime = apis.VolatileTime{}
	}
	return s
}

// The service account of a Trigger of another class is none of ours.
func TestAccountsOfOthers(t *testing.T) {
	b, trigger := newBroker(), newTrigger()
	indexer := cache.NewIndexer(cache.MetaNamespaceKeyFunc, cache.Indexers{cache.NamespaceIndex: cache.MetaNamespaceIndexFunc})
	if err := indexer.Add(trigger); err != nil {
		t.Fatal(err)
	}
	r := &triggers{brokers: listing(t, b)}
	ours := r.accountOf(eventinglisters.NewTriggerLister(indexer))
	account := auth.GetOIDCServiceAccountForResource(triggerKind, trigger.ObjectMeta)
	if !ours(account) || !ours(cache.DeletedFinalStateUnknown{Obj: account}) {
		t.Error("the account of a Trigger of ours is of no interest")
	}
	before := trigger.DeepCopy()
	before.UID = "of one that is gone"
	pod := &corev1.Pod{ObjectMeta: metav1.ObjectMeta{Namespace: "shop", Name: "default"}}
	of := func(kind schema.GroupVersionKind, owner metav1.ObjectMeta) any {
		return auth.GetOIDCServiceAccountForResource(kind, owner)
	}
	for name, another := range map[string]any{
		"no object": "", "of nobody": &corev1.ServiceAccount{}, "of another kind": of(corev1.SchemeGroupVersion.WithKind("Pod"), pod.ObjectMeta),
		"of a Trigger that is gone": of(triggerKind, before.ObjectMeta),
	} {
		if ours(another) {
			t.Errorf("an account %s is of interest", name)
		}
	}
	b.Annotations[eventingv1.BrokerClassAnnotationKey] = "MTChannelBasedBroker"
	if ours(account) {
		t.Error("the account of a Trigger of another class is of interest")
	}
}

// A Trigger of another class, or of a Broker that there never was, keeps no trace of us.
func TestTriggersOfOthers(t *testing.T) {
	another := func(b *eventingv1.Broker) {
		b.Annotations[eventingv1.BrokerClassAnnotationKey] = "MTChannelBasedBroker"
	}
	for name, test := range map[string]struct {
		change func(*eventingv1.Broker)
		was    bool // of a Broker of ours
	}{
		"another class":                         {another, false},
		"another class, after a Broker of ours": {another, true},
		"no Broker":                             {func(b *eventingv1.Broker) { b.Name = "another" }, false},
	} {
		t.Run(name, func(t *testing.T) {
			b, trigger := newBroker(), newTrigger()
			ctx, uris := newResolver(t)
			r := &triggers{pods: played(t, serving(nil, nil)).pods, resolver: uris, brokers: listing(t, b), accounts: accounts()}
			if test.was {
				if err := r.ReconcileKind(ctx, trigger); err != nil {
					t.Fatal(err)
				}
			}
			test.change(b)
			r.brokers = listing(t, b)
			if got := r.ours(trigger); got != test.was {
				t.Errorf("it is of interest: %t, want %t", got, test.was)
			}
			if err := r.ReconcileKind(ctx, trigger); err != nil || r.ours(trigger) {
				t.Errorf("got %v, and it is of interest: %t", err, r.ours(trigger))
			}
			if want := newTrigger().Status; !equality.Semantic.DeepEqual(withoutTimes(trigger.Status), withoutTimes(want)) {
				t.Errorf("got %+v, want %+v", trigger.Status, want)
			}
		})
	}
}

// What has another verdict than before is enqueued, and at first all.
func TestCompare(t *testing.T) {
	p := played(t, serving(nil, nil))
	a := &asker{pods: p.pods}
	b, trigger := newBroker(), newTrigger()
	enqueued := 0
	a.compare() // before there are controllers
	a.brokers = func(changed func(*eventingv1.Broker) bool) {
		if changed(b) {
			enqueued++
		}
	}
	a.triggers = func(changed func(*eventingv1.Trigger, *eventingv1.Broker) bool) {
		if changed(trigger, b) {
			enqueued++
		}
	}
	for _, step := range []struct {
		status dataplane.Status
		want   int
	}{
		{serving(nil, nil), 2}, {serving(nil, nil), 0}, {serving(away, nil), 1}, {serving(away, &table.Problem{Reason: dataplane.ReasonFull}), 1}, {serving(nil, nil), 2},
	} {
		for _, r := range p.known {
			r.status = step.status
		}
		enqueued = 0
		a.compare()
		if enqueued != step.want {
			t.Errorf("enqueued %d, want %d", enqueued, step.want)
		}
	}
}

// A Broker is enqueued when the last of its ingresses has connected, though its dispatcher was first.
func TestCompareReplicas(t *testing.T) {
	p := newPlane()
	p.add(t, roleDispatcher, "dispatcher", serving(nil, nil))
	for _, name := range []string{"ingress-0", "ingress-1"} {
		p.add(t, roleIngress, name, serving(away, nil))
	}
	p.ask(t.Context())
	b := newBroker()
	brokerConditions.Manage(&b.Status).MarkTrue(conditionDispatcher)
	enqueued := false
	a := &asker{
		pods: p.pods, triggers: func(func(*eventingv1.Trigger, *eventingv1.Broker) bool) {},
		brokers: func(changed func(*eventingv1.Broker) bool) { enqueued = changed(b) },
	}
	for _, step := range []struct {
		connects string
		want     bool
	}{{"dispatcher", true}, {"ingress-0", false}, {"ingress-1", true}} {
		p.known[step.connects].status = serving(nil, nil)
		if a.compare(); enqueued != step.want {
			t.Errorf("once %s is connected: enqueued %t, want %t", step.connects, enqueued, step.want)
		}
	}
}
