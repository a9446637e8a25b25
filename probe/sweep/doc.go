// Package sweep takes one pass over all the nodes of a cluster: it verifies each,
// has those that are verified make the links that are missing, and tries at each
// what it must refuse. What comes of it is a value.
//
// It knows no Kubernetes: what to hold the nodes against is an argument.
package sweep
