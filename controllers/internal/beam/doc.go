// Package beam is how the BEAM of a node is started: the flags, the environment and the
// files that a pod template is given, and what in the user's template conflicts with
// them. It is pure, and a function of the spec alone, so that an upgrade of the operator
// rolls no pod.
package beam
