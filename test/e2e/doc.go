// Package e2e tests what is deployed, in a real Kubernetes with a real Knative Eventing: the samples by the commands of their
// READMEs, faults while events flow, and Brokers of class EventMesh whose objects come and go. It is built with the tag e2e.
//
// It uses the cluster that KUBECONFIG names and the registry that KO_DOCKER_REPO names, and needs kubectl, ko and kustomize in
// the PATH: make e2e sets the last two. Its namespaces, and those of the samples, enforce the restricted level of Pod
// Security, and are deleted before and after.
package e2e
