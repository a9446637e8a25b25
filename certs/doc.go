// Package certs decides about the certificates of an ErlangCluster: the trust bundle,
// whether a certificate is valid, the lifetimes, when a CA has to be replaced, and the
// TLS options of the nodes.
//
// Its functions are pure: no client, no context, no clock, no randomness. The time is
// an argument. What remembered.go remembers changes no answer.
package certs
