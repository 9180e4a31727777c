package faults

import "os"

// long asks for the long form.
var long = os.Getenv("FAULTS") == "long"

// lasting returns how long a fault or a traffic lasts, or how often it comes.
func lasting[T any](short, longer T) T {
	if long {
		return longer
	}
	return short
}
