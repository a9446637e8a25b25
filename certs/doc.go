// Package certs reasons about the certificates of an ErlangCluster: whom the nodes
// trust, how a certificate is judged, how long each shall live, when a CA has to be
// replaced, and the TLS options that the nodes run with.
//
// Everything here is pure: no client, no context, no clock, no randomness. Time
// comes in as an argument.
package certs
