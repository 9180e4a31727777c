// Package line makes one line of texts that come from elsewhere.
package line

import (
	"slices"
	"strings"
)

// First returns the first line of a text as valid UTF-8: all of it, or at most n bytes followed by more.
func First(text string, n int, more string) string {
	text, _, _ = strings.Cut(strings.TrimSpace(text), "\n")
	if len(text) <= n {
		n, more = len(text), ""
	}
	return strings.TrimSpace(strings.ToValidUTF8(text[:n], "")) + more
}

// Sorted makes one line of the CloudEvents SDK's validation errors, which have a line for each attribute, in no order.
func Sorted(err error) string {
	return strings.Join(slices.Sorted(strings.SplitSeq(strings.TrimSpace(err.Error()), "\n")), "; ")
}
