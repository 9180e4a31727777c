package dispatch

import (
	"errors"
	"fmt"
	"net/http"
	"testing"
	"time"
)

func TestJudge(t *testing.T) {
	tests := []struct {
		name        string
		failure     error
		away, final bool
	}{
		{"none", nil, false, false},
		{"no answer", errors.New("connection refused"), true, false},
		{"429", &Rejection{Status: 429}, true, false},
		{"502", &Rejection{Status: 502}, true, false},
		{"503", &Rejection{Status: 503}, true, false},
		{"504", &Rejection{Status: 504}, true, false},
		{"500", &Rejection{Status: 500}, false, false},
		{"501", &Rejection{Status: 501}, false, false},
		{"505", &Rejection{Status: 505}, false, false},
		{"599", &Rejection{Status: 599}, false, false},
		{"404", &Rejection{Status: 404}, false, false},
		{"408", &Rejection{Status: 408}, false, false},
		{"409", &Rejection{Status: 409}, false, false},
		{"400", &Rejection{Status: 400}, false, true},
		{"401", &Rejection{Status: 401}, false, true},
		{"413", &Rejection{Status: 413}, false, true},
		{"302", &Rejection{Status: 302}, false, true},
		{"an answer, wrapped", fmt.Errorf("publishing: %w", &Rejection{Status: 400}), false, true},
		{"a request that was not made", fmt.Errorf("sending: %w", &UnpreparedError{errors.New("no token")}), false, false},
		{"an event that no request holds", fmt.Errorf("sending: %w", &UnsendableError{errors.New("id")}), false, true},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			v := judge(test.failure)
			if v.away != test.away || v.final != test.final {
				t.Errorf("got away %t, final %t; want %t, %t", v.away, v.final, test.away, test.final)
			}
			var unsendable *UnsendableError
			var unprepared *UnpreparedError
			if want := errors.As(test.failure, &unsendable) || errors.As(test.failure, &unprepared); v.silent != want {
				t.Errorf("got silent %t, want %t", v.silent, want)
			}
		})
	}
}

func TestFate(t *testing.T) {
	final, later := &Rejection{Status: http.StatusBadRequest}, &Rejection{Status: http.StatusInternalServerError}
	tests := []struct {
		name     string
		retries  int
		attempts int
		failure  error
		want     step   // without a place for dead letters
		with     step   // with one
		reason   string // of both
		dead     step   // what becomes of it after the same attempt there
	}{
		{"accepted", -1, 0, nil, stepRest, stepRest, "", stepRest},
		{"accepted in the end", 2, 2, nil, stepRest, stepRest, "", stepRest},
		{"refused for good, for ever", -1, 1, final, stepAgain, stepGiveUp, reasonRejected, stepAgain},
		{"refused for good, with retries", 3, 1, final, stepDrop, stepGiveUp, reasonRejected, stepDrop},
		{"cannot be sent", 0, 1, &UnsendableError{errors.New("id")}, stepDrop, stepGiveUp, reasonRejected, stepDrop},
		{"refused, for ever", -1, 1 << 30, later, stepAgain, stepAgain, "", stepAgain},
		{"refused, with retries left", 2, 2, later, stepAgain, stepAgain, "", stepAgain},
		{"refused, with none left", 2, 3, later, stepDrop, stepGiveUp, reasonRetries, stepAgain},
		{"refused, with none at all", 0, 1, later, stepDrop, stepGiveUp, reasonRetries, stepAgain},
		{"no answer, with none left", 0, 1, errors.New("refused"), stepDrop, stepGiveUp, reasonRetries, stepAgain},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			for deadLetters, want := range map[bool]step{false: test.want, true: test.with} {
				reason := test.reason
				if want == stepAgain || want == stepRest {
					reason = ""
				}
				p := policy{retries: test.retries, deadLetters: deadLetters}
				if got := p.fate(test.attempts, test.failure); got.step != want || got.reason != reason || got.verdict != judge(test.failure) {
					t.Errorf("dead letters %t: got %+v, want step %d for %q", deadLetters, got, want, reason)
				}
			}
			p := policy{retries: test.retries, deadLetters: true}
			if got := p.deadFate("why", test.failure); got.step != test.dead || got.reason != "why" {
				t.Errorf("at the place for dead letters: got %+v, want step %d", got, test.dead)
			}
		})
	}
}

// What is refused for good waits the longest, and no other attempt less than was asked for.
func TestWaitOfAVerdict(t *testing.T) {
	failures, asked := 0, time.Duration(0)
	backoff := func(n int, d time.Duration) time.Duration {
		failures, asked = n, d
		return time.Second
	}
	if got := judge(&Rejection{Status: 503, RetryAfter: time.Minute}).wait(backoff, 3); got != time.Second || failures != 3 || asked != time.Minute {
		t.Errorf("got %s after %d failures, asked for %s", got, failures, asked)
	}
	if judge(&Rejection{Status: 400}).wait(backoff, 1); failures < 1<<30 {
		t.Errorf("got the wait after %d failures, want the longest", failures)
	}
}
