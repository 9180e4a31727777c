package wire

import "strings"

// Maker is the producer group of those who make topics: one, since EventMesh has threads for each.
const Maker = "eventing-eventmesh"

// Unstorable is an extension for an event that makes a topic and comes to nobody: RocketMQ 4.9 makes the topic of a message first, and then
// refuses the message, whose properties have at most 32,767 bytes. Where another storage may be, send a request: no other has requests.
var Unstorable = strings.Repeat("x", 1<<15)

// NoTopic is the name of a topic that no storage of EventMesh 1.12 has: RocketMQ and Kafka refuse it, and the standalone one knows topics by
// their subscribers.
const NoTopic = "no/topic"

// Filler is a JSON string of n bytes in all, and of at least two.
func Filler(n int) string { return `"` + strings.Repeat("x", max(n-2, 0)) + `"` }
