package chart

import (
	"encoding/json"
	"strings"

	"sigs.k8s.io/yaml"
)

// metadata is what Chart.yaml has.
type metadata struct {
	APIVersion  string `json:"apiVersion"`
	Name        string `json:"name"`
	Description string `json:"description"`
	Type        string `json:"type"`
	Version     string `json:"version"`
	AppVersion  string `json:"appVersion"`
	Home        string `json:"home"`
}

// Files returns the files of the chart, by their paths in it.
//
// root is that of the repository, version that of the release, such as v0.1.0, and images are what the names of images in config/ become.
func (c *Chart) Files(root, version string, images *strings.Replacer) (map[string]string, error) {
	variants, err := c.variants(root)
	if err != nil {
		return nil, err
	}
	for _, objects := range variants {
		for _, o := range objects {
			o.part("metadata", "labels")["app.kubernetes.io/version"] = version
		}
	}
	settings, err := c.take(variants)
	if err != nil {
		return nil, err
	}
	values, err := valuesYAML(settings)
	if err != nil {
		return nil, err
	}
	about, err := yaml.Marshal(metadata{
		APIVersion: "v2", Name: c.Name, Description: c.Description, Type: "application",
		Version: strings.TrimPrefix(version, "v"), AppVersion: version,
		Home: "https://github.com/eventing-eventmesh/eventing-eventmesh",
	})
	if err != nil {
		return nil, err
	}
	types, err := json.MarshalIndent(schema(settings), "", "  ")
	if err != nil {
		return nil, err
	}
	files := map[string]string{
		"Chart.yaml":          string(about),
		"values.yaml":         images.Replace(values),
		"values.schema.json":  string(types) + "\n",
		"templates/NOTES.txt": c.notes,
	}
	m := &merger{switches: c.switches, replace: c.names()}
	for _, id := range ids(variants) {
		of := fields{}
		for n, objects := range variants {
			for _, o := range objects {
				if o.id == id {
					of[uint(n)] = o.fields
				}
			}
		}
		text := m.when(of.variants(), 1<<len(variants)-1, m.object(of)).text()
		files["templates/"+c.fileOf(id)] = images.Replace(text)
	}
	return files, m.err
}

// names returns what replaces the names that the release or a value says.
func (c *Chart) names() *strings.Replacer {
	pairs := []string{prefix + c.Name, "{{ .Release.Name }}"}
	for _, s := range c.switches {
		if s.named != "" {
			pairs = append(pairs, s.named, "{{ .Values."+s.value+" }}")
		}
	}
	return strings.NewReplacer(pairs...)
}

// ids returns those of all objects.
func ids(variants [][]object) []string {
	var all []string
	seen := map[string]bool{}
	for _, objects := range variants {
		for _, o := range objects {
			if !seen[o.id] {
				seen[o.id] = true
				all = append(all, o.id)
			}
		}
	}
	return all
}

// fileOf returns the name of an object's template.
func (c *Chart) fileOf(id string) string {
	kind, name, _ := strings.Cut(id, " ")
	if c.renamed {
		name = strings.TrimPrefix(name, prefix+c.Name)
	} else {
		name = "-" + name
	}
	return strings.ToLower(kind) + name + ".yaml"
}
