// Package verify speaks to one Erlang node, stage by stage, and says how far it
// came and why it came no further.
//
// What goes over the network and what is concluded from it are apart: diagnose is
// pure, and turns what was seen into one of the reasons of package v1alpha1 and
// into a sentence that names the node, the cause and the remedy. A sentence holds
// no measurement, so that the same finding is the same text each time.
//
// Nothing here knows Kubernetes' API: the package serves any Erlang cluster.
// Neither cookie nor key nor digest is part of any error or verdict.
package verify
