// Package v1alpha1 is the API of erlang-operator: the ErlangCluster, its status, and
// the conditions and reasons that are part of the contract. It imports no other
// package of this project.
//
// +kubebuilder:object:generate=true
// +groupName=erlang-operator.dev
package v1alpha1
