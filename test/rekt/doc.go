// Package rekt runs Knative's own conformance suites of Brokers, against whatever class BROKER_CLASS names, in the cluster that KUBECONFIG
// names: see make rekt.
package rekt
