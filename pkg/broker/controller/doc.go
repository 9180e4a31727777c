// Package controller resolves what Brokers of class EventMesh and their Triggers name, and writes into their statuses what the data plane
// says that it serves. The data plane learns of them by itself: while no controller runs it goes on, but for addresses that change.
//
// It creates nothing, and has no finalizers, so that whatever is deleted is gone. broker.go and trigger.go are the reconcilers, on Knative's generated ones; pods.go asks the data plane; controller.go puts it together.
package controller
