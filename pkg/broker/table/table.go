package table

import (
	"context"

	"knative.dev/eventing/pkg/apis/feature"

	"github.com/eventing-eventmesh/eventing-eventmesh/pkg/broker"
	"github.com/eventing-eventmesh/eventing-eventmesh/pkg/broker/filter"
	"github.com/eventing-eventmesh/eventing-eventmesh/pkg/dispatch"
)

const (
	// Class is the class of the Brokers that a table has.
	Class = "EventMesh"

	group = "eventmesh.eventing.knative.dev/"
	// TopicAnnotation names, in the status of a Broker, the topic that it has for good.
	TopicAnnotation = group + "topic"
	// OrderingAnnotation says of a Trigger which events are sent one after the other: unordered, key or strict.
	OrderingAnnotation = group + "ordering"
	// MaxInFlightAnnotation says of a Trigger how many requests are under way at once.
	MaxInFlightAnnotation = group + "max-in-flight"
	// OverflowAnnotation says of a Trigger what becomes of events that find it full: wait or dead-letter.
	OverflowAnnotation = group + "overflow"
)

// Source gives tables.
type Source interface {
	// Run calls changed with a table as soon as one is whole, and with another one after each change, until the context ends. The error says
	// why there can be none.
	Run(ctx context.Context, changed func(*Table)) error
}

// Table is what there is.
type Table struct {
	// Brokers are all of the class.
	Brokers []*Broker
	// Features are those of Knative Eventing; nil where they are not known, or of no interest.
	Features feature.Flags
	// Trust is whom to trust besides the authorities of the system and of an address, in PEM.
	Trust string
	// Objects are what it was made of.
	Objects Objects
	// Stale says that there may be others by now: it is of an earlier process, since the cluster does not answer.
	Stale bool
}

// Broker is one that is to be served.
type Broker struct {
	Namespace, Name string
	// UID tells it from every other, also from one of the same name that was deleted.
	UID string
	// Generation is that of the object that this was made of.
	Generation int64
	// Mesh is where its events go. Without a URL it is not known, and Problem says why.
	Mesh Mesh
	// Topic is that of the Broker, and Group that in which its events are received.
	Topic, Group string
	// Access says who may send to it. Who delivers its events need not know.
	Access Access
	// Address is where events come to it, replies among them. It may have none yet.
	Address  Endpoint
	Triggers []Trigger
	// Problem is what is wrong with it, or nil.
	Problem *Problem
}

// Mesh is an EventMesh, and as who to connect.
type Mesh struct {
	// URL may be several, as in EVENTMESH_URL.
	URL                       string
	Username, Password, Token string
	// CA is whom to trust instead of the system's authorities, in PEM.
	CA string
}

// String keeps the password and the token out of logs.
func (m Mesh) String() string { return m.URL }

// Endpoint is an address that has been resolved. The zero value is none.
type Endpoint struct {
	URL string
	// CACerts are whom to trust besides others, in PEM.
	CACerts string
	// Audience is for whom a token has to be, or "".
	Audience string
}

// Trigger is one that is to be served.
type Trigger struct {
	Namespace, Name, UID string
	Generation           int64
	// ServiceAccount is as whom its events are sent, or "".
	ServiceAccount string
	Filter         filter.Filter
	Delivery       broker.Delivery
	// Subscriber is where its events go. Without a URL it is not known.
	Subscriber, DeadLetterSink Endpoint
	Ordering                   dispatch.Ordering
	MaxInFlight                int
	// Overflow says that events that find it full go to the dead letter sink, instead of waiting.
	Overflow bool
	// Problem is what is wrong with it, or nil.
	Problem *Problem
}

// Problem is what is wrong with a Broker or a Trigger, for people.
type Problem struct {
	// Reason is one word, as conditions have it.
	Reason string `json:"reason"`
	// Message is a sentence that says what to do.
	Message string `json:"message"`
}
