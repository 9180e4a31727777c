package next

import (
	"bytes"
	"errors"
	"fmt"
	"regexp"
	"strings"
	"time"
	"unicode/utf8"

	"github.com/eventing-eventmesh/eventing-eventmesh/pkg/eventmesh/eventmeshtest/internal/jackson"
)

// parseJSON reads what a client has sent.
func parseJSON(body []byte) (any, error) {
	if !utf8.Valid(body) {
		return nil, errors.New("it is not UTF-8")
	}
	value, err := jackson.Parse(bytes.TrimPrefix(body, []byte("\ufeff")))
	if err != nil {
		return nil, err
	}
	return value, checkDepth(value)
}

// maxDepth is how deep JSON may be nested, where it is read and where it is written.
const maxDepth = 1000

func checkDepth(value any) error {
	if depth(value) > maxDepth {
		return fmt.Errorf("it is nested more than %d deep", maxDepth)
	}
	return nil
}

func depth(value any) int {
	deepest := 0
	switch value := value.(type) {
	case *jackson.Object:
		for _, member := range value.Values {
			deepest = max(deepest, depth(member))
		}
	case []any:
		for _, element := range value {
			deepest = max(deepest, depth(element))
		}
	default:
		return 0
	}
	return deepest + 1
}

var javaTime = regexp.MustCompile(`^(\d{4}-\d\d-\d\dT\d\d:\d\d)(:\d\d)?(\.\d{0,9})?(Z|[+-]\d\d)(:\d\d)?$`)

// timeText is Java's text of a time, which is not that of RFC 3339: it has seconds, and thousandths of what is before, only as needed.
func timeText(t time.Time) string {
	layout := "2006-01-02T15:04"
	switch nanoseconds := t.Nanosecond(); {
	case nanoseconds%1000 != 0:
		layout += ":05.000000000"
	case nanoseconds%1_000_000 != 0:
		layout += ":05.000000"
	case nanoseconds != 0:
		layout += ":05.000"
	case t.Second() != 0:
		layout += ":05"
	}
	return t.Format(layout + "Z07:00")
}

// parseTime reads a time as Java does, which needs neither seconds nor the minutes of an offset, and knows offsets up to 18 hours.
func parseTime(text string) (time.Time, error) {
	parts := javaTime.FindStringSubmatch(strings.ToUpper(text))
	if parts == nil || (parts[2] == "" && parts[3] != "") || (parts[4] == "Z" && parts[5] != "") {
		return time.Time{}, fmt.Errorf("%.100q is no time", text)
	}
	if parts[2] == "" {
		parts[2] = ":00"
	}
	if parts[3] == "." {
		parts[3] = ""
	}
	if parts[4] != "Z" && parts[5] == "" {
		parts[5] = ":00"
	}
	t, err := time.Parse(time.RFC3339Nano, strings.Join(parts[1:], ""))
	if err != nil {
		return t, fmt.Errorf("reading time: %w", err)
	}
	if _, offset := t.Zone(); max(offset, -offset) > 18*60*60 {
		return t, fmt.Errorf("the offset of %s is too large", text)
	}
	return t, nil
}
