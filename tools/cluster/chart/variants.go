package chart

import (
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"strings"

	"sigs.k8s.io/kustomize/api/krusty"
	"sigs.k8s.io/kustomize/kyaml/filesys"
)

// prefix marks the names that the name of the release replaces.
const prefix = "name-of-the-release-"

// object is one of a variant's.
type object struct {
	id     string
	fields map[string]any
}

// part returns a map among the fields of an object, and nil where there is none.
func (o *object) part(path ...string) map[string]any {
	at := o.fields
	for _, key := range path {
		at, _ = at[key].(map[string]any)
	}
	return at
}

// variants returns the objects of each combination of switches: of the one with the number n those that are on whose bits n has.
func (c *Chart) variants(root string) ([][]object, error) {
	var all [][]object
	for n := range 1 << len(c.switches) {
		objects, err := c.build(root, n)
		if err != nil {
			return nil, fmt.Errorf("building %s with switches %b: %w", c.Name, n, err)
		}
		all = append(all, objects)
	}
	return all, nil
}

func (c *Chart) build(root string, on int) ([]object, error) {
	folder := c.folder
	var resources, components []string
	for i, s := range c.switches {
		if on&(1<<i) == 0 {
			continue
		}
		if s.folder != "" {
			folder = s.folder
		}
		if s.resource != "" {
			resources = append(resources, s.resource)
		}
		if s.component != "" {
			components = append(components, s.component)
		}
	}
	dir, err := os.MkdirTemp("", "chart")
	if err != nil {
		return nil, err
	}
	defer func() { _ = os.RemoveAll(dir) }()
	text, err := c.kustomization(root, dir, append([]string{folder}, resources...), components)
	if err != nil {
		return nil, err
	}
	if err := os.WriteFile(filepath.Join(dir, "kustomization.yaml"), []byte(text), 0o600); err != nil {
		return nil, err
	}
	built, err := krusty.MakeKustomizer(krusty.MakeDefaultOptions()).Run(filesys.MakeFsOnDisk(), dir)
	if err != nil {
		return nil, err
	}
	var objects []object
	for _, r := range built.Resources() {
		fields, err := r.Map()
		if err != nil {
			return nil, err
		}
		objects = append(objects, object{id: r.GetKind() + " " + hashed.ReplaceAllString(r.GetName(), "$1"), fields: fields})
		withoutHash(fields)
	}
	return objects, nil
}

func (c *Chart) kustomization(root, dir string, resources, components []string) (string, error) {
	var text strings.Builder
	text.WriteString("apiVersion: kustomize.config.k8s.io/v1beta1\nkind: Kustomization\n")
	if c.renamed {
		fmt.Fprintf(&text, "namePrefix: %s\n", prefix)
	}
	for key, folders := range map[string][]string{"resources": resources, "components": components} {
		if len(folders) == 0 {
			continue
		}
		fmt.Fprintf(&text, "%s:\n", key)
		for _, folder := range folders {
			from, err := filepath.Abs(filepath.Join(root, "config", folder))
			if err == nil {
				from, err = filepath.Rel(dir, from)
			}
			if err != nil {
				return "", err
			}
			fmt.Fprintf(&text, "  - %s\n", from)
		}
	}
	return text.String(), nil
}

// hashed finds what kustomize adds to the name of a ConfigMap of settings.
var hashed = regexp.MustCompile(`^(` + prefix + `.*)-[0-9a-z]{10}$`)

// withoutHash returns a field without the hashes in names, and takes them out of maps and lists: a chart has an annotation for the same
// purpose.
func withoutHash(f any) any {
	switch v := f.(type) {
	case string:
		return hashed.ReplaceAllString(v, "$1")
	case map[string]any:
		for key, value := range v {
			v[key] = withoutHash(value)
		}
	case []any:
		for i, value := range v {
			v[i] = withoutHash(value)
		}
	}
	return f
}
