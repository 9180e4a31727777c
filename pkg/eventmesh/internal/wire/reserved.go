package wire

import "maps"

// reserved are the names of the extensions that EventMesh uses or adds; an event's own extension of such a name travels
// under [Prefix]. The list was seen on events that a 1.12 server delivered.
var reserved = func() map[string]bool {
	names := map[string]bool{}
	for _, group := range [][]string{
		// What a client tells of itself, with every message. EventMesh leaves it on the event.
		{
			"env", "idc", "ip", "pid", "sys", "username", "passwd", "language", "producergroup", "consumergroup", "clienttype",
			"protocoltype", "protocolversion", "protocoldesc", "ttl", "uniqueid", "seqnum", "url", "submessagetype",
			"statuscode", "responsemessage",
		},
		// What the server adds.
		{
			"reqc2eventmeshtimestamp", "reqeventmesh2mqtimestamp", "reqmq2eventmeshtimestamp", "reqeventmesh2ctimestamp",
			"reqsendeventmeship", "reqreceiveeventmeship",
			"rspc2eventmeshtimestamp", "rspeventmesh2mqtimestamp", "rspmq2eventmeshtimestamp", "rspeventmesh2ctimestamp",
			"rspsendeventmeship", "rspreceiveeventmeship",
			"rsp0sys", "rsp0group", "rsp0idc", "rsp0ip",
		},
		// What RocketMQ storage adds.
		{
			"bornhost", "borntimestamp", "cluster", "destination", "messageid", "queueid", "queueoffset", "storehost",
			"storetime", "storetimestamp", "min99offset", "max99offset", "uniq99key", "consume99start99time",
			"correlation99id", "reply99to99client", "msg99type", "arrive99time", "push99reply99time",
		},
	} {
		for _, name := range group {
			names[name] = true
		}
	}
	return names
}()

// Reserved tells whether EventMesh uses extensions of that name, so that [Decode] leaves them out.
func Reserved(name string) bool { return reserved[name] }

// reservedByHTTP are those of EventMesh's HTTP API: what it heeds, and what its storages add.
var reservedByHTTP = map[string]bool{
	"emttl": true, CorrelationID: true, "emtenantid": true,
	"emmqoffset": true, "emmqpartition": true, "empopck": true,
	"datacontentencoding": true, // which it leaves out of what it delivers
	"emdeliveryid":        true, // which it adds over gRPC
}

// ReservedByHTTP tells whether EventMesh's HTTP API uses extensions of that name, so that [DecodeHTTP] leaves them out.
func ReservedByHTTP(name string) bool { return reservedByHTTP[name] }

// reservedByBridge are those of either.
var reservedByBridge = func() map[string]bool {
	names := maps.Clone(reserved)
	maps.Copy(names, reservedByHTTP)
	return names
}()

// CorrelationID is the extension by which the HTTP API finds who waits for a reply.
const CorrelationID = "emcorrelationid"

// reserved are the names of the extensions that EventMesh uses for what travels in a form.
func (f Form) reserved() map[string]bool {
	switch f {
	case HTTPForm:
		return reservedByHTTP
	case BridgeForm:
		return reservedByBridge
	default:
		return reserved
	}
}
