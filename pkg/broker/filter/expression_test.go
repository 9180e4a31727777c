package filter

import (
	"errors"
	"testing"

	"github.com/cloudevents/sdk-go/v2/event"
)

// panics is an expression as none is known, in a library that has had some.
type panics struct{}

func (panics) Evaluate(event.Event) (any, error) { panic("no value") }

func TestEvaluationThatPanics(t *testing.T) {
	if value, err := evaluate(panics{}, event.New()); value != nil || !errors.Is(err, errPanic) {
		t.Errorf("got %v, %v, want an error", value, err)
	}
}
