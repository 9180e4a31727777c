package main

import (
	"strings"
	"testing"

	"github.com/eventing-eventmesh/eventing-eventmesh/pkg/adapter"
	"github.com/eventing-eventmesh/eventing-eventmesh/pkg/adapter/sink"
	"github.com/eventing-eventmesh/eventing-eventmesh/pkg/adapter/source"
	"github.com/eventing-eventmesh/eventing-eventmesh/pkg/broker/dispatcher"
	"github.com/eventing-eventmesh/eventing-eventmesh/pkg/broker/ingress"
)

func TestEachVariableHasOneRow(t *testing.T) {
	t.Parallel()
	sections := map[string]string{}
	for part := range strings.SplitSeq(document(), "\n## ") {
		title, text, _ := strings.Cut(part, "\n")
		sections[title] = "\n" + text
	}
	for _, test := range []struct {
		name, section string
		config        any
	}{
		{"source", sections["Source"], source.NewConfig()},
		{"sink", sections["Sink"], sink.NewConfig()},
		{"ingress", sections["Broker: ingress"], ingress.NewConfig()},
		{"dispatcher", sections["Broker: dispatcher"], dispatcher.NewConfig()},
	} {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			variables := adapter.Variables(test.config)
			for _, v := range variables {
				if got := strings.Count(test.section, "\n| `"+v.Name+"` |"); got != 1 {
					t.Errorf("%s has %d rows, want 1", v.Name, got)
				}
			}
			if got, want := strings.Count(test.section, "\n| `"), len(variables); got != want {
				t.Errorf("got %d rows, want %d", got, want)
			}
		})
	}
}

func TestEachRowHasTheColumnsOfItsTable(t *testing.T) {
	t.Parallel()
	columns := 0
	for line := range strings.Lines(document()) {
		bars := strings.Count(line, "|") - strings.Count(line, `\|`)
		switch {
		case !strings.HasPrefix(line, "|"):
			columns = 0
		case columns == 0:
			columns = bars
		case bars != columns:
			t.Errorf("got %d bars, want %d: %s", bars, columns, line)
		}
	}
}

func TestDefault(t *testing.T) {
	t.Parallel()
	for _, test := range []struct {
		variable adapter.Variable
		want     string
	}{
		{adapter.Variable{Required: true}, "required"},
		{adapter.Variable{}, "none"},
		{adapter.Variable{Default: "30s"}, "`30s`"},
		{adapter.Variable{Default: "a|b"}, "`a\\|b`"},
	} {
		if got := defaultOf(test.variable); got != test.want {
			t.Errorf("default of %+v: got %s, want %s", test.variable, got, test.want)
		}
	}
}

func TestCell(t *testing.T) {
	t.Parallel()
	if got, want := cell("any of %|_-\nor <name>*"), `any of %\|_- or \<name>\*`; got != want {
		t.Errorf("got %s, want %s", got, want)
	}
}
