// Package certs is the identity of an ErlangCluster: what its nodes and objects
// are called, which Issuers and Certificates prove it, whom the nodes trust, how
// a certificate is judged, and the TLS options that the nodes run with.
//
// Everything here is pure: no client, no context, no clock, no randomness. Time
// comes in as an argument.
package certs
