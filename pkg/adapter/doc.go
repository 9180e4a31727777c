// Package adapter is what the source and the sink have in common: their start on Knative's adapter framework, configuration
// from the environment, the connection to EventMesh, and probes.
package adapter
