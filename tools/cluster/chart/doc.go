// Package chart makes Helm charts of the kustomizations in config/, so that there is one source of what is installed.
//
// A chart is what kustomize makes of a folder, once for each combination of the chart's switches, such as "with a spool" or "with
// credentials". The variants are merged into one template: what all of them have is there as it is, and what some of them have stands in a
// condition on the switches. Fields that a value sets are taken out before, and are the value's default.
package chart
