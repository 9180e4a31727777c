// Package delivery is what programs share that deliver events with the engine of package dispatch.
package delivery

import (
	"crypto/sha256"
	"crypto/tls"
	"encoding/hex"
	"fmt"
	"net/url"
	"strings"

	"github.com/cloudevents/sdk-go/v2/event"
	"knative.dev/eventing/pkg/eventingtls"
)

const (
	// NamespaceHeader tells who gets an event which namespace it comes from.
	NamespaceHeader = "Kn-Namespace"
	// TopicExtension holds the EventMesh topic of an event that the source sends.
	TopicExtension = "eventmeshtopic"
	// UndecodableType is the type of the event that carries what was none to the dead letters.
	UndecodableType = "org.apache.eventmesh.undecodable"
)

// NoEvent makes an event of a message that is not one, for the dead letters.
func NoEvent(topic string, raw []byte) event.Event {
	id := sha256.Sum256(append([]byte(topic+" "), raw...))
	topic = strings.ToValidUTF8(topic, "\uFFFD")
	e := event.New()
	e.SetID(hex.EncodeToString(id[:16]))
	e.SetSource("eventmesh:" + topic)
	if e.Source() == "" { // of a name that no URI can have
		e.SetSource("eventmesh:" + url.PathEscape(topic))
	}
	e.SetType(UndecodableType)
	if topic != "" {
		e.SetExtension(TopicExtension, topic)
	}
	e.SetDataContentType("application/octet-stream")
	e.DataEncoded, e.DataBase64 = raw, true
	return e
}

// Trusted is whom TLS connections trust: the authorities of the system, of those given in PEM, if any, and of the trust bundles that Knative mounts.
func Trusted(caCerts *string) (*tls.Config, error) {
	config, err := eventingtls.GetTLSClientConfig(eventingtls.ClientConfig{CACerts: caCerts})
	if err != nil {
		return nil, fmt.Errorf("reading certificates to trust: %w", err)
	}
	return config, nil
}
