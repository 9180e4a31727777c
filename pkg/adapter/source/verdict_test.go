package source

import (
	"errors"
	"fmt"
	"testing"

	"github.com/eventing-eventmesh/eventing-eventmesh/pkg/eventmesh"
)

func TestJudge(t *testing.T) {
	tests := []struct {
		name        string
		failure     error
		away, final bool
	}{
		{"none", nil, false, false},
		{"no answer", errors.New("connection refused"), true, false},
		{"429", answered(429), true, false},
		{"502", answered(502), true, false},
		{"503", answered(503), true, false},
		{"504", answered(504), true, false},
		{"500", answered(500), false, false},
		{"501", answered(501), false, false},
		{"505", answered(505), false, false},
		{"599", answered(599), false, false},
		{"404", answered(404), false, false},
		{"408", answered(408), false, false},
		{"409", answered(409), false, false},
		{"400", answered(400), false, true},
		{"401", answered(401), false, true},
		{"413", answered(413), false, true},
		{"302", answered(302), false, true},
		{"an event that no request holds", fmt.Errorf("sending: %w", &unsendableError{errors.New("id")}), false, true},
		{"EventMesh is away", fmt.Errorf("publishing: %w", eventmesh.ErrNotConnected), true, false},
		{"EventMesh cannot carry the event", fmt.Errorf("publishing: %w", eventmesh.ErrInvalidEvent), false, true},
		{"too large for EventMesh", fmt.Errorf("publishing: %w", eventmesh.ErrTooLarge), false, true},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			if v := judge(test.failure); v.away != test.away || v.final != test.final {
				t.Errorf("got away %t, final %t; want %t, %t", v.away, v.final, test.away, test.final)
			}
		})
	}
}
