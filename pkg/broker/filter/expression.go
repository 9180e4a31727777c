package filter

import (
	"errors"
	"fmt"

	cesql "github.com/cloudevents/sdk-go/sql/v2"
	"github.com/cloudevents/sdk-go/sql/v2/parser"
	"github.com/cloudevents/sdk-go/v2/event"
)

// maxExpression is how long an expression may be, in bytes. What its parser takes for parentheses that are not closed grows with the square
// of their number, to more than a second for so many, and it nests calls as deep.
const maxExpression = 4 << 10

var (
	errTooLong = fmt.Errorf("it has more than %d bytes", maxExpression)
	errPanic   = errors.New("it cannot be evaluated")
)

// expression is a condition in CESQL. Where the event lacks what it asks for it does not match.
func expression(text, field string) (condition, error) {
	parsed, err := parse(text)
	if err != nil {
		return nil, fmt.Errorf("%s: %.200q: %w", field, text, err)
	}
	return func(e event.Event) (bool, error) {
		value, err := evaluate(parsed, e)
		if err != nil && !errors.Is(err, errPanic) {
			return false, nil
		}
		matches, ok := value.(bool)
		if err == nil && !ok {
			err = fmt.Errorf("its value is %.100v, which is no boolean", value)
		}
		if err != nil {
			err = fmt.Errorf("%s: %.200q: %w", field, text, err)
		}
		return matches, err
	}, nil
}

func parse(text string) (parsed cesql.Expression, err error) {
	if len(text) > maxExpression {
		return nil, errTooLong
	}
	defer func() {
		if recover() != nil {
			err = errors.New("it is no expression of CESQL")
		}
	}()
	return parser.Parse(text)
}

func evaluate(parsed cesql.Expression, e event.Event) (value any, err error) {
	defer func() {
		if cause := recover(); cause != nil {
			value, err = nil, fmt.Errorf("%w: %.100v", errPanic, cause)
		}
	}()
	return parsed.Evaluate(e)
}
