package ingress

import (
	"testing"
	"testing/synctest"
	"time"

	"go.uber.org/zap"
	"go.uber.org/zap/zapcore"
	"go.uber.org/zap/zaptest/observer"

	"github.com/eventing-eventmesh/eventing-eventmesh/internal/ingresstest"
)

func TestCertificateIsReadAgain(t *testing.T) {
	synctest.Test(t, testCertificateIsReadAgain)
}

func testCertificateIsReadAgain(t *testing.T) {
	t.Helper()
	ca := ingresstest.NewAuthority(t)
	issue := func() (map[string][]byte, int64) {
		cert, key, serial := ca.Issue(t)
		return map[string][]byte{"tls.crt": cert, "tls.key": key}, serial
	}
	first, serial := issue()
	files := ingresstest.NewSecretVolume(t, first)
	core, logs := observer.New(zapcore.DebugLevel)
	get, err := Certificate(files.Path("tls.crt"), files.Path("tls.key"), zap.New(core).Sugar())
	if err != nil {
		t.Fatal(err)
	}
	check := func(what string, want int64, failures, renewals int) {
		t.Helper()
		pair, err := get(nil)
		if err != nil {
			t.Fatal(err)
		}
		if got := pair.Leaf.SerialNumber.Int64(); got != want {
			t.Errorf("%s: got certificate %d, want %d", what, got, want)
		}
		if got := logs.FilterMessageSnippet("cannot be used").Len(); got != failures {
			t.Errorf("%s: got %d lines of files that cannot be used, want %d", what, got, failures)
		}
		if got := logs.FilterMessageSnippet("took a new").Len(); got != renewals {
			t.Errorf("%s: got %d lines of new certificates, want %d", what, got, renewals)
		}
	}
	pass := func() { time.Sleep(time.Second) }

	check("at the start", serial, 0, 0)
	second, newer := issue()
	files.Replace(t, second)
	check("replaced a moment ago", serial, 0, 0)
	pass()
	check("replaced", newer, 0, 1)

	files.Replace(t, map[string][]byte{"tls.crt": first["tls.crt"], "tls.key": second["tls.key"]})
	for range 3 {
		pass()
		check("replaced by what does not match", newer, 1, 1)
	}
	files.Replace(t, map[string][]byte{})
	for range 3 {
		pass()
		check("gone", newer, 2, 1)
	}
	third, newest := issue()
	files.Replace(t, third)
	pass()
	check("there again", newest, 2, 2)
}
