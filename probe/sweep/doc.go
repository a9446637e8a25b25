// Package sweep takes one pass over all the nodes of a cluster: it verifies each, has the
// verified ones make the links that are missing, and tries the connections that each must
// refuse. The result is a value.
//
// It knows no Kubernetes: what should be true of the nodes is an argument.
package sweep
