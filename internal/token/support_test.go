package token

import (
	"errors"
	"fmt"
	"testing"
	"time"

	"go.uber.org/zap"
	"go.uber.org/zap/zapcore"
	"go.uber.org/zap/zaptest/observer"
	"golang.org/x/time/rate"

	"github.com/eventing-eventmesh/eventing-eventmesh/internal/await"
	"github.com/eventing-eventmesh/eventing-eventmesh/internal/token/tokentest"
)

const secret = "hunter2"

// verdict is what becomes of a token.
type verdict string

const (
	valid   verdict = "valid"
	invalid verdict = "invalid"
	unknown verdict = "unknown for now"
)

// judge returns the verdict on a token, and why.
func judge(t *testing.T, v *Verifier, token string) (verdict, error) {
	t.Helper()
	_, err := v.Verify(t.Context(), token, tokentest.Audience)
	_, refused := errors.AsType[InvalidError](err)
	switch {
	case err == nil:
		return valid, nil
	case refused:
		return invalid, err
	}
	return unknown, err
}

// starting returns a verifier that asks without pauses, but for changes, and its log.
func starting(t *testing.T, o Options, changes ...func(*Verifier)) (*Verifier, *observer.ObservedLogs) {
	t.Helper()
	core, logs := observer.New(zapcore.DebugLevel)
	o.Logger = zap.New(core).Sugar()
	v := New(o)
	v.limiter, v.patience = rate.NewLimiter(rate.Inf, 0), await.Patience
	for _, change := range changes {
		change(v)
	}
	t.Cleanup(v.Start(t.Context()))
	return v, logs
}

// started returns a verifier that has the issuer's keys.
func started(t *testing.T, issuer *tokentest.Issuer, changes ...func(*Verifier)) (*Verifier, *observer.ObservedLogs) {
	t.Helper()
	v, logs := starting(t, Options{Issuer: issuer.URL, CAFile: issuer.CAFile}, changes...)
	awaitReady(t, v)
	return v, logs
}

func awaitReady(t *testing.T, v *Verifier) {
	t.Helper()
	await.Until(t, await.Patience, func() string {
		if err := v.Ready(); err != nil {
			return err.Error()
		}
		return ""
	})
}

func expect(t *testing.T, v *Verifier, what, token string, want verdict) {
	t.Helper()
	if got, err := judge(t, v, token); got != want {
		t.Errorf("%s: got %s (%v), want %s", what, got, err, want)
	}
}

func ago(d time.Duration) int64 { return time.Now().Add(-d).Unix() }

// unready waits until a verifier is not ready for a reason.
func unready(t *testing.T, v *Verifier, reason func(string) bool) error {
	t.Helper()
	var err error
	await.Until(t, await.Patience, func() string {
		if err = v.Ready(); err == nil || !reason(err.Error()) {
			return fmt.Sprintf("ready: %v", err)
		}
		return ""
	})
	return err
}
