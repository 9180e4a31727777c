package chart

import (
	"errors"
	"fmt"
	"reflect"
	"regexp"
	"slices"
	"strconv"
	"strings"

	"sigs.k8s.io/yaml"
)

// setting is a value with its default.
type setting struct {
	name, comment string
	value         any
}

// take puts expressions into the place of what the chart's values set, and returns all values with their defaults.
func (c *Chart) take(variants [][]object) ([]setting, error) {
	var all []setting
	for _, v := range c.values {
		def, err := v.take(variants)
		if err != nil {
			return nil, fmt.Errorf("%s: value %s: %w", c.Name, v.name, err)
		}
		all = append(all, setting{v.name, v.comment, def})
	}
	for _, s := range c.switches {
		def := any(false)
		if s.named != "" {
			def = ""
		}
		all = append(all, setting{s.value, s.comment, def})
	}
	if c.renamed {
		others, err := c.takeSettings(variants)
		if err != nil {
			return nil, err
		}
		all = append(all, others)
	}
	return all, nil
}

func (v *value) take(variants [][]object) (def any, err error) {
	found := false
	for _, objects := range variants {
		for _, o := range objects {
			for _, f := range v.fields {
				kind, name, _ := strings.Cut(o.id, " ")
				if f.kind != kind || f.name != "" && f.name != name {
					continue
				}
				old, has := swap(o.fields, f.steps(), func(old any) any { return v.expression(old) })
				if !has {
					continue
				}
				if found && !reflect.DeepEqual(def, old) {
					return nil, fmt.Errorf("got %v and %v", def, old)
				}
				def, found = old, true
			}
		}
	}
	if !found {
		return nil, errors.New("nothing has it")
	}
	return def, nil
}

func (v *value) expression(old any) expression {
	_, block := old.(map[string]any)
	text := ".Values." + v.name
	if v.text {
		text += " | quote"
	}
	return expression{text, block}
}

var step = regexp.MustCompile(`(?:[^.\\]|\\.)+`)

func (f field) steps() []string {
	steps := step.FindAllString(f.path, -1)
	for i := range steps {
		steps[i] = strings.ReplaceAll(steps[i], `\`, "")
	}
	return steps
}

// swap replaces what is at the end of a path, if there is something, and returns what it was.
func swap(in any, path []string, by func(old any) any) (old any, found bool) {
	switch v := in.(type) {
	case map[string]any:
		old, found = v[path[0]]
		if found && len(path) == 1 {
			v[path[0]] = by(old)
			return old, true
		}
	case []any:
		i, err := strconv.Atoi(path[0])
		if found = err == nil && i < len(v); found {
			old = v[i]
		}
	}
	if !found || len(path) == 1 {
		return nil, false
	}
	return swap(old, path[1:], by)
}

// takeSettings lets one more value have the settings that the manifests make, but for those that a switch adds, an annotation replace the pods
// when any of them changes, and the release say whose rights there are.
func (c *Chart) takeSettings(variants [][]object) (setting, error) {
	others := map[string]any{}
	for n, objects := range variants {
		for _, o := range objects {
			if o.fields["kind"] == "ConfigMap" {
				data := o.fields["data"].(map[string]any)
				for name, value := range data {
					if _, taken := value.(expression); taken {
						continue
					}
					if n == 0 {
						others[name] = value
					}
					if _, common := others[name]; common {
						delete(data, name)
					}
				}
				data["~"] = verbatim{ // after all others
					"{{- range $name, $value := .Values.settings }}",
					"{{ $name }}: {{ $value | quote }}",
					"{{- end }}",
				}
			}
			// The token of a pod is for its own namespace.
			swap(o.fields, []string{"subjects", "0", "namespace"}, func(any) any { return expression{text: ".Release.Namespace"} })
			if template, ok := templateOf(o.fields); ok && o.fields["kind"] != "Job" { // which cannot change
				metadata := template["metadata"].(map[string]any)
				metadata["annotations"] = map[string]any{"checksum/settings": expression{text: c.checksum()}}
			}
		}
	}
	if len(others) == 0 {
		return setting{}, fmt.Errorf("%s: there are no settings", c.Name)
	}
	return setting{"settings", settingsComment, others}, nil
}

func templateOf(fields map[string]any) (map[string]any, bool) {
	spec, _ := fields["spec"].(map[string]any)
	template, ok := spec["template"].(map[string]any)
	return template, ok
}

func (c *Chart) checksum() string {
	text := "list"
	for _, v := range c.values {
		if v.fields[0].kind == "ConfigMap" {
			text += " .Values." + v.name
		}
	}
	return text + " .Values.settings | toJson | sha256sum"
}

// valuesYAML returns values.yaml.
func valuesYAML(all []setting) (string, error) {
	var out strings.Builder
	for i, group := range groups(all) {
		if i > 0 {
			out.WriteString("\n")
		}
		space := ""
		if strings.Contains(group[0].name, ".") {
			top, _, _ := strings.Cut(group[0].name, ".")
			fmt.Fprintf(&out, "%s:\n", top)
			space = "  "
		}
		for _, s := range group {
			_, name, nested := strings.Cut(s.name, ".")
			if !nested {
				name = s.name
			}
			text, err := yaml.Marshal(map[string]any{name: s.value})
			if err != nil {
				return "", err
			}
			if s.comment != "" {
				fmt.Fprintf(&out, "%s# %s\n", space, s.comment)
			}
			for line := range strings.Lines(string(text)) {
				out.WriteString(space + line)
			}
		}
	}
	return out.String(), nil
}

// groups returns values with the same first part of their names together, in the order in which these parts come first, and what switches
// all of them on before the others.
func groups(all []setting) [][]setting {
	var out [][]setting
	at := map[string]int{}
	for _, s := range all {
		top, _, _ := strings.Cut(s.name, ".")
		if _, has := at[top]; !has {
			at[top] = len(out)
			out = append(out, nil)
		}
		if strings.HasSuffix(s.name, ".enabled") {
			out[at[top]] = slices.Insert(out[at[top]], 0, s)
		} else {
			out[at[top]] = append(out[at[top]], s)
		}
	}
	return out
}

// schema returns what values.schema.json says, so that Helm refuses a name that there is not.
func schema(all []setting) map[string]any {
	properties := map[string]any{}
	for _, group := range groups(all) {
		top, _, nested := strings.Cut(group[0].name, ".")
		if !nested {
			properties[top] = map[string]any{"type": typeOf(group[0].value), "description": group[0].comment}
			continue
		}
		inner := map[string]any{}
		for _, s := range group {
			_, name, _ := strings.Cut(s.name, ".")
			inner[name] = map[string]any{"type": typeOf(s.value), "description": s.comment}
		}
		properties[top] = map[string]any{"type": "object", "additionalProperties": false, "properties": inner}
	}
	properties["global"] = map[string]any{"type": "object", "description": "Of a chart that has this one as a part."}
	return map[string]any{
		"$schema": "https://json-schema.org/draft-07/schema#", "type": "object", "additionalProperties": false, "properties": properties,
	}
}

func typeOf(value any) any {
	switch value.(type) {
	case bool:
		return "boolean"
	case int, int64, float64:
		return "integer"
	case map[string]any:
		return "object"
	default:
		return "string"
	}
}
