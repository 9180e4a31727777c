// Package mediatype tells what CloudEvents makes of a content type: one answer for all that reads, carries and writes events.
package mediatype

import "strings"

// IsJSON tells whether data of a content type is JSON: */json and */*+json are, in any case and with any parameters (JSON format,
// 3.1.2). Without a content type it is the event's format that decides.
func IsJSON(contentType string) bool {
	_, subtype, _ := strings.Cut(essence(contentType), "/")
	const json, suffix = "json", "+json"
	return strings.EqualFold(subtype, json) ||
		len(subtype) >= len(suffix) && strings.EqualFold(subtype[len(subtype)-len(suffix):], suffix) && !strings.Contains(subtype, "/")
}

// IsCloudEvents tells whether a receiver over HTTP reads a body of a content type as an event, or several, in structured mode
// (HTTP binding, 3).
func IsCloudEvents(contentType string) bool {
	const prefix = "application/cloudevents"
	contentType = strings.TrimSpace(contentType)
	return len(contentType) >= len(prefix) && strings.EqualFold(contentType[:len(prefix)], prefix)
}

// essence is a media type without its parameters.
func essence(contentType string) string {
	essence, _, _ := strings.Cut(contentType, ";")
	return strings.TrimSpace(essence)
}
