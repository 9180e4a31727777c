package wire

import "strings"

// Maker is the producer group of those who make topics: one, since EventMesh has threads for each.
const Maker = "eventing-eventmesh"

// Unstorable is an extension for an event that makes a topic and comes to nobody: RocketMQ 4.9 makes the topic of a message first, and then
// refuses the message, whose properties have at most 32,767 bytes. Where another storage may be, send a request: no other has requests.
var Unstorable = strings.Repeat("x", 1<<15)
