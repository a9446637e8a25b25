// Package verify connects to one Erlang node, stage by stage, and reports at which stage
// it failed and why.
//
// What goes over the network and what is concluded from it are apart: diagnose is pure,
// and turns what was observed into one of the reasons of package v1alpha1 and into a
// message that names the node, the cause and the remedy. A message holds no measurement,
// so that the same conclusion is the same text each time.
//
// Nothing here knows Kubernetes: the package serves any Erlang cluster.
// Neither cookie nor key nor digest is part of any error or verdict.
package verify
