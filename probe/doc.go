// Package probe is the program that proves one ErlangCluster: it speaks to every
// node as a node does, makes and mends the mesh, and reports what it observed in
// status.mesh.
//
// What should be true is the spec of the ErlangCluster. Cookie, certificate and
// trust bundle are read anew for every sweep, so none of them needs a restart. The
// parts are apart: package verify speaks to a node, package mesh judges what the
// nodes report, package sweep has the two work together, and only this package
// knows Kubernetes.
//
// It reads five objects, each by its name, and writes the status of one. No Secret
// is ever part of a log, an error or a status.
package probe
