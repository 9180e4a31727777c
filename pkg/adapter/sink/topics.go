package sink

import (
	"fmt"
	"strings"

	"github.com/eventing-eventmesh/eventing-eventmesh/pkg/eventmesh"
)

// wildcard stands, at the end of a pattern, for any rest of a name.
const wildcard = "*"

// Topics are patterns of topics: names, or the start of names with a * at the end.
type Topics []string

// Decode parses patterns that are separated by commas, for envconfig.
func (t *Topics) Decode(value string) error {
	*t = nil
	for pattern := range strings.SplitSeq(value, ",") {
		pattern = strings.TrimSpace(pattern)
		if pattern == "" {
			continue
		}
		if name, isPrefix := strings.CutSuffix(pattern, wildcard); !isPrefix || name != "" {
			if err := eventmesh.ValidateTopic(name); err != nil {
				return fmt.Errorf("%w, and may end in *", err)
			}
		}
		*t = append(*t, pattern)
	}
	return nil
}

// match tells whether one of the patterns is for the topic.
func (t Topics) match(topic string) bool {
	for _, pattern := range t {
		prefix, isPrefix := strings.CutSuffix(pattern, wildcard)
		if topic == pattern || isPrefix && strings.HasPrefix(topic, prefix) {
			return true
		}
	}
	return false
}
