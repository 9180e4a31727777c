package monitoring

import (
	"errors"
	"fmt"
	"regexp"
	"slices"
	"strings"
)

// Query is what a PromQL expression names.
type Query struct {
	Metrics, Labels []string
	// Kept are the labels that by leaves in the result; nil where there is no by.
	Kept []string
}

var (
	promWord    = regexp.MustCompile(`^[a-zA-Z_:][a-zA-Z0-9_:]*`)
	promNumber  = regexp.MustCompile(`^[0-9][0-9a-zA-Z_.]*`)
	promString  = regexp.MustCompile("^(?:\"(?:[^\"\\\\]|\\\\.)*\"|'(?:[^'\\\\]|\\\\.)*'|`[^`]*`)")
	promMatcher = regexp.MustCompile(`^\s*([a-zA-Z_][a-zA-Z0-9_]*)\s*(?:=~|!~|!=|=)\s*`)
	promRange   = regexp.MustCompile(`^\[[$0-9a-z_: ]+\]`)
	promList    = regexp.MustCompile(`^\s*\(([a-zA-Z0-9_, ]*)\)`)
	promCall    = regexp.MustCompile(`^\s*(?:(?:by|without)\s*)?\(`)

	promOperators = []string{"and", "or", "unless", "bool", "offset"}
	promLists     = []string{"by", "without", "on", "ignoring", "group_left", "group_right"}
	promFunctions = []string{"sum", "min", "max", "avg", "count", "rate", "increase", "histogram_quantile", "absent", "time"}
)

// parseQuery finds the names in a PromQL expression. It knows as much of the language as is used here, and fails on the rest.
func parseQuery(expression string) (Query, error) {
	var q Query
	open := 0
	for rest := strings.TrimSpace(expression); rest != ""; rest = strings.TrimSpace(rest) {
		if word := promWord.FindString(rest); word != "" {
			rest = rest[len(word):]
			switch {
			case slices.Contains(promOperators, word):
			case slices.Contains(promLists, word):
				list := promList.FindStringSubmatch(rest)
				if list == nil {
					return Query{}, fmt.Errorf("no labels after %s", word)
				}
				rest = rest[len(list[0]):]
				labels := strings.FieldsFunc(list[1], func(r rune) bool { return r == ',' || r == ' ' })
				q.Labels = append(q.Labels, labels...)
				if word == "by" {
					q.Kept = append(q.Kept, labels...)
				}
			case promCall.MatchString(rest):
				if !slices.Contains(promFunctions, word) {
					return Query{}, fmt.Errorf("unknown function %s", word)
				}
			default:
				q.Metrics = append(q.Metrics, word)
			}
			continue
		}
		if token := promNumber.FindString(rest); token != "" {
			rest = rest[len(token):]
			continue
		}
		if token := promRange.FindString(rest); token != "" {
			rest = rest[len(token):]
			continue
		}
		switch rest[0] {
		case '{':
			labels, left, err := parseMatchers(rest[1:])
			if err != nil {
				return Query{}, err
			}
			q.Labels, rest = append(q.Labels, labels...), left
			continue
		case '(':
			open++
		case ')':
			open--
		case '+', '-', '*', '/', '>', '<', '=', '!', ',':
		default:
			return Query{}, fmt.Errorf("not understood: %s", rest)
		}
		if open < 0 {
			break
		}
		rest = rest[1:]
	}
	switch {
	case open != 0:
		return Query{}, errors.New("parentheses do not match")
	case len(q.Metrics) == 0:
		return Query{}, errors.New("no metric")
	}
	return q, nil
}

func parseMatchers(text string) (labels []string, rest string, err error) {
	for {
		matcher := promMatcher.FindStringSubmatch(text)
		if matcher == nil {
			return nil, "", fmt.Errorf("no matcher: %s", text)
		}
		labels, text = append(labels, matcher[1]), text[len(matcher[0]):]
		value := promString.FindString(text)
		if value == "" {
			return nil, "", fmt.Errorf("no value: %s", text)
		}
		text = strings.TrimSpace(text[len(value):])
		if left, more := strings.CutPrefix(text, ","); more {
			text = left
			continue
		}
		if left, ended := strings.CutPrefix(text, "}"); ended {
			return labels, left, nil
		}
		return nil, "", fmt.Errorf("no end of matchers: %s", text)
	}
}
