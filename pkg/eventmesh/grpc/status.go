package grpc

import (
	"strings"

	"github.com/eventing-eventmesh/eventing-eventmesh/pkg/eventmesh"
	"github.com/eventing-eventmesh/eventing-eventmesh/pkg/eventmesh/internal/wire"
)

// Values of the attribute statuscode in an answer of EventMesh 1.12.
const (
	statusSuccess      = "0"
	statusOverload     = "1"
	statusHeader       = "6"
	statusBody         = "7"
	statusBatchLimit   = "11"
	statusPackage      = "12"
	statusSend         = "14"
	statusUnauthorized = "20"
	statusRateLimit    = "21"
	statusNoReply      = "22"
	statusResubscribe  = "30"
)

// kindOf tells what a status means to a caller.
func kindOf(code, reason string) error {
	switch code {
	case statusHeader, statusBody, statusPackage:
		return eventmesh.ErrInvalidEvent
	case statusOverload, statusBatchLimit, statusRateLimit:
		return eventmesh.ErrRateLimited
	case statusUnauthorized:
		return eventmesh.ErrUnauthorized
	case statusNoReply:
		if strings.Contains(reason, "not supported") { // by the standalone storage
			return eventmesh.ErrRefused
		}
		return eventmesh.ErrNoReply
	case statusResubscribe:
		return eventmesh.ErrNotConnected
	default: // statusSend above all
		return wire.KindOfSendFailure(reason)
	}
}
