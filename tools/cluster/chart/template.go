package chart

import (
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"math/bits"
	"slices"
	"strings"

	"sigs.k8s.io/yaml"
)

// expression stands for a field that a value sets: what is between the braces of a template.
type expression struct {
	text  string
	block bool // it is a map
}

// verbatim is what a template has in the place of a key and its value.
type verbatim []string

// merger writes variants of the same fields as one template. Sets of variants are bits, as in 1<<n for that with the number n.
type merger struct {
	switches []toggle
	replace  *strings.Replacer // in all strings
	err      error
}

// lines of YAML, indented from the left margin.
type lines []string

func (l lines) indented(by int) lines {
	space := strings.Repeat(" ", by)
	out := make(lines, len(l))
	for i, line := range l {
		out[i] = space + line
	}
	return out
}

// when puts lines into a condition, unless they hold for all variants of a set.
func (m *merger) when(some, of uint, l lines) lines {
	if some == of {
		return l
	}
	return slices.Concat(lines{"{{- if " + m.condition(some, of) + " }}"}, l, lines{"{{- end }}"})
}

// and appends lines. Where their condition is that of the lines before, both stand in one.
func (l lines) and(more lines) lines {
	open := func(line string) bool { return strings.HasPrefix(line, "{{- if ") }
	last := len(l) - 1
	if last < 0 || len(more) == 0 || !open(more[0]) || l[last] != "{{- end }}" {
		return append(l, more...)
	}
	begins := last - 1
	for begins >= 0 && !open(l[begins]) { // those of nested conditions are indented
		begins--
	}
	if begins < 0 || l[begins] != more[0] {
		return append(l, more...)
	}
	return append(l[:last], more[1:]...)
}

// condition says in the language of templates which variants of a set there are.
func (m *merger) condition(some, of uint) string {
	var on []uint
	for i := range m.switches {
		var with uint
		for n := range uint(1) << len(m.switches) {
			if n&(1<<i) != 0 {
				with |= 1 << n
			}
		}
		on = append(on, with&of)
	}
	name := func(i int) string { return ".Values." + m.switches[i].value }
	for i, with := range on {
		switch some {
		case with:
			return name(i)
		case of &^ with:
			return "not " + name(i)
		}
	}
	for among := range 1 << len(on) {
		either, all := uint(0), of
		var names []string
		for i, with := range on {
			if among&(1<<i) != 0 {
				either |= with
				all &= with
				names = append(names, name(i))
			}
		}
		switch some {
		case either:
			return "or " + strings.Join(names, " ")
		case all:
			return "and " + strings.Join(names, " ")
		case of &^ either:
			return "not (or " + strings.Join(names, " ") + ")"
		}
	}
	m.err = errors.Join(m.err, fmt.Errorf("no condition for variants %b of %b", some, of))
	return "false"
}

// object returns the lines of a map.
func (m *merger) object(f fields) lines {
	keys := map[string]fields{}
	for n, value := range f {
		inner, _ := value.(map[string]any)
		for key, v := range inner {
			if keys[key] == nil {
				keys[key] = fields{}
			}
			keys[key][n] = v
		}
	}
	var out lines
	for _, key := range slices.Sorted(maps.Keys(keys)) {
		of := keys[key]
		out = out.and(m.when(of.variants(), f.variants(), m.entry(m.scalar(key), of)))
	}
	return out
}

// entry returns the lines of a key with its values.
func (m *merger) entry(key string, f fields) lines {
	kind := f.kindOf()
	if kind != "" && len(f.full()) > 0 {
		full := f.full()
		nested := m.object
		if kind == "list" {
			nested = m.list
		}
		out := m.when(full.variants(), f.variants(), append(lines{key + ":"}, nested(full).indented(2)...))
		if rest := f.variants() &^ full.variants(); rest != 0 {
			out = append(out, m.when(rest, f.variants(), lines{key + ": " + map[string]string{"map": "{}", "list": "[]"}[kind]})...)
		}
		return out
	}
	var out lines
	values, sets := f.distinct()
	for i, value := range values {
		out = append(out, m.when(sets[i], f.variants(), m.leaf(key, value))...)
	}
	return out
}

func (m *merger) leaf(key string, value any) lines {
	switch v := value.(type) {
	case verbatim:
		return lines(v)
	case expression:
		if v.block {
			return lines{key + ":", "{{- toYaml " + v.text + " | nindent INDENT }}"}
		}
		return lines{key + ": {{ " + v.text + " }}"}
	default:
		return lines{key + ": " + m.scalar(value)}
	}
}

// list returns the lines of a list. Items with the same name are the same, and others if they are equal. They are in the order of the variant
// with the most switches on.
func (m *merger) list(f fields) lines {
	var order []string
	items := map[string]fields{}
	for i := range uint(bits.Len(f.variants())) {
		n := uint(bits.Len(f.variants())) - 1 - i
		all, _ := f[n].([]any)
		at := 0
		times := map[string]int{}
		for _, item := range all {
			id := identity(item)
			times[id]++
			id = fmt.Sprint(id, " ", times[id])
			if i := slices.Index(order, id); i >= 0 {
				at = i + 1
			} else {
				order = slices.Insert(order, at, id)
				items[id] = fields{}
				at++
			}
			items[id][n] = item
		}
	}
	var out lines
	for _, id := range order {
		of := items[id]
		out = out.and(m.when(of.variants(), f.variants(), m.item(of)))
	}
	return out
}

func identity(item any) string {
	if fields, ok := item.(map[string]any); ok {
		if name, ok := fields["name"].(string); ok {
			return name
		}
	}
	text, err := json.Marshal(item)
	if err != nil {
		return err.Error()
	}
	return string(text)
}

func (m *merger) item(f fields) lines {
	if f.kindOf() != "map" {
		value, _ := f.distinct()
		return lines{"- " + m.scalar(value[0])}
	}
	inner := m.object(f).indented(2)
	if strings.HasPrefix(strings.TrimSpace(inner[0]), "{{") {
		return append(lines{"-"}, inner...)
	}
	inner[0] = "- " + inner[0][2:]
	return inner
}

// scalar returns what is neither a map nor a list, as YAML.
func (m *merger) scalar(value any) string {
	marshal := yaml.Marshal
	if s, ok := value.(string); ok && strings.Contains(s, "\n") {
		marshal = json.Marshal // on one line
	}
	text, err := marshal(value)
	if err != nil {
		m.err = errors.Join(m.err, err)
	}
	plain := strings.TrimSuffix(string(text), "\n")
	named := m.replace.Replace(plain)
	if named != plain { // a name may look like a number
		return `"` + named + `"`
	}
	return plain
}

// text joins lines, and tells nested values how far they are indented.
func (l lines) text() string {
	var out strings.Builder
	for i, line := range l {
		if strings.Contains(line, "nindent INDENT") {
			before := l[i-1]
			depth := len(before) - len(strings.TrimLeft(before, " -"))
			line = strings.Replace(line, "INDENT", fmt.Sprint(depth+2), 1)
		}
		out.WriteString(line + "\n")
	}
	return out.String()
}
