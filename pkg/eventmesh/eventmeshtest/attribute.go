package eventmeshtest

import (
	"encoding/base64"
	"strconv"
	"time"

	"github.com/eventing-eventmesh/eventing-eventmesh/pkg/eventmesh/grpc/eventmeshpb"
)

// attributeText is an attribute as a string, as the CloudEvents type system writes it.
func attributeText(v *eventmeshpb.CloudEvent_AttributeValue) string {
	switch a := v.GetAttr().(type) {
	case *eventmeshpb.CloudEvent_AttributeValue_CeString:
		return a.CeString
	case *eventmeshpb.CloudEvent_AttributeValue_CeBoolean:
		return strconv.FormatBool(a.CeBoolean)
	case *eventmeshpb.CloudEvent_AttributeValue_CeInteger:
		return strconv.Itoa(int(a.CeInteger))
	case *eventmeshpb.CloudEvent_AttributeValue_CeBytes:
		return base64.StdEncoding.EncodeToString(a.CeBytes)
	case *eventmeshpb.CloudEvent_AttributeValue_CeUri:
		return a.CeUri
	case *eventmeshpb.CloudEvent_AttributeValue_CeUriRef:
		return a.CeUriRef
	case *eventmeshpb.CloudEvent_AttributeValue_CeTimestamp:
		return a.CeTimestamp.AsTime().Format(time.RFC3339Nano)
	}
	return ""
}

// wireString is an attribute as EventMesh itself reads it: only strings count.
func wireString(e *eventmeshpb.CloudEvent, name string) string {
	return e.GetAttributes()[name].GetCeString()
}
