// Package mesh is the matrix of which nodes of a cluster report being linked to which, and
// what follows from it: which links exist, which parts the nodes fall into, and which link
// to make next.
//
// Everything here is pure: what the nodes report comes in, and nothing is
// connected.
package mesh
