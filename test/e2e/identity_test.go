//go:build e2e

package e2e

import (
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/json"
	"encoding/pem"
	"fmt"
	"math/big"
	"slices"
	"strings"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
)

const (
	knative  = "knative-eventing"
	identity = "e2e-identity"
	bound    = "e2e-bound" // the source with a SinkBinding
	trust    = "e2e-trust" // the ConfigMap with the sink's certificate, which Knative spreads
)

// With Knative's feature authentication-oidc, a source and a Trigger bring the tokens that Knative makes for them, and the sink
// takes no event without one.
func TestIdentity(t *testing.T) {
	volumes(t, 1)
	certificate := keyPair(t, "eventmesh-sink.e2e-identity.svc.cluster.local")
	trusted(t, string(certificate["tls.crt"]))
	feature(t, "authentication-oidc", "enabled")
	for _, name := range []string{bound, identity} {
		namespace(t, name)
	}
	pair := &corev1.Secret{ObjectMeta: metav1.ObjectMeta{Name: "eventmesh-sink-tls"}, Type: corev1.SecretTypeTLS, Data: certificate}
	if _, err := cluster.CoreV1().Secrets(identity).Create(t.Context(), pair, metav1.CreateOptions{}); err != nil {
		t.Fatal(err)
	}
	run(t, nil, "kustomize build test/e2e/identity | ko apply -f -")
	run(t, nil, "kustomize build test/e2e/identity/bound | ko apply -f -")
	authority, err := json.Marshal(string(certificate["tls.crt"]))
	if err != nil {
		t.Fatal(err)
	}
	run(t, nil, "kubectl -n "+identity+` patch trigger copies --type=merge --patch='{"spec":{"subscriber":{"CACerts":`+string(authority)+`}}}'`)
	run(t, nil, "kubectl -n "+identity+" wait --for=condition=Ready broker/default trigger/copies containersource/eventmesh-source --timeout=3m")
	run(t, nil, "kubectl -n "+bound+" wait --for=condition=Ready sinkbinding/eventmesh-source --timeout=3m")
	awaitReady(t, identity, sink, 2)
	awaitReady(t, identity, "subscriber", 1)
	awaitMounted(t, identity, "oidc-token")
	awaitMounted(t, bound, "oidc-token", "kne-bundle-volume")

	refuses(t, identity, "https:eventmesh-sink:443", "topics/copies")
	refuses(t, knative, "http:"+knativeIngress+":80", identity+"/default")

	run(t, nil, "kustomize build test/e2e/identity/publish | ko apply -f -")
	eventually(t, func() string {
		text, err := attempt(t, nil, "kubectl -n "+identity+" logs deployment/subscriber")
		if err != nil {
			return err.Error()
		}
		for _, want := range []string{"By a Broker", "By a SinkBinding"} {
			if !strings.Contains(text, want) {
				return "want " + want + ", got:\n" + text
			}
		}
		return ""
	})
}

// feature sets one of Knative's for the time of the test.
func feature(t *testing.T, name, value string) {
	t.Helper()
	features, err := cluster.CoreV1().ConfigMaps(knative).Get(t.Context(), "config-features", metav1.GetOptions{})
	if err != nil {
		t.Fatal(err)
	}
	set := func(ctx context.Context, value *string) error {
		patch, err := json.Marshal(map[string]any{"data": map[string]*string{name: value}})
		if err == nil {
			_, err = cluster.CoreV1().ConfigMaps(knative).Patch(ctx, features.Name, types.MergePatchType, patch, metav1.PatchOptions{})
		}
		return err
	}
	var before *string // none where it was not set
	if v, found := features.Data[name]; found {
		before = &v
	}
	t.Cleanup(func() {
		if err := set(context.Background(), before); err != nil {
			t.Errorf("setting %s back: %v", name, err)
		}
	})
	if err := set(t.Context(), &value); err != nil {
		t.Fatal(err)
	}
}

// trusted lets Knative, and all that it gives a sink, trust a certificate for the time of the test.
func trusted(t *testing.T, certificate string) {
	t.Helper()
	bundles := cluster.CoreV1().ConfigMaps(knative)
	remove := func(ctx context.Context) {
		if err := bundles.Delete(ctx, trust, metav1.DeleteOptions{}); err != nil && !errors.IsNotFound(err) {
			t.Error(err)
		}
	}
	remove(t.Context())
	t.Cleanup(func() { remove(context.Background()) })
	_, err := bundles.Create(t.Context(), &corev1.ConfigMap{
		ObjectMeta: metav1.ObjectMeta{Name: trust, Labels: map[string]string{"networking.knative.dev/trust-bundle": "true"}},
		Data:       map[string]string{"sink.pem": certificate},
	}, metav1.CreateOptions{})
	if err != nil {
		t.Fatal(err)
	}
}

// keyPair returns a certificate that signs itself, and its key, as a Secret holds them.
func keyPair(t *testing.T, name string) map[string][]byte {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	template := &x509.Certificate{
		SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: "eventmesh-sink"}, DNSNames: []string{name},
		NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(time.Hour),
	}
	certificate, err := x509.CreateCertificate(rand.Reader, template, template, key.Public(), key)
	if err != nil {
		t.Fatal(err)
	}
	secret, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		t.Fatal(err)
	}
	return map[string][]byte{
		corev1.TLSCertKey:       pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: certificate}),
		corev1.TLSPrivateKeyKey: pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: secret}),
	}
}

// awaitMounted waits until the source's only pod is ready, and is one that Knative has given the volumes.
func awaitMounted(t *testing.T, namespace string, volumes ...string) {
	t.Helper()
	eventually(t, func() string {
		all := pods(t, namespace, source)
		if len(all) != 1 || !ready(all[0]) {
			return fmt.Sprintf("%s in %s has %d pods, want one that is ready", source, namespace, len(all))
		}
		for _, want := range volumes {
			if !slices.ContainsFunc(all[0].Spec.Volumes, func(v corev1.Volume) bool { return v.Name == want }) {
				return fmt.Sprintf("pod %s has no volume %s", all[0].Name, want)
			}
		}
		return ""
	})
}

// refuses checks that an event without a token is not taken. The API server, which brings it, keeps its client's credentials
// for itself.
func refuses(t *testing.T, namespace, service, path string) {
	t.Helper()
	err := cluster.CoreV1().RESTClient().Post().
		Namespace(namespace).Resource("services").Name(service).SubResource("proxy").Suffix(path).
		SetHeader("Ce-Specversion", "1.0").SetHeader("Ce-Type", "order").SetHeader("Ce-Source", "e2e").SetHeader("Ce-Id", "without-token").
		Body([]byte("data")).Do(t.Context()).Error()
	if !errors.IsUnauthorized(err) {
		t.Errorf("%s answers %v to an event without a token, want 401", service, err)
	}
}
