package broker

import (
	"crypto/tls"
	"encoding/pem"
	"fmt"
	"net/http"
	"strings"
	"testing"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	eventingv1 "knative.dev/eventing/pkg/apis/eventing/v1"
	eventingv1alpha1 "knative.dev/eventing/pkg/apis/eventing/v1alpha1"
	"knative.dev/pkg/apis"
	duckv1 "knative.dev/pkg/apis/duck/v1"

	"github.com/eventing-eventmesh/eventing-eventmesh/internal/await"
	"github.com/eventing-eventmesh/eventing-eventmesh/internal/ingresstest"
	"github.com/eventing-eventmesh/eventing-eventmesh/internal/token/tokentest"
	"github.com/eventing-eventmesh/eventing-eventmesh/pkg/broker/dataplane"
)

// features is Knative's ConfigMap of them.
func features(data map[string]string) *corev1.ConfigMap {
	return &corev1.ConfigMap{
		TypeMeta:   metav1.TypeMeta{APIVersion: "v1", Kind: "ConfigMap"},
		ObjectMeta: metav1.ObjectMeta{Namespace: "knative-eventing", Name: "config-features"}, Data: data,
	}
}

// lets is an event policy that lets a subject send events of a type.
func lets(subject, typ string) *eventingv1alpha1.EventPolicy {
	p := &eventingv1alpha1.EventPolicy{
		TypeMeta:   metav1.TypeMeta{APIVersion: "eventing.knative.dev/v1alpha1", Kind: "EventPolicy"},
		ObjectMeta: metav1.ObjectMeta{Namespace: namespace, Name: "policy", UID: "policy", Generation: 1},
		Spec:       eventingv1alpha1.EventPolicySpec{Filters: []eventingv1.SubscriptionsAPIFilter{{Exact: map[string]string{"type": typ}}}},
	}
	p.Status.From = []string{subject}
	p.Status.Conditions = append(p.Status.Conditions, apis.Condition{Type: apis.ConditionReady, Status: corev1.ConditionTrue})
	return p
}

// Subscribers over TLS are trusted by Knative's bundles, from the moment on when one has their authority.
func TestSubscriberOverTLS(t *testing.T) {
	t.Parallel()
	s, gets := newStage(t, "gRPC"), newTLSSubscriber(t)
	s.triggers = []*eventingv1.Trigger{retrying(trigger("all", gets), 1_000_000, nil)}
	s.play(t)
	s.mustSend(t, newEvent("1", "order"))
	await.Until(t, await.Patience, func() string {
		if said := s.dispatcher.Log(); !strings.Contains(said, "certificate signed by unknown authority") {
			return "the dispatcher says " + said
		}
		return ""
	})
	authority := string(pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: gets.Certificate().Raw}))
	s.more = []any{&corev1.ConfigMap{
		TypeMeta: metav1.TypeMeta{APIVersion: "v1", Kind: "ConfigMap"}, Data: map[string]string{"ca.crt": authority},
		ObjectMeta: metav1.ObjectMeta{Namespace: "knative-eventing", Name: "bundle", Labels: map[string]string{"networking.knative.dev/trust-bundle": "true"}},
	}}
	s.write(t)
	gets.awaits(t, "the subscriber", "1")
}

// Events come by HTTP, by HTTPS or by both, as the feature says at the moment, and replies by the Broker's address.
func TestTransportEncryption(t *testing.T) {
	t.Parallel()
	s, gets := newStage(t, "gRPC"), newSubscriber(t, replies("reply"))
	authority := ingresstest.NewAuthority(t)
	certificate, key, _ := authority.Issue(t)
	files := map[string][]byte{"tls.crt": certificate, "tls.key": key, "ca.crt": authority.PEM()}
	secret := ingresstest.NewSecretVolume(t, files)
	s.triggers = []*eventingv1.Trigger{wanting(trigger("all", gets), "order")}
	s.write(t)
	s.startIngress(t, "0", "HTTPS_PORT=0", "TLS_CERT_FILE="+secret.Path("tls.crt"), "TLS_KEY_FILE="+secret.Path("tls.key"), "TLS_CA_FILE="+secret.Path("ca.crt"))
	secure := strings.Replace(s.ingress.At(t, "serving HTTPS"), "http", "https", 1)
	u, err := apis.ParseURL(secure + "/" + namespace + "/default")
	if err != nil {
		t.Fatal(err)
	}
	caCerts := string(authority.PEM())
	s.brokers[0].Status.Address = &duckv1.Addressable{URL: u, CACerts: &caCerts}
	answered := newSubscriber(t, nil)
	s.triggers = append(s.triggers, wanting(trigger("replies", answered), "reply"))
	s.play(t)
	if got := statusOf(t, s.ingress); !got.HTTPS || got.CACerts != caCerts {
		t.Errorf("the ingress says HTTPS: %t, %q", got.HTTPS, got.CACerts)
	}
	client := &http.Client{Transport: &http.Transport{TLSClientConfig: &tls.Config{RootCAs: authority.Pool(), MinVersion: tls.VersionTLS13}}}
	defer client.CloseIdleConnections()
	for _, mode := range []struct {
		name        string
		http, https int
	}{{"disabled", 202, 404}, {"permissive", 202, 202}, {"strict", 404, 202}} {
		s.more = []any{features(map[string]string{"transport-encryption": mode.name})}
		s.write(t)
		await.Until(t, await.Patience, func() string {
			plain, _ := post(t, http.DefaultClient, "", s.address+"/shop/default", newEvent("1", "other"))
			encrypted, said := post(t, client, "", secure+"/shop/default", newEvent("1", "other"))
			if plain != mode.http || encrypted != mode.https {
				return fmt.Sprintf("%s: got %d and %d %s, want %d and %d", mode.name, plain, encrypted, said, mode.http, mode.https)
			}
			return ""
		})
	}
	if status, said := post(t, client, "", secure+"/shop/default", newEvent("2", "order")); status != http.StatusAccepted {
		t.Fatalf("got %d %s", status, said)
	}
	await.Until(t, await.Patience, func() string {
		if len(answered.ids()) == 0 {
			return "no reply has come to the Broker by HTTPS"
		}
		return ""
	})
}

// Senders need tokens from the moment on when the feature is on, and event policies say what they may send.
func TestSendersNeedTokens(t *testing.T) {
	t.Parallel()
	s, issuer := newStage(t, "gRPC"), tokentest.New(t)
	gets := newSubscriber(t, nil)
	s.triggers = []*eventingv1.Trigger{trigger("all", gets)}
	s.write(t)
	s.startIngress(t, "0", "OIDC_CA_FILE="+issuer.CAFile)
	s.play(t)
	aud := map[string]any{"aud": "eventing.knative.dev/broker/shop/default"}
	own := issuer.Token(t, aud)
	foreign := issuer.Token(t, map[string]any{"aud": aud["aud"], "sub": "system:serviceaccount:bank:orders"})
	answers := func(to map[string]int) {
		t.Helper()
		for token, want := range to {
			await.Until(t, await.Patience, func() string {
				if status, said := s.sendAs(t, token, "default", newEvent(fmt.Sprint(want), "order")); status != want {
					return fmt.Sprintf("token %.20s: got %d %s, want %d", token, status, said, want)
				}
				return ""
			})
		}
	}
	answers(map[string]int{"": http.StatusAccepted, foreign: http.StatusAccepted})
	on := map[string]string{"authentication-oidc": "enabled", "oidc-discovery-base-url": issuer.URL}
	s.more = []any{features(on)}
	s.write(t)
	answers(map[string]int{
		"": http.StatusUnauthorized, "none": http.StatusUnauthorized, issuer.Token(t, nil): http.StatusUnauthorized,
		own: http.StatusAccepted, foreign: http.StatusForbidden,
	})
	s.awaitServed(t)
	s.more = []any{features(on), lets("system:serviceaccount:bank:*", "order")}
	s.write(t)
	answers(map[string]int{own: http.StatusForbidden, foreign: http.StatusAccepted})
	if status, said := s.sendAs(t, foreign, "default", newEvent("1", "payment")); status != http.StatusForbidden {
		t.Errorf("an event that the policy does not allow: got %d %s, want 403", status, said)
	}
	on["oidc-discovery-base-url"] = "https://127.0.0.1:1"
	s.write(t)
	await.Until(t, await.Patience, func() string {
		status, said := s.sendAs(t, foreign, "default", newEvent("1", "order"))
		problem := s.statusAt(t, s.ingress).Problem
		if status != http.StatusServiceUnavailable || problem == nil || problem.Reason != "IssuerUnknown" {
			return fmt.Sprintf("an issuer that is away: %d %s, %+v", status, said, problem)
		}
		return ""
	})
	s.more = nil
	s.write(t)
	answers(map[string]int{"": http.StatusAccepted})
}

// An ingress that begins while nobody can tell whether tokens are valid leaves events to those that can, and says why.
func TestIngressThatCannotVerifyTokens(t *testing.T) {
	t.Parallel()
	s, issuer := newStage(t, "gRPC"), tokentest.New(t)
	s.more = []any{features(map[string]string{"authentication-oidc": "enabled", "oidc-discovery-base-url": issuer.URL})}
	issuer.BreakDown(true)
	s.write(t)
	s.startIngress(t, "0", "OIDC_CA_FILE="+issuer.CAFile)
	probe := func(want int, reason string) {
		t.Helper()
		await.Until(t, await.Patience, func() string {
			status, said := get(t, s.ingress.At(t, "serving probes")+"/readiness")
			problem := s.statusAt(t, s.ingress).Problem
			if status != want || (reason == "") != (problem == nil) || problem != nil && problem.Reason != reason {
				return fmt.Sprintf("got %d %s, %+v; want %d, %q", status, said, problem, want, reason)
			}
			return ""
		})
	}
	probe(http.StatusServiceUnavailable, dataplane.ReasonIssuer)
	issuer.BreakDown(false)
	probe(http.StatusOK, "")
	issuer.BreakDown(true)
	s.more = []any{features(map[string]string{"authentication-oidc": "enabled", "oidc-discovery-base-url": "https://127.0.0.1:1"})}
	s.write(t)
	probe(http.StatusOK, dataplane.ReasonIssuer)
}
