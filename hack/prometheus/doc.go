// Package prometheus tests the alerts with Prometheus' own packages, in a module of its own,
// because these have many dependencies.
package prometheus
