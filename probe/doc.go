// Package probe is the program that proves one ErlangCluster. It connects to every node
// as a node does, makes and restores the links of the mesh, and reports what it observed
// in status.mesh.
//
// A pass (reconciler.go) has five steps, each in a file of its own:
//
//   - read.go: what should be true, which is the spec of the ErlangCluster, the cookie,
//     the probe's certificate and the trust bundle. All are read for every pass, so none
//     of them needs a restart.
//   - sweeper.go: sweep the nodes (package sweep, which has package verify speak to a node
//     and package mesh choose the links).
//   - report.go: the result of the sweep as a status.
//   - publish.go: write the status, if it changed.
//   - schedule.go: when to sweep again.
//
// Only this package knows Kubernetes. It reads five objects, each by its name, and writes
// the status of one. No Secret is ever part of a log, an error or a status.
package probe
