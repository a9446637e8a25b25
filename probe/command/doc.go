// Package command verifies any Erlang cluster from a command line: the same engine
// as the probe's, without Kubernetes.
package command
