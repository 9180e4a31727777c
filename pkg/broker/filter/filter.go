// Package filter tells which events a Trigger gets.
//
// It has the dialects of spec.filters, those of the Subscriptions API of CloudEvents, and spec.filter, as Knative Eventing's own Broker has
// them. It differs where that one is careless with what others share:
//
//   - A filter that cannot be built is an error. There it is skipped, so that the Trigger gets what it did not ask for.
//   - An expression that panics, or whose value is no boolean, does not match. There the panic ends the goroutine that delivers.
//   - All values are compared in the form that they have as text, so that an event means the same in every encoding.
//   - An attribute that an event lacks matches nothing. There an event without a time has that of the year 1.
package filter

import (
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"

	"github.com/cloudevents/sdk-go/v2/event"
	eventingv1 "knative.dev/eventing/pkg/apis/eventing/v1"
)

// Filter tells which events a Trigger gets: the zero value all of them. It does not change, and many goroutines may use it.
type Filter struct{ matches *condition }

// condition tells whether an event has a property. The error is of an expression that has no answer.
type condition func(event.Event) (bool, error)

// New returns the filter of a Trigger: spec.filters, or spec.filter where there are none. The error names the field that no filter can be
// made of; what is returned with it matches nothing.
func New(spec *eventingv1.TriggerSpec) (Filter, error) {
	if len(spec.Filters) > 0 {
		list, err := conditions(spec.Filters, "filters")
		if err != nil {
			return of(nothing), err
		}
		return of(all(list)), nil
	}
	if spec.Filter == nil || len(spec.Filter.Attributes) == 0 {
		return Filter{}, nil
	}
	return of(all(each(spec.Filter.Attributes, equalsOrAny))), nil
}

func of(c condition) Filter { return Filter{&c} }

func nothing(event.Event) (bool, error) { return false, nil }

// Match tells whether an event is for the Trigger. With an error it is not: an expression of CESQL panics at this event, or has a value
// that is no boolean, which its Trigger's owner has to change.
func (f Filter) Match(e event.Event) (bool, error) {
	if f.matches == nil {
		return true, nil
	}
	return (*f.matches)(e)
}

// conditions are those of a list of filters, which a field has.
func conditions(filters []eventingv1.SubscriptionsAPIFilter, field string) (list []condition, err error) {
	for i := range filters {
		c, err := dialect(&filters[i], fmt.Sprintf("%s[%d]", field, i))
		if err != nil {
			return nil, err
		}
		list = append(list, c)
	}
	return list, nil
}

// Errors of New, behind the name of the field.
var (
	errNoDialect = errors.New("want one of exact, prefix, suffix, all, any, not and cesql")
	errEmpty     = errors.New("want a name and a value that are not empty")
)

// dialect is the condition of one filter.
func dialect(f *eventingv1.SubscriptionsAPIFilter, field string) (c condition, err error) {
	var found int
	for _, d := range []struct {
		name  string
		given bool
		make  func(field string) (condition, error)
	}{
		{"exact", len(f.Exact) > 0, texts(f.Exact, equals)},
		{"prefix", len(f.Prefix) > 0, texts(f.Prefix, strings.HasPrefix)},
		{"suffix", len(f.Suffix) > 0, texts(f.Suffix, strings.HasSuffix)},
		{"all", len(f.All) > 0, listed(f.All, all)},
		{"any", len(f.Any) > 0, listed(f.Any, anyOf)},
		{"not", f.Not != nil, func(field string) (condition, error) { return not(f.Not, field) }},
		{"cesql", f.CESQL != "", func(field string) (condition, error) { return expression(f.CESQL, field) }},
	} {
		if !d.given {
			continue
		}
		if found++; found > 1 {
			break
		}
		if c, err = d.make(field + "." + d.name); err != nil {
			return nil, err
		}
	}
	if found != 1 {
		return nil, fmt.Errorf("%s: %w", field, errNoDialect)
	}
	return c, nil
}

// texts makes a condition of attributes that all have to be like their values.
func texts(values map[string]string, like func(value, wanted string) bool) func(field string) (condition, error) {
	return func(field string) (condition, error) {
		for name, value := range values {
			if name == "" || value == "" {
				return nil, fmt.Errorf("%s: %w", field, errEmpty)
			}
		}
		return all(each(values, like)), nil
	}
}

// each is a condition for each of some attributes, which an event must have: like is asked for its value, and the one that is wanted.
func each(values map[string]string, like func(value, wanted string) bool) (list []condition) {
	for _, name := range slices.Sorted(maps.Keys(values)) {
		wanted := values[name]
		list = append(list, func(e event.Event) (bool, error) {
			value, ok := attribute(e, name)
			return ok && like(value, wanted), nil
		})
	}
	return list
}

func equals(value, wanted string) bool { return value == wanted }

// equalsOrAny is that of spec.filter, where an empty value is a wildcard.
func equalsOrAny(value, wanted string) bool {
	if wanted == eventingv1.TriggerAnyFilter {
		return value != ""
	}
	return value == wanted
}

// listed makes a condition of a list of filters.
func listed(filters []eventingv1.SubscriptionsAPIFilter, join func([]condition) condition) func(field string) (condition, error) {
	return func(field string) (condition, error) {
		list, err := conditions(filters, field)
		if err != nil {
			return nil, err
		}
		return join(list), nil
	}
}

func all(list []condition) condition {
	return func(e event.Event) (bool, error) {
		for _, c := range list {
			if ok, err := c(e); !ok || err != nil {
				return false, err
			}
		}
		return true, nil
	}
}

func anyOf(list []condition) condition {
	return func(e event.Event) (matches bool, err error) {
		for _, c := range list {
			ok, failure := c(e)
			if ok {
				return true, nil
			}
			err = errors.Join(err, failure)
		}
		return false, err
	}
}

func not(f *eventingv1.SubscriptionsAPIFilter, field string) (condition, error) {
	c, err := dialect(f, field)
	if err != nil {
		return nil, err
	}
	return func(e event.Event) (bool, error) {
		ok, err := c(e)
		return !ok && err == nil, err
	}, nil
}
