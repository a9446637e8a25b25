// Package command verifies any Erlang cluster from a command line, as the probe does, and
// without Kubernetes.
package command
