package filter_test

import (
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/cloudevents/sdk-go/v2/event"
	"go.uber.org/zap"
	eventingv1 "knative.dev/eventing/pkg/apis/eventing/v1"
	"knative.dev/eventing/pkg/eventfilter"
	"knative.dev/eventing/pkg/eventfilter/attributes"
	"knative.dev/eventing/pkg/eventfilter/subscriptionsapi"

	"github.com/eventing-eventmesh/eventing-eventmesh/pkg/broker/filter"
)

type (
	list   = []eventingv1.SubscriptionsAPIFilter
	one    = eventingv1.SubscriptionsAPIFilter
	values = map[string]string
)

// order has an attribute of each kind.
func order(tb testing.TB) event.Event {
	tb.Helper()
	e := event.New()
	e.SetID("17")
	e.SetSource("https://shop.example/orders?x=1")
	e.SetType("order.placed")
	e.SetSubject("order/17")
	e.SetTime(time.Date(2026, 1, 2, 3, 4, 5, 678_000_000, time.UTC))
	e.SetDataSchema("https://schemas.example/order")
	e.SetExtension("region", "eu")
	e.SetExtension("n", 5)
	e.SetExtension("express", true)
	e.SetExtension("empty", "")
	e.SetExtension("digest", []byte{1, 2, 3})
	if err := e.SetData("text/plain; charset=utf-8", "data"); err != nil {
		tb.Fatal(err)
	}
	return e
}

// trigger is one with filters.
func trigger(filters ...one) *eventingv1.TriggerSpec {
	return &eventingv1.TriggerSpec{Filters: filters}
}

// withAttributes is one with spec.filter.
func withAttributes(attributes values) *eventingv1.TriggerSpec {
	return &eventingv1.TriggerSpec{Filter: &eventingv1.TriggerFilter{Attributes: attributes}}
}

// cases of which Knative Eventing thinks alike, unless told otherwise.
var cases = map[string]struct {
	spec      *eventingv1.TriggerSpec
	want      bool
	otherwise bool // Knative Eventing says the opposite
}{
	"no filter":                      {&eventingv1.TriggerSpec{}, true, false},
	"an empty list":                  {&eventingv1.TriggerSpec{Filters: list{}}, true, false},
	"a filter without attributes":    {withAttributes(nil), true, false},
	"attributes":                     {withAttributes(values{"type": "order.placed", "region": "eu"}), true, false},
	"attributes, one of them other":  {withAttributes(values{"type": "order.placed", "region": "us"}), false, false},
	"attributes: any":                {withAttributes(values{"region": "", "subject": ""}), true, false},
	"attributes: any, but it lacks":  {withAttributes(values{"other": ""}), false, false},
	"attributes: any, but empty":     {withAttributes(values{"empty": ""}), false, false},
	"attributes: an integer as text": {withAttributes(values{"n": "5"}), true, true},
	"attributes: a boolean as text":  {withAttributes(values{"express": "true"}), true, true},
	"filters, and attributes besides": {
		&eventingv1.TriggerSpec{Filters: list{{Exact: values{"region": "eu"}}}, Filter: &eventingv1.TriggerFilter{Attributes: values{"region": "us"}}}, true, false,
	},
	"an empty list, and attributes": {
		&eventingv1.TriggerSpec{Filters: list{}, Filter: &eventingv1.TriggerFilter{Attributes: values{"region": "us"}}}, false, false,
	},

	"exact specversion":          {trigger(one{Exact: values{"specversion": "1.0"}}), true, false},
	"exact id":                   {trigger(one{Exact: values{"id": "17"}}), true, false},
	"exact source":               {trigger(one{Exact: values{"source": "https://shop.example/orders?x=1"}}), true, false},
	"exact type":                 {trigger(one{Exact: values{"type": "order.placed"}}), true, false},
	"exact subject":              {trigger(one{Exact: values{"subject": "order/17"}}), true, false},
	"exact time":                 {trigger(one{Exact: values{"time": "2026-01-02T03:04:05.678Z"}}), true, false},
	"exact dataschema":           {trigger(one{Exact: values{"dataschema": "https://schemas.example/order"}}), true, false},
	"exact datacontenttype":      {trigger(one{Exact: values{"datacontenttype": "text/plain; charset=utf-8"}}), true, false},
	"exact datamediatype":        {trigger(one{Exact: values{"datamediatype": "text/plain"}}), true, false},
	"exact integer":              {trigger(one{Exact: values{"n": "5"}}), true, false},
	"exact boolean":              {trigger(one{Exact: values{"express": "true"}}), true, false},
	"exact bytes":                {trigger(one{Exact: values{"digest": "AQID"}}), true, true},
	"exact, in another case":     {trigger(one{Exact: values{"type": "Order.placed"}}), false, false},
	"exact, what it lacks":       {trigger(one{Exact: values{"other": "x"}}), false, false},
	"several exact":              {trigger(one{Exact: values{"type": "order.placed", "region": "eu"}}), true, false},
	"several exact, one other":   {trigger(one{Exact: values{"type": "order.placed", "region": "us"}}), false, false},
	"prefix":                     {trigger(one{Prefix: values{"type": "order."}}), true, false},
	"prefix that is all":         {trigger(one{Prefix: values{"type": "order.placed"}}), true, false},
	"prefix, other":              {trigger(one{Prefix: values{"type": "rder"}}), false, false},
	"prefix of what it lacks":    {trigger(one{Prefix: values{"other": "x"}}), false, false},
	"suffix":                     {trigger(one{Suffix: values{"type": ".placed"}}), true, false},
	"suffix, other":              {trigger(one{Suffix: values{"type": ".place"}}), false, false},
	"two filters":                {trigger(one{Prefix: values{"type": "order."}}, one{Suffix: values{"type": ".placed"}}), true, false},
	"two filters, one other":     {trigger(one{Prefix: values{"type": "order."}}, one{Suffix: values{"type": ".paid"}}), false, false},
	"all":                        {trigger(one{All: list{{Exact: values{"region": "eu"}}, {CESQL: "n = 5"}}}), true, false},
	"all, one other":             {trigger(one{All: list{{Exact: values{"region": "eu"}}, {CESQL: "n = 6"}}}), false, false},
	"any":                        {trigger(one{Any: list{{Exact: values{"region": "us"}}, {Exact: values{"region": "eu"}}}}), true, false},
	"any, none":                  {trigger(one{Any: list{{Exact: values{"region": "us"}}, {Exact: values{"region": "uk"}}}}), false, false},
	"not":                        {trigger(one{Not: &one{Exact: values{"region": "us"}}}), true, false},
	"not, but it is":             {trigger(one{Not: &one{Exact: values{"region": "eu"}}}), false, false},
	"not, of what it lacks":      {trigger(one{Not: &one{Exact: values{"other": "x"}}}), true, false},
	"not, twice":                 {trigger(one{Not: &one{Not: &one{Exact: values{"region": "eu"}}}}), true, false},
	"cesql":                      {trigger(one{CESQL: "type LIKE 'order.%' AND n > 4 AND region IN ('eu', 'uk')"}), true, false},
	"cesql, other":               {trigger(one{CESQL: "n > 5"}), false, false},
	"cesql of what it lacks":     {trigger(one{CESQL: "other = 'x'"}), false, false},
	"cesql, whether it has it":   {trigger(one{CESQL: "EXISTS region AND NOT EXISTS other"}), true, false},
	"cesql, a cast that fails":   {trigger(one{CESQL: "INT(region) = 0"}), false, false},
	"not cesql of what it lacks": {trigger(one{Not: &one{CESQL: "other = 'x'"}}), true, false},
}

func TestFilter(t *testing.T) {
	e := order(t)
	for name, test := range cases {
		t.Run(name, func(t *testing.T) {
			f, err := filter.New(test.spec)
			if err != nil {
				t.Fatal(err)
			}
			if got, err := f.Match(e); got != test.want || err != nil {
				t.Errorf("got %v, %v, want %v", got, err, test.want)
			}
			if knative := knativeMatch(t, test.spec, e); (knative != test.want) != test.otherwise {
				t.Errorf("Knative Eventing says %v", knative)
			}
		})
	}
}

// knativeMatch is what the Broker of Knative Eventing says. Its all and any of several filters are put together here: they have a data race.
func knativeMatch(tb testing.TB, spec *eventingv1.TriggerSpec, e event.Event) bool {
	tb.Helper()
	var every func(filters list) bool
	single := func(f one) bool {
		switch {
		case len(f.All) > 0:
			return every(f.All)
		case len(f.Any) > 0:
			return slices.ContainsFunc(f.Any, func(f one) bool { return every(list{f}) })
		default:
			return subscriptionsapi.MaterializeSubscriptionsAPIFilter(zap.NewNop(), f).Filter(tb.Context(), e) == eventfilter.PassFilter
		}
	}
	every = func(filters list) bool {
		return !slices.ContainsFunc(filters, func(f one) bool { return !single(f) })
	}
	switch {
	case len(spec.Filters) > 0:
		return every(spec.Filters)
	case spec.Filter != nil:
		return attributes.NewAttributesFilter(spec.Filter.Attributes).Filter(tb.Context(), e) != eventfilter.FailFilter
	default:
		return true
	}
}

func TestFilterOfAnEventThatLacksMuch(t *testing.T) {
	e := event.New()
	e.SetID("1")
	e.SetSource("/")
	e.SetType("t")
	for _, name := range []string{"time", "subject", "dataschema", "datacontenttype", "datamediatype", "other"} {
		for spec, want := range map[*eventingv1.TriggerSpec]bool{
			withAttributes(values{name: ""}):                                                 false,
			trigger(one{Prefix: values{name: "0"}}):                                          false,
			trigger(one{Exact: values{name: "0001-01-01T00:00:00Z"}}):                        false,
			trigger(one{Not: &one{Exact: values{name: "0001-01-01T00:00:00Z"}}}):             true,
			trigger(one{Any: list{{Suffix: values{name: "Z"}}, {Exact: values{"id": "1"}}}}): true,
		} {
			f, err := filter.New(spec)
			if err != nil {
				t.Fatal(err)
			}
			if got, err := f.Match(e); got != want || err != nil {
				t.Errorf("%s: %+v: got %v, %v, want %v", name, spec, got, err, want)
			}
		}
	}
}

func TestFilterOfOlderEvents(t *testing.T) {
	e := event.New(event.CloudEventsVersionV03)
	e.SetID("1")
	e.SetSource("/")
	e.SetType("order.placed")
	e.SetExtension("region", "eu")
	for spec, want := range map[*eventingv1.TriggerSpec]bool{
		trigger(one{Exact: values{"specversion": "0.3", "type": "order.placed", "region": "eu"}}): true,
		trigger(one{Exact: values{"specversion": "1.0"}}):                                         false,
		withAttributes(values{"subject": ""}):                                                     false,
	} {
		f, err := filter.New(spec)
		if err != nil {
			t.Fatal(err)
		}
		if got, err := f.Match(e); got != want || err != nil {
			t.Errorf("%+v: got %v, %v, want %v", spec, got, err, want)
		}
	}
}

func TestFilterThatCannotBeBuilt(t *testing.T) {
	for name, test := range map[string]struct {
		spec *eventingv1.TriggerSpec
		want string
	}{
		"no dialect":             {trigger(one{Exact: values{"id": "1"}}, one{}), "filters[1]: want one of exact"},
		"no dialect, deep":       {trigger(one{All: list{{Any: list{{Not: &one{}}}}}}), "filters[0].all[0].any[0].not: want one of"},
		"two dialects":           {trigger(one{Exact: values{"id": "1"}, CESQL: "TRUE"}), "filters[0]: want one of exact"},
		"no value":               {trigger(one{Exact: values{"id": ""}}), "filters[0].exact: want a name and a value"},
		"no name":                {trigger(one{Suffix: values{"": "x"}}), "filters[0].suffix: want a name and a value"},
		"no expression":          {trigger(one{CESQL: "a b c"}), `filters[0].cesql: "a b c"`},
		"the parser panics":      {trigger(one{Not: &one{CESQL: "not a b"}}), `filters[0].not.cesql: "not a b"`},
		"an expression too long": {trigger(one{CESQL: strings.Repeat("(", 1<<20)}), "it has more than 4096 bytes"},
	} {
		t.Run(name, func(t *testing.T) {
			f, err := filter.New(test.spec)
			if err == nil || !strings.Contains(err.Error(), test.want) {
				t.Errorf("got %v, want %s", err, test.want)
			}
			if matches, _ := f.Match(order(t)); matches && err != nil {
				t.Error("and it matches")
			}
		})
	}
}

// Knative's webhook accepts these, and its own filter panics.
func TestExpressionThatIsNoCondition(t *testing.T) {
	for name, filters := range map[string]list{
		"an integer":     {{CESQL: "5"}},
		"a text":         {{CESQL: "source"}},
		"an extension":   {{CESQL: "n"}},
		"in all":         {{All: list{{Exact: values{"region": "eu"}}, {CESQL: "n"}}}},
		"in any":         {{Any: list{{Exact: values{"region": "us"}}, {CESQL: "n"}}}},
		"in not":         {{Not: &one{CESQL: "n"}}},
		"in not, deeper": {{Not: &one{Any: list{{CESQL: "n"}, {CESQL: "source"}}}}},
	} {
		t.Run(name, func(t *testing.T) {
			f, err := filter.New(trigger(filters...))
			if err != nil {
				t.Fatal(err)
			}
			if matches, err := f.Match(order(t)); matches || err == nil || !strings.Contains(err.Error(), "no boolean") {
				t.Errorf("got %v, %v, want that it is no boolean", matches, err)
			}
		})
	}
	f, err := filter.New(trigger(one{Any: list{{CESQL: "n"}, {Exact: values{"region": "eu"}}}}))
	if err != nil {
		t.Fatal(err)
	}
	if matches, err := f.Match(order(t)); !matches || err != nil {
		t.Errorf("got %v, %v, though another of them matches", matches, err)
	}
}

// BenchmarkMatch is what a filter costs for each event, beside those of Knative Eventing.
func BenchmarkMatch(b *testing.B) {
	e := order(b)
	for name, spec := range map[string]*eventingv1.TriggerSpec{
		"attributes": withAttributes(values{"type": "order.placed", "region": "eu"}),
		"exact":      trigger(one{Exact: values{"type": "order.placed", "region": "eu"}}),
		"all":        trigger(one{All: list{{Prefix: values{"type": "order."}}, {Suffix: values{"type": ".placed"}}}}),
		"cesql":      trigger(one{CESQL: "type = 'order.placed' AND region = 'eu'"}),
	} {
		f, err := filter.New(spec)
		if err != nil {
			b.Fatal(err)
		}
		b.Run("ours/"+name, func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				_, _ = f.Match(e)
			}
		})
		knative := subscriptionsapi.CreateSubscriptionsAPIFilters(zap.NewNop(), spec.Filters)
		if spec.Filter != nil {
			knative = attributes.NewAttributesFilter(spec.Filter.Attributes)
		}
		b.Run("Knative Eventing/"+name, func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				knative.Filter(b.Context(), e)
			}
		})
		knative.Cleanup()
	}
}

// FuzzExpression lets anybody who may create a Trigger write what they like: it ends no program.
func FuzzExpression(f *testing.F) {
	for _, test := range cases {
		for _, s := range test.spec.Filters {
			f.Add(s.CESQL)
		}
	}
	for _, s := range []string{"5", "not a b", "a b c", "1/0 = 1", "1%0=1", "-(-2147483648) = 1", "SUBSTRING('a', 5, -1) = ''", "id LIKE '%_\\%'", "((((1))))=1", "INT('x')", "ABS(-2147483648)"} {
		f.Add(s)
	}
	e := order(f)
	f.Fuzz(func(t *testing.T, text string) {
		filters, err := filter.New(trigger(one{CESQL: text}))
		if err != nil {
			return
		}
		if matches, err := filters.Match(e); matches && err != nil {
			t.Errorf("%q matches, with %v", text, err)
		}
	})
}
