package mediatype_test

import (
	"testing"

	"github.com/eventing-eventmesh/eventing-eventmesh/internal/mediatype"
)

func TestIsJSON(t *testing.T) {
	for contentType, want := range map[string]bool{
		"application/json":                     true,
		"Application/JSON":                     true,
		"text/json":                            true,
		"foo/json":                             true,
		"application/json; charset=UTF-8":      true,
		" application/json ;charset=UTF-8":     true,
		"application/json;":                    true,
		"application/json; =":                  true,
		"application/fhir+json":                true,
		"application/vnd.acme+JSON; version=1": true,
		"application/cloudevents+json":         true,
		"image/svg+json":                       true,
		"":                                     false,
		"json":                                 false,
		"+json":                                false,
		"application/jsonx":                    false,
		"application/json-seq":                 false,
		"application/x-json":                   false,
		"application/json+xml":                 false,
		"text/plain; a=application/json":       false,
		"text/plain; a=\"b/json\"":             false,
		"a/b/json":                             false,
		"a/b/c+json":                           false,
		"application/xml":                      false,
		"application/cloudevents":              false,
		"application/cloudevents-batch+json; charset=utf-8": true,
	} {
		if got := mediatype.IsJSON(contentType); got != want {
			t.Errorf("IsJSON(%q): got %t, want %t", contentType, got, want)
		}
	}
}

func TestIsCloudEvents(t *testing.T) {
	for contentType, want := range map[string]bool{
		"application/cloudevents":                            true,
		"application/cloudevents+json":                       true,
		"Application/CloudEvents+JSON; charset=UTF-8":        true,
		" application/cloudevents-batch+json":                true,
		"application/cloudevents+avro":                       true,
		"":                                                   false,
		"application/cloudevent":                             false,
		"application/json":                                   false,
		"text/plain; profile=\"application/cloudevents\"":    false,
		"application/vnd.acme+json; application/cloudevents": false,
	} {
		if got := mediatype.IsCloudEvents(contentType); got != want {
			t.Errorf("IsCloudEvents(%q): got %t, want %t", contentType, got, want)
		}
	}
}
