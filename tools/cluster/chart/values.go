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
				steps := f.steps()
				old, has := swap(o.fields, func(old any) any { return v.expression(old) }, steps[0], steps[1:]...)
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
	e := expression{text: ".Values." + v.name}
	switch old.(type) {
	case map[string]any:
		e.block = true
	case string: // whatever the new one looks like
		e.text += " | quote"
	}
	return e
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
func swap(in any, by func(old any) any, first string, path ...string) (old any, found bool) {
	switch v := in.(type) {
	case map[string]any:
		old, found = v[first]
		if found && len(path) == 0 {
			v[first] = by(old)
			return old, true
		}
	case []any:
		i, err := strconv.Atoi(first)
		if found = err == nil && i < len(v); found {
			old = v[i]
		}
	}
	if !found || len(path) == 0 {
		return nil, false
	}
	return swap(old, by, path[0], path[1:]...)
}

// takeSettings lets one more value have the settings that the manifests make, but for those that a switch adds, an annotation replace the pods
// when any of them changes, and the release say whose rights there are.
func (c *Chart) takeSettings(variants [][]object) (setting, error) {
	others := map[string]any{}
	for n, objects := range variants {
		for _, o := range objects {
			if o.fields["kind"] == configMap {
				takeOthers(o.part("data"), others, n == 0)
			}
			// The token of a pod is for its own namespace.
			swap(o.fields, func(any) any { return expression{text: ".Release.Namespace"} }, "subjects", "0", "namespace")
			if metadata := o.part("spec", "template", "metadata"); metadata != nil && o.fields["kind"] != job { // which cannot change
				metadata["annotations"] = map[string]any{"checksum/settings": expression{text: c.checksum()}}
			}
		}
	}
	if len(others) == 0 {
		return setting{}, fmt.Errorf("%s: there are no settings", c.Name)
	}
	return setting{"settings", settingsComment, others}, nil
}

// takeOthers takes from the data of a ConfigMap what no value sets, where it is what others has, and fills these if they are to be found here.
func takeOthers(data, others map[string]any, find bool) {
	for name, value := range data {
		if _, taken := value.(expression); taken {
			continue
		}
		if find {
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

func (c *Chart) checksum() string {
	parts := []string{"list"}
	for _, v := range c.values {
		if v.fields[0].kind == configMap {
			parts = append(parts, ".Values."+v.name)
		}
	}
	return strings.Join(parts, " ") + " .Values.settings | toJson | sha256sum"
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

const typeObject = "object"

// property is a part of a JSON schema.
type property struct {
	Schema      string              `json:"$schema,omitempty"`
	Description string              `json:"description,omitempty"`
	Type        string              `json:"type"`
	Properties  map[string]property `json:"properties,omitempty"`
	// Others is false where there are no other properties.
	Others *bool `json:"additionalProperties,omitempty"`
}

// schema returns what values.schema.json says, so that Helm refuses a name that there is not.
func schema(all []setting) property {
	properties := map[string]property{
		"global": {Type: typeObject, Description: "Of a chart that has this one as a part."},
	}
	for _, group := range groups(all) {
		top, _, nested := strings.Cut(group[0].name, ".")
		if !nested {
			properties[top] = property{Type: typeOf(group[0].value), Description: group[0].comment}
			continue
		}
		inner := map[string]property{}
		for _, s := range group {
			_, name, _ := strings.Cut(s.name, ".")
			inner[name] = property{Type: typeOf(s.value), Description: s.comment}
		}
		properties[top] = property{Type: typeObject, Properties: inner, Others: new(bool)}
	}
	return property{Schema: "https://json-schema.org/draft-07/schema#", Type: typeObject, Properties: properties, Others: new(bool)}
}

func typeOf(value any) string {
	switch value.(type) {
	case bool:
		return "boolean"
	case int, int64, float64:
		return "integer"
	case map[string]any:
		return typeObject
	default:
		return "string"
	}
}
