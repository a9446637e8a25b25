// Package mesh is the matrix of who reports being linked to whom among the nodes
// of a cluster, and the judgement of it: which links hold, which parts the nodes
// fall into, and which link to make next.
//
// Everything here is pure: what the nodes report comes in, and nothing is
// connected.
package mesh
